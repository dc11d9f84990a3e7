"""The test ladder of a device: name → link → session → identity → test read.

It has two ways to the device. A device that isn't running, or of which only the way there matters, is tested on a
connection of its own. One whose link runs is asked through that, between two polls: a serial line or a device with a
single connection has room for no second one, and what the runtime says about a link that is down is the truth about it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeVar

from gateway.diagnostics import way
from gateway.diagnostics.rungs import Failed, Outcome, Rung, Step, climb
from gateway.driver import Bus, DeviceSilent, Driver, Identifies, LinkDown, PollGroup, Releases
from gateway.model import Batch, is_bad, quality_name
from gateway.pipeline import Stage
from gateway.sentences import with_mend
from gateway.settings import DeviceSettings, GroupSettings, LinkSettings
from gateway.southbound.demand import ON_DEMAND
from gateway.southbound.link import CALL_LIMIT_S, CLOSE_LIMIT_S
from gateway.wire import Endpoint, Medium

T = TypeVar("T")

IDENTITY_LIMIT_S = 20.0
READ_LIMIT_S = 60.0
_BACK_S = 5.0
"""Within this a running link that a question has cost its connection is back."""
_LOOK_S = 0.05
_SHOWN = 200
"""Tags of a test read that are listed."""
_NETWORK = (Medium.TCP, Medium.UDP)
_CHECK_DEVICE = "check that it is on, its address on the line, and the line's settings"


class Running(Protocol):
    """A device whose link runs."""

    def link_state(self) -> tuple[str, str]:
        """(state, why it isn't ``up``)."""
        ...

    async def ask(self, call: Callable[[Driver], Awaitable[T]]) -> T:
        """One call between two polls. Raises LinkDown or DeviceSilent if it can't be made, or what `call` raises."""
        ...


def climb_device(link: LinkSettings, device: str, running: Running | None = None) -> AsyncGenerator[Rung, None]:
    """Test `device` of `link`. Closing the iterator ends the test and lets the device go. Raises KeyError."""
    settings = {each.name: each for each in link.devices}[device]
    if running is not None:
        return climb(_Through(link, settings, running).steps())
    return _alone(link, settings)


async def _alone(link: LinkSettings, device: DeviceSettings) -> AsyncGenerator[Rung, None]:
    test = _Own(link, device)
    rungs = climb(test.steps())
    try:
        async for rung in rungs:
            yield rung
    finally:
        await rungs.aclose()
        await test.close()


class _Test:
    """What both ways have in common: the order of the rungs; identity and read, once there is a driver to ask."""

    def __init__(self, link: LinkSettings, device: DeviceSettings) -> None:
        self.link = link
        self.device = device
        self.kind = link.kind
        self.endpoints = tuple(self.kind.endpoints(link.options))
        self.far_end = self.kind.describe_link(link.options)
        capture = self.kind.capture(link.options)
        self.usual_port = capture.port if capture else 0

    async def connect(self) -> Outcome:
        raise NotImplementedError

    async def session(self) -> Outcome:
        raise NotImplementedError

    async def ask(self, call: Callable[[Driver], Awaitable[T]]) -> T:
        raise NotImplementedError

    @property
    def endpoint(self) -> Endpoint | None:
        return self.endpoints[0] if self.endpoints else None

    def steps(self) -> list[Step]:
        return [
            Step("name", "Name", self.name, way.NAME_LIMIT_S + 1),
            Step("link", "Link", self.connect, CALL_LIMIT_S, _CHECK_DEVICE),
            Step("session", "Session", self.session, CALL_LIMIT_S, _CHECK_DEVICE),
            Step("identity", "Identity", self.identity, IDENTITY_LIMIT_S),
            Step("read", "Test read", self.read, READ_LIMIT_S),
        ]

    async def name(self) -> Outcome:
        endpoint = self.endpoint
        if endpoint is None or endpoint.medium not in _NETWORK:
            return Outcome("it isn't reached by a name", skipped=True)
        return await way.look_up(endpoint.host)

    async def reach(self) -> None:
        """Whether anything is at the endpoint, on a connection of its own. Raises Failed."""
        endpoint = self.endpoint
        if endpoint is not None and endpoint.medium is Medium.TCP:
            await way.reach(endpoint.host, endpoint.port, self.usual_port)

    async def identity(self) -> Outcome:
        async def ask(driver: Driver) -> Mapping[str, str] | None:
            return await driver.identify() if isinstance(driver, Identifies) else None

        try:
            said = await self.ask(ask)
        except (LinkDown, DeviceSilent) as error:
            return await self.unidentified(error)
        if said is None:
            return Outcome("devices of this driver don't say who they are", skipped=True)
        if not said:
            return Outcome("it answers, but doesn't say who it is")
        return Outcome(_introduction(said), {"identity": dict(said)})

    async def unidentified(self, error: Exception) -> Outcome:
        """Some devices fall silent, or hang up, on a question they don't know: reading tells. Raises Failed."""
        groups = self.device.groups
        if groups:
            with contextlib.suppress(LinkDown, DeviceSilent):
                await self.ask(lambda driver: _read(driver, groups[0]))
                return Outcome("it answers reads, but not the question who it is")
        raise self.failed(error)

    def failed(self, error: Exception) -> Failed:
        sentence, mend = with_mend(str(error))
        return Failed(sentence, mend or _CHECK_DEVICE)

    async def read(self) -> Outcome:
        groups = self.device.groups
        if not groups:
            return Outcome("no tags were given: with some, they are read here", skipped=True)
        rows: list[dict[str, Any]] = []
        begun = time.monotonic()
        try:
            for group in groups:
                rows += await self.ask(lambda driver, group=group: _read(driver, group))  # type: ignore[misc]
        except (LinkDown, DeviceSilent) as error:
            raise self.failed(error) from None
        return _judge(rows, time.monotonic() - begun)


class _Own(_Test):
    """On a bus of its own."""

    def __init__(self, link: LinkSettings, device: DeviceSettings) -> None:
        super().__init__(link, device)
        self._bus: Bus | None = None
        self._driver: Driver | None = None
        self._handshake = self.kind.handshake(link.options)

    async def connect(self) -> Outcome:
        """A device may have room for one connection: without a handshake it is made once, and kept."""
        if self._handshake:
            await self.reach()
            return Outcome(f"{self.far_end} accepts connections")
        try:
            await self._open()
        except LinkDown as error:
            await self.reach()
            raise Failed(str(error)) from None
        return Outcome(self._opened())

    def _opened(self) -> str:
        endpoint = self.endpoint
        match endpoint.medium if endpoint else None:
            case Medium.SERIAL:
                return f"{self.far_end} is open and set up"
            case Medium.RADIO:
                return f"the radio {self.far_end} is on and listens"
            case Medium.UDP:
                return f"datagrams go to {self.far_end}; whether anybody takes them shows with the first answer"
            case Medium.LISTEN:
                return f"the device has called at {self.far_end}"
        return f"connected to {self.far_end}"

    async def session(self) -> Outcome:
        if not self._handshake:
            return Outcome("this protocol opens none", skipped=True)
        try:
            await self._open()
        except LinkDown as error:
            raise Failed(str(error)) from None
        return Outcome(f"{self._handshake} opened")

    async def _open(self) -> None:
        if self._bus is None:
            self._bus = self.kind.open_bus(self.link.name, self.link.options, self.link.site)
            self._driver = self.kind.open_device(self._bus, self.device.name, self.device.options)
        await self._bus.connect()

    async def ask(self, call: Callable[[Driver], Awaitable[T]]) -> T:
        assert self._driver is not None
        return await call(self._driver)

    async def unidentified(self, error: Exception) -> Outcome:
        if isinstance(error, LinkDown):
            with contextlib.suppress(LinkDown):
                await self._open()
        return await super().unidentified(error)

    async def close(self) -> None:
        if self._bus is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT_S):
                    await self._bus.close()


class _Through(_Test):
    """Through the link that runs."""

    def __init__(self, link: LinkSettings, device: DeviceSettings, running: Running) -> None:
        super().__init__(link, device)
        self._running = running

    async def connect(self) -> Outcome:
        state, why = self._running.link_state()
        if state == "up":
            return Outcome(f"the running link {self.link.name} is connected to {self.far_end}")
        await self.reach()
        if not self.kind.handshake(self.link.options) or self.endpoint is None:
            raise Failed(why or f"the link {self.link.name} is {state}")
        return Outcome(f"{self.far_end} accepts connections")

    async def session(self) -> Outcome:
        handshake = self.kind.handshake(self.link.options)
        if not handshake:
            return Outcome("this protocol opens none", skipped=True)
        state, why = self._running.link_state()
        if state != "up":
            raise Failed(why or f"the link {self.link.name} is {state}")
        return Outcome(f"{handshake} of the running link {self.link.name} stand")

    async def ask(self, call: Callable[[Driver], Awaitable[T]]) -> T:
        return await self._running.ask(call)

    async def unidentified(self, error: Exception) -> Outcome:
        if isinstance(error, LinkDown):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_BACK_S):
                    while self._running.link_state()[0] != "up":  # noqa: ASYNC110 - a link tells nobody but the events
                        await asyncio.sleep(_LOOK_S)
        return await super().unidentified(error)


async def _read(driver: Driver, settings: GroupSettings) -> list[dict[str, Any]]:
    """One row a tag. Beside the groups that run: what is asked here is none of them."""
    poll = settings.poll
    group = GroupSettings(PollGroup(ON_DEMAND, poll.layout, poll.points, poll.interval_s), settings.rules)
    plan = driver.plan(group.poll)
    try:
        wire = await driver.read(plan)
    finally:
        keeper: object = driver
        if isinstance(keeper, Releases):
            await keeper.release(ON_DEMAND)
    published = Stage(group).process(wire)
    errors = {error.path: error.message for error in plan.errors}
    return list(_rows(group, wire, published, errors))


def _rows(
    group: GroupSettings, wire: Batch, published: Batch | None, errors: Mapping[str, str]
) -> list[dict[str, Any]]:
    shown = published or wire
    qualities = shown.qualities or [0] * len(shown.values)
    return [
        {
            "tag": tag.path,
            "wire": raw,
            "value": value,
            "unit": tag.unit,
            "quality": quality,
            "quality_name": quality_name(quality),
            "message": errors.get(tag.path),
        }
        for tag, raw, value, quality in zip(group.poll.layout.tags, wire.values, shown.values, qualities, strict=True)
    ]


def _judge(rows: list[dict[str, Any]], took_s: float) -> Outcome:
    """Raises Failed if no tag could be read."""
    bad = [row for row in rows if is_bad(row["quality"])]
    details = {"tags": rows[:_SHOWN], "count": len(rows), "bad": len(bad)}
    if not bad:
        count = "the tag was read" if len(rows) == 1 else f"all {len(rows)} tags were read"
        return Outcome(f"{count} in {took_s * 1e3:.0f} ms", details)
    first = bad[0]
    reason = first["message"] or first["quality_name"]
    if len(bad) == len(rows):
        sentence, mend = with_mend(reason)
        raise Failed(
            f"the device answers, but no tag can be read; {first['tag']}: {sentence}",
            mend or "check the tags' addresses and types: the decode matrix shows what stands there",
            **details,
        )
    return Outcome(f"{len(rows) - len(bad)} of {len(rows)} tags were read; {first['tag']}: {reason}", details)


def _introduction(said: Mapping[str, str]) -> str:
    """``Schneider PM5560, version 2.1``."""
    name = " ".join(dict.fromkeys(said[key] for key in ("maker", "product") if key in said))
    name = name or said.get("name") or next(iter(said.values()))
    return name + (f", version {said['version']}" if "version" in said else "")
