"""Configurations to write to, and a field that takes what it is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.actors import Role
from gateway.driver import DriverKind, Point, PollGroup, Site
from gateway.model import DataType, Layout, Tag, Value
from gateway.settings import (
    DeviceSettings,
    GatewaySettings,
    GroupSettings,
    JournalSettings,
    LinkSettings,
    TagRules,
    WriteRules,
    WriteSettings,
)

D = DataType
ON = WriteSettings(enabled=True, min_interval_s=0.0, max_per_minute=6000)


def _nothing(*_: Any) -> Any:
    raise AssertionError("no driver is opened here")


KIND = DriverKind("fake", "", object, object, object, _nothing, _nothing)


@dataclass(frozen=True)
class T:
    """One tag of the device `d`."""

    path: str
    type: DataType = D.UINT16
    writable: bool = True
    low: float | None = None
    high: float | None = None
    scale: float = 1.0
    write: WriteRules | None = None


def settings(*tags: T, write: WriteSettings = ON) -> GatewaySettings:
    """A gateway with one device `d` that has these tags."""
    published = [D.FLOAT64 if tag.scale != 1.0 else tag.type for tag in tags]
    layout = Layout(
        "d",
        "g",
        ("acme", "plant1", "d"),
        tuple(
            Tag(tag.path, kind, low=tag.low, high=tag.high, writable=tag.writable)
            for tag, kind in zip(tags, published, strict=True)
        ),
    )
    poll = PollGroup("g", layout, tuple(Point(tag.path, tag.type, None) for tag in tags), 1.0)
    rules = tuple(
        TagRules(tag.type, kind, tag.scale, 0.0, tag.low, tag.high, write=tag.write)
        for tag, kind in zip(tags, published, strict=True)
    )
    device = DeviceSettings("d", None, (GroupSettings(poll, rules),))
    link = LinkSettings("l", KIND, None, Site("gw1", Path("/nonexistent")), (device,))
    journal = JournalSettings(Path("/nonexistent/journal.db"))
    return GatewaySettings(
        "gw1",
        ("acme", "plant1"),
        Path("/nonexistent"),
        Path("/nonexistent/s"),
        "trusted",
        journal,
        (link,),
        (),
        write=write,
    )


SETPOINT = settings(
    T("setpoint", low=0, high=24_000),
    T("ratio", D.INT16, scale=0.1, low=-10, high=10, write=WriteRules(high=5, step=0.5)),
    T("run", D.BOOL),
    T("recipe", D.STRING),
    T("serial", writable=False),
    T("limit", write=WriteRules(role=Role.ENGINEER, require_reason=True, min_interval_s=30)),
)


@dataclass
class FakeField:
    """What was sent, in order. `fault` is raised once something was sent, `early` before."""

    sent: list[tuple[str, Value]] = field(default_factory=list)
    fault: BaseException | None = None
    early: BaseException | None = None
    gate: asyncio.Event | None = None
    """What is sent waits for it."""
    on_the_wire: asyncio.Event = field(default_factory=asyncio.Event)
    values: dict[str, Value] = field(default_factory=dict)
    calls: list[Mapping[str, Any]] = field(default_factory=list)

    async def write(
        self,
        device: str,
        path: str,
        value: Value,
        *,
        expected: Value = None,
        expires: float | None = None,
        sending: Callable[[], None],
    ) -> Value:
        self.calls.append({"expected": expected, "expires": expires})
        if self.early is not None:
            raise self.early
        sending()
        self.sent.append((f"{device}/{path}", value))
        self.on_the_wire.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.fault is not None:
            raise self.fault
        return value

    def preview(self, device: str, path: str, value: Value) -> Sequence[str] | None:
        return [f"{device}/{path} = {value!r}"]
