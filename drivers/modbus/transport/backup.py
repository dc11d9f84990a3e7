"""A bus with two ways to its devices: the backup is taken when the primary can't be reached, and left when it can.

While the backup is in use the primary is tried every so often. That it accepts a connection proves little, so the next
read is asked there first: only an answer moves the bus over, and if none comes the same read goes to the backup. So
values stay good meanwhile. A write is never used for the trial. A primary that has accepted and then said nothing is
the second choice at the next connect.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Iterator
from typing import TypeVar

from drivers.modbus.errors import EchoDiffers, Refused, ReplyTimeout
from drivers.modbus.link import LinkOptions
from drivers.modbus.transport.conversation import Conversation, Prepared
from drivers.modbus.transport.wire import Dial, Speech, WireBus
from gateway.driver import LinkDown

_log = logging.getLogger(__name__)

P = TypeVar("P", bound=Prepared)

_READS = (1, 2, 3, 4)
_UNREACHED = (10, 11)
"""Exceptions by which a gateway says that it can't reach the device either."""


class BackedUpBus(WireBus[P]):
    """A bus that falls back on another endpoint."""

    def __init__(self, name: str, options: LinkOptions, speech: Speech[P], primary: Dial, backup: Dial) -> None:
        super().__init__(name, options, speech, primary)
        self._backup = backup
        self._shunned: Dial | None = None
        """An endpoint whose last connection was never answered on."""
        self._in_use = primary
        self._trial_at = 0.0
        """Monotonic seconds from which the primary is to be tried in passing, if it may not be beside the backup."""
        self._candidate: Conversation[P] | None = None
        """A fresh connection to the primary, not proved yet."""
        self._prober: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        await self.close()
        first, second = self._dial, self._backup
        if self._shunned is first:
            first, second = second, first
        try:
            await self._use(first)
        except LinkDown as failure:
            try:
                await self._use(second)
            except LinkDown as other:
                self.peer = self._dial.peer
                raise LinkDown(f"{failure}; and {other}") from None

    async def _use(self, dial: Dial) -> None:
        await self._connect(dial)
        self._in_use = dial
        self.counters["on_backup"] = int(dial is self._backup)
        if dial is self._backup:
            self.counters["backup_connects"] += 1
            _log.warning("link %s: the backup %s is in use", self.name, dial.peer)
            self._watch_primary()

    def _watch_primary(self) -> None:
        """See to it that the primary is tried after a while."""
        self._trial_at = time.monotonic() + self.options.failback_s
        if not self.options.single_connection:
            self._prober = asyncio.get_running_loop().create_task(self._probe(), name=f"link {self.name}: fail-back")

    async def _probe(self) -> None:
        """Ends with a connection to the primary."""
        while self._candidate is None:
            await asyncio.sleep(self.options.failback_s)
            with contextlib.suppress(LinkDown):
                self._candidate = await self._dial.open(self._converse)
                await self._settle()

    async def close(self) -> None:
        prober, self._prober = self._prober, None
        if prober is not None:
            prober.cancel()
            await asyncio.gather(prober, return_exceptions=True)
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            await candidate.close()
        if self._connection is not None:
            self._shunned = None if self._connection.answered else self._in_use
        await super().close()

    def _conversations(self) -> Iterator[Conversation[P]]:
        yield from super()._conversations()
        if self._candidate is not None:
            yield self._candidate

    def transact(self, prepared: P) -> Awaitable[bytes]:
        """See :meth:`drivers.modbus.bus.ModbusBus.transact`."""
        if self._in_use is self._backup and self._connection is not None and prepared.function in _READS:
            if self._candidate is not None:
                return self._try_beside(prepared, self._candidate, self._connection)
            if self.options.single_connection and time.monotonic() >= self._trial_at:
                return self._try_instead(prepared, self._connection)
        return super().transact(prepared)

    async def _try_beside(self, prepared: P, candidate: Conversation[P], backup: Conversation[P]) -> bytes:
        """Ask the primary, and the backup if that gives no answer."""
        proved = False
        try:
            data = await self._attempt(candidate, prepared)
            proved = True
            return data
        except (Refused, EchoDiffers):
            proved = True
            raise
        except (ReplyTimeout, LinkDown):
            return await backup.transact(prepared)
        finally:
            if self._candidate is candidate:
                self._candidate = None
                if proved:
                    self._fail_back(candidate)
                    await backup.close()
                else:
                    self._watch_primary()
                    await candidate.close()

    async def _attempt(self, candidate: Conversation[P], prepared: P) -> bytes:
        try:
            return await candidate.transact(prepared)
        except Refused as refusal:
            if refusal.code in _UNREACHED:
                raise ReplyTimeout(str(refusal)) from None
            raise

    async def _try_instead(self, prepared: P, backup: Conversation[P]) -> bytes:
        """Ask the primary in the backup's stead, as the device allows one connection, and the backup once more if that
        gives no answer."""
        self._connection = None
        await backup.close()
        try:
            candidate = await self._dial.open(self._converse)
        except LinkDown:
            candidate = None
        if candidate is not None:
            # From here on `close` finds it.
            self._connection = candidate
            try:
                await self._settle()
                data = await self._attempt(candidate, prepared)
            except (Refused, EchoDiffers):
                self._fail_back(candidate)
                raise
            except (ReplyTimeout, LinkDown):
                self._connection = None
                await candidate.close()
            else:
                self._fail_back(candidate)
                return data
        await self._use(self._backup)
        return await super().transact(prepared)

    def _fail_back(self, candidate: Conversation[P]) -> None:
        self._connection, self._in_use = candidate, self._dial
        self.peer = self._dial.peer
        self.counters["failbacks"] += 1
        self.counters["on_backup"] = 0
        _log.info("link %s: %s answers again and is used instead of the backup", self.name, self.peer)
