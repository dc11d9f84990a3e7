"""A gateway's settings and batches for tests of live values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.driver import DriverKind, Point, PollGroup, Site
from gateway.live import Live
from gateway.model import Batch, DataType, Layout, Tag, Value
from gateway.settings import (
    DeviceSettings,
    GatewaySettings,
    GroupSettings,
    JournalSettings,
    LinkSettings,
    MqttSettings,
    TagRules,
)

START_NS = 10**12
"""CLOCK_MONOTONIC at which tests begin."""
WALL_NS = 1_800_000_000 * 10**9


def _none(*_: Any) -> Any:
    raise NotImplementedError


KIND = DriverKind("fake", "", object, object, object, _none, _none)


class Clock:
    """Moved by the test."""

    def __init__(self) -> None:
        self.s = 0.0

    def mono_ns(self) -> int:
        return START_NS + round(self.s * 1e9)

    def wall_ns(self) -> int:
        return WALL_NS + round(self.s * 1e9)


def group(
    device: str, *tags: Tag, name: str = "main", interval_s: float = 1.0, subscribed: bool = False
) -> GroupSettings:
    layout = Layout(device, name, ("acme", "plant1", device), tags)
    points = tuple(Point(tag.path, tag.type, None, tag.count) for tag in tags)
    rules = tuple(TagRules(tag.type, tag.type, count=tag.count) for tag in tags)
    return GroupSettings(PollGroup(name, layout, points, interval_s, subscribed), rules)


def settings(*groups: GroupSettings, recent_bytes: int = 1 << 20) -> GatewaySettings:
    """A device for every different source, all on one link."""
    devices: dict[str, list[GroupSettings]] = {}
    for each in groups:
        devices.setdefault(each.poll.layout.source, []).append(each)
    link = LinkSettings(
        "link",
        KIND,
        None,
        Site("gw1", Path("state")),
        tuple(DeviceSettings(name, None, tuple(own)) for name, own in devices.items()),
    )
    return GatewaySettings(
        id="gw1",
        location=("acme", "plant1"),
        data_dir=Path("data"),
        socket=Path("data/control.sock"),
        clock="trusted",
        journal=JournalSettings(Path("data/journal.db")),
        links=(link,),
        sinks=(MqttSettings("plant", "localhost", 1883, "gw1"),),
        recent_bytes=recent_bytes,
    )


def numbers(count: int, kind: DataType = DataType.UINT16, prefix: str = "t") -> list[Tag]:
    return [Tag(f"{prefix}{i}", kind) for i in range(count)]


def live_of(*groups: GroupSettings, recent_bytes: int = 1 << 20) -> tuple[Live, Clock]:
    clock = Clock()
    made = Live(settings(*groups, recent_bytes=recent_bytes), wall_ns=clock.wall_ns, mono_ns=clock.mono_ns)
    return made, clock


def batch(
    of: GroupSettings,
    values: Sequence[Value],
    qualities: Sequence[int] | None = None,
    *,
    at_s: float = 0.0,
    columns: Sequence[int] | None = None,
    history: bool = False,
) -> Batch:
    mono_ns = START_NS + round(at_s * 1e9)
    return Batch(of.poll.layout, WALL_NS + round(at_s * 1e9), mono_ns, values, qualities, columns, history=history)


def feed(live: Live, given: Batch) -> None:
    live.take(given, given.values, given.qualities)
