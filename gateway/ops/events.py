"""What changed, for whoever watches: transitions only, each the latest of its kind.

A watcher that is slow, or a device that flaps, costs no memory: what changes again before it was told is told once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

PAUSE_S: Final = 0.1
"""Between two deliveries to one watcher: what flaps faster is told once."""


@dataclass(frozen=True, slots=True)
class DeviceChanged:
    event: ClassVar[str] = "device"
    device: str
    state: str
    """``connecting``, ``normal`` or ``failure``."""
    detail: str
    since_ms: int

    @property
    def about(self) -> str:
        return self.device


@dataclass(frozen=True, slots=True)
class LinkChanged:
    event: ClassVar[str] = "link"
    link: str
    state: str
    """``connecting``, ``up``, ``down`` or ``crashed``."""
    detail: str

    @property
    def about(self) -> str:
        return self.link


@dataclass(frozen=True, slots=True)
class SinkChanged:
    event: ClassVar[str] = "sink"
    sink: str
    connected: bool
    detail: str
    """Why it isn't; empty while it is."""

    @property
    def about(self) -> str:
        return self.sink


@dataclass(frozen=True, slots=True)
class AlarmChanged:
    """A condition of the journal began or is over."""

    event: ClassVar[str] = "alarm"
    alarm: str
    active: bool
    message: str

    @property
    def about(self) -> str:
        return self.alarm


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """What runs, or what is drafted or waits to be confirmed, isn't what it was: ask for it anew."""

    event: ClassVar[str] = "config"
    state: Literal["drafted", "pending", "confirmed", "rolled-back", "discarded"]
    detail: str
    revision: int | None = None

    @property
    def about(self) -> str:
        return self.state


@dataclass(frozen=True, slots=True)
class RepairsChanged:
    """Problems that somebody should see to aren't those that were found when somebody looked before."""

    event: ClassVar[str] = "repairs"
    open: int

    @property
    def about(self) -> str:
        return ""


Change = DeviceChanged | LinkChanged | SinkChanged | AlarmChanged | ConfigChanged | RepairsChanged


class Events:
    """Call from the event loop's thread only."""

    def __init__(self) -> None:
        self._watchers: set[_Watcher] = set()

    def tell(self, change: Change) -> None:
        """Costs nothing while nobody watches."""
        for watcher in self._watchers:
            watcher.note(change)

    async def follow(self) -> AsyncIterator[Change]:
        """Everything told from the first step on, in order; of what changed more than once in between, the last."""
        watcher = _Watcher()
        self._watchers.add(watcher)
        try:
            while True:
                await watcher.awake.wait()
                for change in watcher.take():
                    yield change
                await asyncio.sleep(PAUSE_S)
        finally:
            self._watchers.discard(watcher)


class _Watcher:
    def __init__(self) -> None:
        self.awake = asyncio.Event()
        self._waiting: dict[tuple[str, str], Change] = {}

    def note(self, change: Change) -> None:
        key = (change.event, change.about)
        self._waiting.pop(key, None)  # so that it stands last, where it belongs by time
        self._waiting[key] = change
        self.awake.set()

    def take(self) -> list[Change]:
        changes = list(self._waiting.values())
        self._waiting.clear()
        self.awake.clear()
        return changes
