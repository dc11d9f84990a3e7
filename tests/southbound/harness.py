"""A field of scripted devices, and an event loop whose clock jumps to the next timer instead of waiting for it."""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from gateway.driver import DeviceSilent, DriverKind, LinkDown, Point, PointError, PollGroup, Receiver
from gateway.model import Batch, DataType, Layout, Quality, Tag, Value
from gateway.settings import BreakerSettings, DeviceSettings, GroupSettings, LinkSettings, TagRules
from gateway.southbound import DeviceHealth, Supervisor
from tests.support.site import SITE

T = TypeVar("T")


class _Jump(selectors.DefaultSelector):
    """Nothing here does I/O: when every task waits for a timer, it is as good as due."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("every task waits for something that will never happen")
            self.loop.now += max(0.0, timeout)
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        selector = _Jump()
        selector.loop = self
        self.now = 1000.0
        super().__init__(selector)

    def time(self) -> float:
        return self.now


def run(main: Callable[[], Awaitable[T]]) -> T:
    """Run `main` in virtual time and fail if it leaves a task behind."""

    async def checked() -> T:
        result = await main()
        left = [task.get_name() for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left
        return result

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(checked())


def now() -> float:
    return asyncio.get_running_loop().time()


@dataclass
class Unit:
    """One device as the test scripts it. `fault` is raised by every read, after `read_s`; change it at any time."""

    name: str
    wire: Wire
    read_s: float = 0.01
    fault: BaseException | Callable[[], BaseException | None] | None = None
    values: Callable[[PollGroup], Sequence[Value]] = lambda group: [1] * len(group.points)
    qualities: Sequence[int] | None = None
    reads: list[tuple[str, float, float]] = field(default_factory=list)
    """(group, begin, end)"""
    writes: list[tuple[str, Value]] = field(default_factory=list)
    write_fault: BaseException | None = None
    opened: int = 0
    bad_points: Sequence[str] = ()
    refused_groups: Sequence[str] = ()
    """Groups of which the device has refused every address: a read asks it for nothing."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep
    """How a call spends its time."""
    subscribes: list[tuple[str, float]] = field(default_factory=list)
    """(group, begin)"""
    subscribe_fault: BaseException | None = None
    on_subscribe: Callable[[Subscribed], None] = lambda subscribed: subscribed.say()
    """What the device says as soon as it is subscribed to."""
    releases: list[str | None] = field(default_factory=list)
    release_fault: BaseException | None = None
    plan_fault: Exception | None = None
    subscribed: dict[str, Subscribed] = field(default_factory=dict)
    """The last subscription to each group, whether or not it stands."""

    def begins(self, group: str = "g0") -> list[float]:
        return [begin for name, begin, _ in self.reads if name == group]


@dataclass
class Subscribed:
    """What a device that speaks by itself holds: the group, and whom to speak to."""

    group: PollGroup
    receiver: Receiver

    def say(self, *values: Value, columns: Sequence[int] | None = None, **more: Any) -> None:
        """Report `values` of `columns`, or by default 1 for all."""
        size = len(self.group.points) if columns is None else len(columns)
        mono_ns = round(now() * 1e9)
        self.receiver.take(
            Batch(self.group.layout, mono_ns, mono_ns, values or [1] * size, columns=columns, **more),
        )


@dataclass
class Wire:
    """One physical connection as the test scripts it."""

    fault: BaseException | None = None
    connect_s: float = 0.001
    connects: list[float] = field(default_factory=list)
    closes: int = 0
    close_fault: BaseException | None = None
    busy: int = 0
    overlaps: int = 0
    buses: int = 0
    units: dict[str, Unit] = field(default_factory=dict)

    def break_off(self, sentence: str = "the peer closed the connection") -> None:
        self.fault = LinkDown(sentence)
        for unit in self.units.values():
            unit.fault = LinkDown(sentence)

    def mend(self) -> None:
        self.fault = None
        for unit in self.units.values():
            unit.fault = None


class _Bus:
    def __init__(self, wire: Wire) -> None:
        self.wire = wire
        wire.buses += 1

    async def connect(self) -> None:
        self.wire.connects.append(now())
        if self.wire.connect_s:
            await asyncio.sleep(self.wire.connect_s)
        if self.wire.fault is not None:
            raise self.wire.fault

    async def close(self) -> None:
        self.wire.closes += 1
        if self.wire.close_fault is not None:
            raise self.wire.close_fault


@dataclass
class _Plan:
    group: PollGroup
    errors: Sequence[PointError]
    unit: Unit

    @property
    def asks(self) -> bool:
        return len(self.errors) < len(self.group.points) and self.group.name not in self.unit.refused_groups

    def describe(self) -> Sequence[str]:
        return [f"read {len(self.group.points)} tags"]


class _Driver:
    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        unit.opened += 1

    def plan(self, group: PollGroup) -> _Plan:
        if self.unit.plan_fault is not None:
            raise self.unit.plan_fault
        points = [PointError(point.path, "no such address") for point in group.points]
        return _Plan(group, [error for error in points if error.path in self.unit.bad_points], self.unit)

    async def read(self, plan: _Plan) -> Batch:
        unit, begin = self.unit, now()
        if plan.group.name in unit.refused_groups:
            mono_ns, size = round(now() * 1e9), len(plan.group.points)
            code = int(Quality.BAD_NODE_ID_INVALID)
            return Batch(plan.group.layout, mono_ns, mono_ns, [None] * size, [code] * size)
        await self._occupy(unit.read_s)
        unit.reads.append((plan.group.name, begin, now()))
        fault = unit.fault() if callable(unit.fault) else unit.fault
        if fault is not None:
            raise fault
        mono_ns = round(now() * 1e9)
        return Batch(plan.group.layout, mono_ns, mono_ns, unit.values(plan.group), unit.qualities)

    async def _occupy(self, duration_s: float) -> None:
        wire = self.unit.wire
        wire.overlaps += wire.busy > 0
        wire.busy += 1
        try:
            if duration_s:
                await self.unit.pause(duration_s)
        finally:
            wire.busy -= 1

    async def subscribe(self, plan: _Plan, receiver: Receiver) -> None:
        unit = self.unit
        unit.subscribes.append((plan.group.name, now()))
        subscribed = unit.subscribed[plan.group.name] = Subscribed(plan.group, receiver)
        await self._occupy(unit.read_s)
        if unit.subscribe_fault is not None:
            raise unit.subscribe_fault
        wrong = {error.path for error in plan.errors}
        columns = [column for column, point in enumerate(plan.group.points) if point.path in wrong]
        if columns:
            codes = [int(Quality.BAD_CONFIGURATION_ERROR)] * len(columns)
            subscribed.say(*[None] * len(columns), columns=columns, qualities=codes)
        unit.on_subscribe(subscribed)


class _ReleasingDriver(_Driver):
    async def release(self, group: str | None) -> None:
        await self._occupy(self.unit.read_s)
        self.unit.releases.append(group)
        if self.unit.release_fault is not None:
            raise self.unit.release_fault


class _WritingDriver(_Driver):
    async def write(self, point: Point, value: Value) -> Value:
        await self._occupy(self.unit.read_s)
        self.unit.writes.append((point.path, value))
        if self.unit.write_fault is not None:
            raise self.unit.write_fault
        return value


@dataclass(frozen=True)
class Pushed:
    """Instead of an interval: a group that is subscribed to."""

    stale_s: float | None = None
    interval_s: float = 1.0


def group(source: str, name: str, pace: float | Pushed, tags: int = 3, rules: TagRules | None = None) -> GroupSettings:
    rule = rules or TagRules(DataType.UINT16, DataType.UINT16)
    layout = Layout(
        source,
        name,
        ("acme", "plant1", source),
        tuple(Tag(f"{name}/t{i}", rule.type, writable=i == 0) for i in range(tags)),
    )
    points = tuple(Point(tag.path, rule.wire_type, None) for tag in layout.tags)
    if isinstance(pace, Pushed):
        poll = PollGroup(name, layout, points, pace.interval_s, subscribed=True, stale_s=pace.stale_s)
    else:
        poll = PollGroup(name, layout, points, pace)
    return GroupSettings(poll, (rule,) * tags)


def link(
    name: str,
    devices: Mapping[str, Sequence[float | Pushed]],
    *,
    breaker: BreakerSettings | None = None,
    writes: bool = False,
    releases: bool = False,
    rules: TagRules | None = None,
) -> tuple[LinkSettings, Wire]:
    """`devices`: name → intervals of its groups, or how they are pushed; they are called g0, g1, …"""
    wire = Wire()
    wire.units = {device: Unit(device, wire) for device in devices}
    driver = _WritingDriver if writes else _ReleasingDriver if releases else _Driver
    kind = DriverKind(
        name="scripted",
        summary="",
        link_options=object,
        device_options=object,
        tag_options=object,
        open_bus=lambda _name, _options, _site: _Bus(wire),
        open_device=lambda _bus, device, _options: driver(wire.units.setdefault(device, Unit(device, wire))),
        describe_link=lambda _options: "here",
        counters=lambda _bus: {"frames": 7},
    )
    settings = LinkSettings(
        name,
        kind,
        None,
        SITE,
        devices_of(devices, rules),
        breaker or BreakerSettings(),
    )
    return settings, wire


def devices_of(
    devices: Mapping[str, Sequence[float | Pushed]], rules: TagRules | None = None
) -> tuple[DeviceSettings, ...]:
    return tuple(
        DeviceSettings(device, None, tuple(group(device, f"g{i}", pace, rules=rules) for i, pace in enumerate(paces)))
        for device, paces in devices.items()
    )


@dataclass
class Field:
    """A supervisor over scripted links, and everything it handed on."""

    links: Sequence[LinkSettings]
    batches: list[tuple[float, Batch]] = field(default_factory=list)
    healths: list[DeviceHealth] = field(default_factory=list)
    refuse: Exception | None = None
    jitter: Callable[[], float] = lambda: 0.0
    call_limit_s: float = 60.0

    async def __aenter__(self) -> Field:
        loop = asyncio.get_running_loop()
        self.supervisor = Supervisor(
            self.links,
            self._deliver,
            self.healths.append,
            clock=loop.time,
            jitter=self.jitter,
            call_limit_s=self.call_limit_s,
        )
        self.supervisor.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        json.dumps(self.supervisor.status())
        await self.supervisor.stop()

    def _deliver(self, batch: Batch) -> None:
        if self.refuse is not None:
            raise self.refuse
        self.batches.append((now(), batch))

    def codes(self, source: str, name: str = "g0") -> list[int]:
        """The code of the first tag of every batch of the group."""
        return [
            0 if batch.qualities is None else batch.qualities[0]
            for _, batch in self.batches
            if (batch.layout.source, batch.layout.group) == (source, name)
        ]

    def transitions(self, source: str, name: str = "g0") -> list[int]:
        """The same without repetitions."""
        codes = self.codes(source, name)
        return [code for i, code in enumerate(codes) if i == 0 or code != codes[i - 1]]

    def tags(self, source: str, name: str = "g0") -> dict[int, tuple[Value, int]]:
        """What an outsider knows of each tag of the group: column → value and quality."""
        known: dict[int, tuple[Value, int]] = {}
        for _, batch in self.batches:
            if (batch.layout.source, batch.layout.group) == (source, name) and not batch.history:
                columns = range(len(batch.layout.tags)) if batch.columns is None else batch.columns
                codes = [0] * len(columns) if batch.qualities is None else batch.qualities
                known.update(zip(columns, zip(batch.values, codes, strict=True), strict=True))
        return known

    def count(self, source: str, name: str = "g0") -> int:
        """How many batches of the group were handed on."""
        return sum((batch.layout.source, batch.layout.group) == (source, name) for _, batch in self.batches)

    def states(self, device: str) -> list[str]:
        return [health.state.value for health in self.healths if health.device == device]

    def status(self, link: str, device: str | None = None, name: str = "g0") -> dict[str, Any]:
        body: dict[str, Any] = self.supervisor.status()["links"][link]
        return body if device is None else body["devices"][device]["groups"][name]


SILENT = DeviceSilent("unit 1: no reply within 100 ms")
