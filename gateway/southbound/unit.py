"""What the runtime knows about each device and each of its poll groups."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from gateway.driver import Driver, Plan, PollGroup
from gateway.model import Batch, Quality, is_bad, quality_name
from gateway.settings import DeviceSettings, GroupSettings
from gateway.southbound.health import DeviceHealth, HealthState
from gateway.southbound.histogram import Histogram
from gateway.southbound.schedule import Backoff, Grid
from gateway.southbound.status import DeviceStatus, GroupStatus
from gateway.southbound.subscription import Owner, Subscription

NOTHING_REPORTED = -1
"""A group of which nothing was handed on yet."""
VALUES_REPORTED = 0
"""What was handed on last was read from the device."""

_BAD_TAGS_SHOWN = 20
_WAITING = quality_name(Quality.BAD_WAITING_FOR_INITIAL_DATA)

_SETUP_PAUSE_S = 0.1
"""Least pause between two tries to set up a subscription that a device was silent to."""
_IDLE_POLL_S = 1.0
"""Interval of a continuous group none of whose tags can be read: its reads return at once and would spin."""


class Circuit(enum.StrEnum):
    CLOSED = "closed"
    """Polled as configured."""
    OPEN = "open"
    """Silent: asked once per retry interval."""
    CRASHED = "crashed"
    """Its driver failed: built anew after a back-off."""


@dataclass(slots=True, eq=False)
class Group:
    """One poll group at run time, polled or subscribed to."""

    device: Device
    poll: PollGroup
    grid: Grid | None
    """None: continuously, or not polled."""
    subscription: Subscription | None = None
    """None: polled."""
    plan: Plan | None = None
    slot: int | None = None
    """The next slot of the grid that nothing was done for; None before the first."""
    at_once: bool = True
    """The next read is off the grid: the first one, or the first after an outage."""
    reported: int = NOTHING_REPORTED
    """Of a polled group: the code of the whole group if the runtime itself made up what was handed on last, or one of
    the two above."""
    polls: int = 0
    failed: int = 0
    good: int = 0
    bad: int = 0
    late: int = 0
    missed: int = 0
    lateness: Histogram = field(default_factory=Histogram)
    duration: Histogram = field(default_factory=Histogram)
    last_bad: Batch | None = None
    """The last read, if some of its values were bad."""
    read_at: float | None = None
    """CLOCK_MONOTONIC of the last successful read, seconds."""

    @classmethod
    def of(
        cls, device: Device, settings: GroupSettings, phase_fraction: float, owner: Owner, clock: Callable[[], float]
    ) -> Group:
        poll = settings.poll
        if poll.subscribed:
            group = cls(device, poll, None)
            group.subscription = Subscription(group, settings.rules, owner, clock)
            return group
        return cls(device, poll, Grid(poll.interval_s, phase_fraction) if poll.interval_s > 0 else None)

    @property
    def asks(self) -> bool:
        """Whether a read puts a request on the wire now: only then does its success say anything about the device."""
        return self.plan is not None and self.plan.asks

    @property
    def columns_in_error(self) -> list[int]:
        """Columns of points that can't be read at all."""
        wrong = {error.path for error in self.plan.errors} if self.plan else set()
        return [column for column, point in enumerate(self.poll.points) if point.path in wrong]

    def start(self, due: float, now: float) -> None:
        """Account for a read that starts `now` and was due at `due`: how late it is, and which slots it missed."""
        self.polls += 1
        if self.at_once or self.grid is None or self.slot is None:
            return
        late = now - due
        interval = self.grid.interval_s
        if late >= interval:
            passed = int(late // interval)
            self.missed += passed
            self.slot += passed
            late -= passed * interval
        self.slot += 1
        self.lateness.add(late)
        if late >= interval * 0.1 and late >= 0.001:
            self.late += 1

    def next_due(self, now: float) -> float:
        """When to read again after a read that ended `now`; of a subscribed group, when to try to set it up again."""
        if self.subscription is not None:
            return now + max(self.poll.interval_s, _SETUP_PAUSE_S)
        grid = self.grid
        if grid is None:
            return now if self.asks else now + _IDLE_POLL_S
        if self.at_once or self.slot is None:
            self.at_once = False
            slot = grid.next_slot(now)
            if self.slot is not None:
                self.missed += max(0, slot - self.slot)
            self.slot = slot
        return grid.due(self.slot)

    def _overdue(self, now: float) -> int:
        """Slots that have passed since the link was lost and will be counted as missed when it is back.

        The latest isn't among them: it may just be late.
        """
        if self.grid is None or self.slot is None:
            return 0
        return max(0, self.grid.next_slot(now) - self.slot - 1)

    def _bad_tags(self) -> Iterator[tuple[str, str]]:
        """(path, name of its quality) of every tag that is bad now, or was in the last read."""
        tags = self.poll.layout.tags
        if self.subscription is not None:
            yield from ((tags[column].path, quality_name(code)) for column, code in self.subscription.image.bad())
        batch = self.last_bad
        if batch is None or batch.qualities is None:
            return
        columns = range(len(batch.values)) if batch.columns is None else batch.columns
        for column, code in zip(columns, batch.qualities, strict=True):
            if is_bad(code):
                yield tags[column].path, quality_name(code)

    def status(self, now: float) -> GroupStatus:
        return {
            "interval_ms": round(self.poll.interval_s * 1e3, 3),
            "tags": len(self.poll.points),
            "polls": self.polls,
            "failed": self.failed,
            "good": self.good,
            "bad": self.bad,
            "late": self.late,
            "missed": self.missed + self._overdue(now),
            "lateness_ms": self.lateness.summary(),
            "read_ms": self.duration.summary(),
            "bad_tags": dict(sorted(self._bad_tags(), key=_waits)[:_BAD_TAGS_SHOWN]),
            "last_read_age_s": None if self.read_at is None else round(now - self.read_at, 3),
            "errors": [{"path": error.path, "message": error.message} for error in self.plan.errors]
            if self.plan
            else [],
            "subscription": None if self.subscription is None else self.subscription.status(now),
        }


def _waits(bad: tuple[str, str]) -> bool:
    """Whether a tag is only bad because it has no value yet, as an alarm that never was: others are news."""
    return bad[1] == _WAITING


@dataclass(slots=True, eq=False)
class Device:
    """One device at run time."""

    settings: DeviceSettings
    health: DeviceHealth
    restart: Backoff
    groups: list[Group] = field(default_factory=list)
    driver: Driver | None = None
    circuit: Circuit = Circuit.CLOSED
    probe: Group | None = None
    """The one group read while the circuit isn't closed."""
    silences: int = 0
    """Unanswered reads in a row."""
    crashes: int = 0
    opened: int = 0
    """How often the breaker opened."""
    quiet: bool = False
    """It was said that nothing is heard of it."""
    retry_at: float = 0.0
    """Next try while the circuit isn't closed."""
    closed_at: float = 0.0
    """CLOCK_MONOTONIC of the last return to polling as configured."""

    @classmethod
    def of(cls, settings: DeviceSettings, restart: Backoff) -> Device:
        return cls(settings, DeviceHealth(settings.name, HealthState.CONNECTING, "", time.time_ns()), restart)

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def quiet_s(self) -> float | None:
        """For how long nothing at all was heard of what is subscribed to, if that is too long: else None."""
        images = [group.subscription.image for group in self.groups if group.subscription is not None]
        if not any(image.stale for image in images) or not all(image.all_stale or image.mute for image in images):
            return None
        return max(group.poll.stale_s or 0.0 for group in self.groups)

    def status(self, now: float) -> DeviceStatus:
        return {
            "state": self.health.state.value,
            "detail": self.health.detail,
            "since_ns": self.health.since_ns,
            "breaker": self.circuit.value,
            "breaker_opened": self.opened,
            "crashes": self.crashes,
            "groups": {group.poll.name: group.status(now) for group in self.groups},
        }
