"""The machine on behalf of the control API: one change at a time, and word of what became of it.

The machine itself takes a change back; what is kept here is who made it, so that it can be said and recorded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final, Literal

from gateway.ops.machine.power import Machine, MachineRefused, State, Trial
from gateway.ops.machine.settings import Network, Time
from gateway.ops.published import published

_log = logging.getLogger(__name__)

GRACE_S: Final = 1.0
"""A change is looked for so long after it should be gone."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How it stands with a change."""

    trial: Trial
    state: Literal["pending", "confirmed", "taken back"]
    by_itself: bool = False
    """Nobody decided in time."""


def machine() -> Machine | None:
    return published(Machine)  # type: ignore[type-abstract]


class Machines:
    """Call from the event loop only. Everything that asks the machine may raise MachineRefused."""

    def __init__(self, tell: Callable[[Turn], Awaitable[None]], find: Callable[[], Machine | None] = machine) -> None:
        """`tell`: called when a change begins, and when it is confirmed or gone."""
        self._tell = tell
        self._find = find
        self._found: list[Machine | None] = []
        self._pending: tuple[Trial, float] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._known = False

    @property
    def here(self) -> bool:
        """Whether this is an appliance."""
        return self._machine is not None

    @property
    def _machine(self) -> Machine | None:
        """Looked for when it is first asked for."""
        if not self._found:
            self._found.append(self._find())
        return self._found[0]

    @property
    def appliance(self) -> Machine:
        found = self._machine
        if found is None:
            raise MachineRefused(
                "this installation is no appliance: Tidegate doesn't look after the machine it runs on",
                "use the tools of its operating system",
            )
        return found

    async def look(self) -> State:
        with _flaws():
            return await self.appliance.look()

    async def do(self, what: Callable[[Machine], Awaitable[None]]) -> None:
        """Something that counts at once: ``do(lambda machine: machine.restart())``."""
        with _flaws():
            await what(self.appliance)

    async def trial(self) -> Trial | None:
        """The change that waits to be confirmed, by heart: the machine is asked only after a start of the gateway."""
        if not self._known and self.here:
            with _flaws():
                waiting = await self.appliance.trial()
            if waiting is not None and self._pending is None:  # it outlived the gateway that made it
                await self._keep(waiting)
            self._known = True
        return self._current()

    async def try_network(self, interface: str, settings: Network, within_s: float) -> Trial:
        settings.check()
        async with self._alone():
            return await self._keep(await self.appliance.try_network(interface, settings, within_s))

    async def try_time(self, settings: Time, within_s: float) -> Trial:
        settings.check()
        async with self._alone():
            return await self._keep(await self.appliance.try_time(settings, within_s))

    async def confirm(self) -> Trial:
        return await self._decide("confirmed")

    async def take_back(self) -> Trial:
        return await self._decide("taken back")

    async def close(self) -> None:
        """What isn't confirmed goes on waiting, without us."""
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._changing:
            if await self.trial() is not None:
                raise MachineRefused(
                    "a change of the machine isn't confirmed yet",
                    "first confirm it or take it back: tidegate machine confirm, tidegate machine take-back",
                )
            with _flaws():
                yield

    async def _decide(self, outcome: Literal["confirmed", "taken back"]) -> Trial:
        async with self._changing:
            trial = await self.trial()
            if trial is None:
                raise MachineRefused("no change of the machine waits to be confirmed", "see: tidegate machine status")
            with _flaws():
                await (self.appliance.confirm() if outcome == "confirmed" else self.appliance.take_back())
            await self._over(trial, outcome, by_itself=False)
        return trial

    def _current(self) -> Trial | None:
        if self._pending is None:
            return None
        trial, until = self._pending
        return replace(trial, seconds_left=max(0.0, until - time.monotonic()))

    async def _keep(self, trial: Trial) -> Trial:
        self._pending = (trial, time.monotonic() + trial.seconds_left)
        self._known = True
        self._watch = asyncio.create_task(self._watch_over(trial), name="machine trial")
        await self._tell(Turn(trial, "pending"))
        return trial

    async def _watch_over(self, trial: Trial) -> None:
        await asyncio.sleep(trial.seconds_left + GRACE_S)
        async with self._changing:
            if self._pending is not None and self._pending[0].id == trial.id:
                self._watch = None
                await self._over(trial, "taken back", by_itself=True)

    async def _over(self, trial: Trial, outcome: Literal["confirmed", "taken back"], *, by_itself: bool) -> None:
        self._pending = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        await self._tell(Turn(trial, outcome, by_itself))


@contextlib.contextmanager
def _flaws() -> Iterator[None]:
    """What an appliance raises beyond its contract is logged, and said in one sentence."""
    try:
        yield
    except MachineRefused:
        raise
    except Exception as error:  # third-party code may raise anything
        _log.exception("the machine couldn't be asked")
        raise MachineRefused("the appliance has a flaw and couldn't do this", "see the log: tidegate logs") from error
