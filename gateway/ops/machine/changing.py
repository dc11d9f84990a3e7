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

from gateway.ops.machine.power import Machine, MachineRefused, State, Unconfirmed
from gateway.ops.machine.settings import Network, Time
from gateway.ops.published import published

_log = logging.getLogger(__name__)

_LOOK_S: Final = 1.0
_LOOKS: Final = 60
"""A change that should be gone is looked for so often: on a slow machine taking it back takes its time."""


@dataclass(frozen=True, slots=True)
class Turn:
    """How it stands with a change."""

    change: Unconfirmed
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
        self._pending: tuple[Unconfirmed, float] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._recalling: asyncio.Task[None] | None = None
        self._changing = asyncio.Lock()
        self._known = False
        self._seen: tuple[State, float] | None = None

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

    async def look(self, max_age_s: float = 0.0) -> State:
        """`max_age_s`: what was seen so long ago will do. Asking a small machine costs it a second of work."""
        if self._seen is not None and time.monotonic() - self._seen[1] < max_age_s:
            return self._seen[0]
        with _flaws():
            state = await self.appliance.look()
        self._seen = (state, time.monotonic())
        return state

    async def do(self, what: Callable[[Machine], Awaitable[None]]) -> None:
        """Something that counts at once: ``do(lambda machine: machine.restart())``."""
        self._seen = None
        with _flaws():
            await what(self.appliance)

    async def unconfirmed(self) -> Unconfirmed | None:
        """The change that waits to be confirmed, by heart: the machine is asked only after a start of the gateway."""
        if not self._known and self.here:
            with _flaws():
                waiting = await self.appliance.unconfirmed()
            if waiting is not None and self._pending is None:  # it outlived the gateway that made it
                await self._keep(waiting)
            self._known = True
        return self._current()

    async def try_network(self, interface: str, settings: Network, within_s: float) -> Unconfirmed:
        settings.check()
        async with self._alone():
            return await self._keep(await self.appliance.try_network(interface, settings, within_s))

    async def try_time(self, settings: Time, within_s: float) -> Unconfirmed:
        settings.check()
        async with self._alone():
            return await self._keep(await self.appliance.try_time(settings, within_s))

    async def confirm(self) -> Unconfirmed:
        return await self._decide("confirmed")

    async def take_back(self) -> Unconfirmed:
        return await self._decide("taken back")

    def start(self) -> None:
        """Find out whether a change waits that an earlier start of the gateway made, so that its end is told, too."""
        self._recalling = asyncio.create_task(self._recall(), name="unconfirmed change of the machine, from before")

    async def close(self) -> None:
        """What isn't confirmed goes on waiting, without us."""
        for task in (self._recalling, self._watch):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _recall(self) -> None:
        with contextlib.suppress(MachineRefused):  # asked again by whoever wants to know
            await self.unconfirmed()

    @contextlib.asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._changing:
            if await self.unconfirmed() is not None:
                raise MachineRefused(
                    "a change of the machine isn't confirmed yet",
                    "first confirm it or take it back: tidegate machine confirm, tidegate machine take-back",
                )
            with _flaws():
                yield

    async def _decide(self, outcome: Literal["confirmed", "taken back"]) -> Unconfirmed:
        async with self._changing:
            change = await self.unconfirmed()
            if change is None:
                raise MachineRefused("no change of the machine waits to be confirmed", "see: tidegate machine status")
            try:
                with _flaws():
                    await (self.appliance.confirm() if outcome == "confirmed" else self.appliance.take_back())
            except MachineRefused:
                if not await self._waits(change):
                    await self._over(change, "taken back", by_itself=True)
                raise
            await self._over(change, outcome, by_itself=False)
        return change

    def _current(self) -> Unconfirmed | None:
        if self._pending is None:
            return None
        change, until = self._pending
        return replace(change, seconds_left=max(0.0, until - time.monotonic()))

    async def _keep(self, change: Unconfirmed) -> Unconfirmed:
        self._pending = (change, time.monotonic() + change.seconds_left)
        self._known = True
        self._seen = None
        self._watch = asyncio.create_task(self._watch_over(change), name="unconfirmed change of the machine")
        await self._tell(Turn(change, "pending"))
        return change

    async def _watch_over(self, change: Unconfirmed) -> None:
        await asyncio.sleep(change.seconds_left)
        for _ in range(_LOOKS):
            await asyncio.sleep(_LOOK_S)
            async with self._changing:
                if self._pending is None or self._pending[0].id != change.id:
                    return
                if not await self._waits(change):
                    self._watch = None
                    await self._over(change, "taken back", by_itself=True)
                    return
        _log.error("the machine didn't take back a change that nobody confirmed: restart it, which does")

    async def _waits(self, change: Unconfirmed) -> bool:
        """Whether the machine itself still knows of it."""
        try:
            with _flaws():
                found = await self.appliance.unconfirmed()
        except MachineRefused:
            return True
        return found is not None and found.id == change.id

    async def _over(self, change: Unconfirmed, outcome: Literal["confirmed", "taken back"], *, by_itself: bool) -> None:
        self._pending = None
        self._seen = None
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        await self._tell(Turn(change, outcome, by_itself))


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
