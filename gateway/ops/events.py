"""What changed, for whoever watches: transitions only, each the latest of its kind.

A watcher that is slow, or a device that flaps, costs no memory: what changes again before it was told is told once. The
last ones are kept, for whoever comes later.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal

PAUSE_S: Final = 0.1
"""Between two deliveries to one watcher: what flaps faster is told once."""
KEPT: Final = 500
"""Changes that are kept, the newest."""


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
    worst: Literal["error", "warning", "notice"] | None = None
    """None: nothing needs repair."""

    @property
    def about(self) -> str:
        return ""


@dataclass(frozen=True, slots=True)
class MachineChanged:
    """A change of the machine's network or time waits to be confirmed, or no longer does."""

    event: ClassVar[str] = "machine"
    state: Literal["pending", "confirmed", "taken-back"]
    detail: str

    @property
    def about(self) -> str:
        return ""


Change = DeviceChanged | LinkChanged | SinkChanged | AlarmChanged | ConfigChanged | RepairsChanged | MachineChanged


@dataclass(frozen=True, slots=True)
class Happened:
    """A change that was told."""

    id: int
    """Counts up by one from 1 at the gateway's start."""
    timestamp_ms: int
    event: str
    change: Change


class Events:
    """Call from the event loop's thread only."""

    def __init__(self, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._watchers: set[_Watcher] = set()
        self._kept: deque[Happened] = deque(maxlen=KEPT)
        self._told = 0
        self._now_ns = now_ns

    @property
    def watched(self) -> bool:
        """Whether anybody would hear of a change."""
        return bool(self._watchers)

    def recent(self) -> Sequence[Happened]:
        """The newest changes since the start, oldest first."""
        return tuple(self._kept)

    def tell(self, change: Change) -> None:
        self._told += 1
        self._kept.append(Happened(self._told, self._now_ns() // 1_000_000, change.event, change))
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
