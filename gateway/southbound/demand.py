"""What a person wants to know of a device now: fresh values, what it has, what its bytes mean.

Each function makes its calls through an `ask` that takes a turn on the running link, or on a bus of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from gateway.driver import (
    Browses,
    Decodes,
    Decoding,
    DeviceSilent,
    Driver,
    Item,
    LinkDown,
    PollGroup,
    Releases,
    ScanFailed,
)
from gateway.model import Layout, Value
from gateway.pipeline import Stage
from gateway.settings import DeviceSettings, GroupSettings
from gateway.southbound.asks import AskFailed
from gateway.southbound.subscription import require_fit

T = TypeVar("T")

ON_DEMAND = "on demand"
"""Name of the group of a read on demand. No group can be configured under it."""
BROWSE_TURN_S = 0.05
"""A browse gives way to the polls of its link after this long, as soon as an item is complete."""


class Asks(Protocol):
    """Makes one call of a driver. Raises LinkDown, DeviceSilent, ScanFailed or AskFailed."""

    async def __call__(self, call: Callable[[Driver], Awaitable[T]]) -> T: ...


@dataclass(frozen=True, slots=True)
class Reading:
    """One tag as it reads now."""

    path: str
    value: Value
    """As it would be published: scaled and limited."""
    quality: int
    """OPC UA status code."""
    read_ns: int
    """Wall clock when the reply was complete, ns since 1970 UTC."""
    source_ns: int | None = None
    error: str = ""
    """Why the driver can't read it at all, in one sentence; empty if it can."""


async def read(ask: Asks, device: DeviceSettings, path: str) -> Reading:
    """Read one tag of a device. Raises KeyError if it has none of that path, and what `ask` does."""
    for group in device.groups:
        for column, tag in enumerate(group.poll.layout.tags):
            if tag.path == path:
                return (await read_group(ask, _part(group, column)))[0]
    raise KeyError(path)


async def read_group(ask: Asks, group: GroupSettings) -> Sequence[Reading]:
    """Read every tag of a group once, whether it is polled, subscribed to or not configured at all."""
    poll = group.poll
    group = GroupSettings(PollGroup(ON_DEMAND, poll.layout, poll.points, poll.interval_s), group.rules)

    async def call(driver: Driver) -> Sequence[Reading]:
        plan = driver.plan(group.poll)
        try:
            wire = await driver.read(plan)
        finally:
            keeper: object = driver
            if isinstance(keeper, Releases):
                await keeper.release(ON_DEMAND)
        require_fit(group.poll, wire)
        published = Stage(group).process(wire)
        assert published is not None  # a new stage has nothing to hold back
        errors = {error.path: error.message for error in plan.errors}
        size = len(published.values)
        return [
            Reading(tag.path, value, code, published.read_ns, source_ns, errors.get(tag.path, ""))
            for tag, value, code, source_ns in zip(
                group.poll.layout.tags,
                published.values,
                published.qualities or [0] * size,
                published.source_ns or [None] * size,
                strict=True,
            )
        ]

    return await ask(call)


def _part(group: GroupSettings, column: int) -> GroupSettings:
    poll = group.poll
    layout = Layout(poll.layout.source, poll.layout.group, poll.layout.location, (poll.layout.tags[column],))
    return GroupSettings(PollGroup(poll.name, layout, (poll.points[column],), poll.interval_s), (group.rules[column],))


async def decode(ask: Asks, address: str) -> Sequence[Decoding]:
    """See :meth:`gateway.driver.Decodes.decode`. Raises ScanFailed if the driver can't, and what `ask` does."""

    async def call(driver: Driver) -> Sequence[Decoding]:
        able: object = driver
        if not isinstance(able, Decodes):
            raise ScanFailed("its driver can't show what stands at an address")
        return await able.decode(address)

    return await ask(call)


async def browse(ask: Asks, start: str | None, depth: int | None) -> AsyncIterator[Item]:
    """See :meth:`gateway.driver.Browses.browse`. Takes a turn of its link again and again, not one for all of it.

    Raises ScanFailed if the driver can't or was restarted meanwhile, and what `ask` does.
    """
    owner: Driver | None = None
    items: AsyncIterator[Item] | None = None

    async def some(driver: Driver) -> tuple[Sequence[Item], bool]:
        nonlocal owner, items
        able: object = driver
        if items is None:
            if not isinstance(able, Browses):
                raise ScanFailed("its driver can't say what a device has")
            owner, items = driver, aiter(able.browse(start, depth))
        elif owner is not driver:
            raise ScanFailed("the device was restarted meanwhile: browse again")
        found: list[Item] = []
        clock = asyncio.get_running_loop().time
        until = clock() + BROWSE_TURN_S
        while clock() < until:
            try:
                found.append(await anext(items))
            except StopAsyncIteration:
                return found, True
        return found, False

    async def end(_: Driver) -> None:
        close: Any = getattr(items, "aclose", None)
        if close is not None:
            await close()

    try:
        done = False
        while not done:
            found, done = await ask(some)
            for item in found:
                yield item
    finally:
        if items is not None and not done:
            with contextlib.suppress(LinkDown, DeviceSilent, ScanFailed, AskFailed):
                await ask(end)
