"""What a device has: found by asking it gently, one small read at a time, within a budget of requests.

A table is sampled where makers usually begin. From each sample that is answered, the range around it is followed in
both directions by reads as long as the device allows. A range that holds no sample stays unseen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from drivers.common.blocks import Span
from drivers.modbus import pdu
from drivers.modbus.address import LAST_ADDRESS, Table
from drivers.modbus.errors import Refused, ReplyTimeout
from drivers.modbus.pdu import Exchange

Ask = Callable[[Exchange], Awaitable[bytes]]

SAMPLES = tuple(sorted({1, *range(0, 1000, 100), *range(0, 65_536, 1000), *range(0, 65_536, 0x1000)}))
_ILLEGAL_FUNCTION = 1
_SILENCES = 3
"""After so many unanswered reads in a row the rest of a table isn't asked for: each costs a timeout."""


class _NoMore(Exception):
    """The rest of the table isn't to be asked for."""


@dataclass(slots=True)
class Survey:
    """Raises from every method what `ask` raises but Refused and ReplyTimeout, which are answers, too."""

    ask: Ask
    budget: int
    """Requests left."""
    max_registers: int = 125
    max_bits: int = 2000
    _silences: int = 0
    _over: bool = False
    """Nothing more of the table is to be asked for."""

    async def ranges(self, table: Table) -> AsyncIterator[Span]:
        """The ranges that can be read, by ascending address, as far as the budget goes."""
        self._silences = 0
        self._over = False
        known = 0
        try:
            for sample in SAMPLES:
                if sample < known or not await self._allows(table, Span(sample, 1)):
                    continue
                down = await self._follow(table, sample - 1, known - 1)
                up = sample + 1 if self._over else await self._follow(table, sample + 1, LAST_ADDRESS + 1)
                yield Span(down + 1, up - down - 1)
                if self._over:
                    return
                known = up + 1
        except _NoMore:
            return

    async def _follow(self, table: Table, at: int, stop: int) -> int:
        """The first address from `at` towards `stop` that can't be read, or `stop`; less far if it is over."""
        up = stop > at
        step = self.max_bits if table.holds_bits else self.max_registers
        try:
            while at != stop:
                size = min(step, abs(stop - at))
                longest = await self._longest(table, at, size, up)
                at += longest if up else -longest
                if longest < size:
                    if longest == 0 or at == stop or not await self._allows(table, Span(at, 1)):
                        break
                    # There is more, so it is the read that was too long.
                    step = longest
        except _NoMore:
            self._over = True
        return at

    async def _longest(self, table: Table, at: int, size: int, up: bool) -> int:
        """The most of `size` addresses from `at` on, or down to it, that can be read at once."""
        longest, refused = 0, size + 1
        trial = size
        while refused - longest > 1:
            if await self._allows(table, Span(at if up else at - trial + 1, trial)):
                longest = trial
            else:
                refused = trial
            trial = (longest + refused) // 2
        return longest

    async def _allows(self, table: Table, span: Span) -> bool:
        if self.budget <= 0:
            raise _NoMore
        self.budget -= 1
        try:
            await self.ask(pdu.read(table, span.address, span.count))
        except Refused as fault:
            self._silences = 0
            if fault.code == _ILLEGAL_FUNCTION:
                raise _NoMore from None
            return False
        except ReplyTimeout:
            self._silences += 1
            if self._silences >= _SILENCES:
                raise _NoMore from None
            return False
        self._silences = 0
        return True
