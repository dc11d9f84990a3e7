"""One device without the runtime: what ``tidegate probe`` and its neighbours call."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from gateway.driver import Bus, DeviceSilent, Driver, LinkDown, PointError
from gateway.model import Batch, Layout
from gateway.pipeline import Stage
from gateway.settings import GroupSettings, LinkSettings
from gateway.southbound.link import CALL_LIMIT_S, CLOSE_LIMIT_S


@dataclass(frozen=True, slots=True)
class GroupProbe:
    """What one read of one group gave. Both batches cover every tag of the layout, in order."""

    layout: Layout
    requests: Sequence[str]
    """The plan: one line per request on the wire."""
    errors: Sequence[PointError]
    read_s: float
    wire: Batch
    """As the device encodes it."""
    published: Batch
    """After scaling and limits."""


@dataclass(frozen=True, slots=True)
class Probe:
    link: str
    device: str
    far_end: str
    connect_s: float
    groups: Sequence[GroupProbe]


async def probe(link: LinkSettings, device: str) -> Probe:
    """Connect, read every group of `device` once, close.

    Raises KeyError if the link has no such device, LinkDown or DeviceSilent as the driver does; anything else is a flaw
    of the driver.
    """
    bus, driver = opened(link, device)
    groups = _groups(link, device)
    plans = [driver.plan(group.poll) for group in groups]
    results: list[GroupProbe] = []
    begun = time.monotonic()
    async with connected(bus):
        connect_s = time.monotonic() - begun
        for group, plan in zip(groups, plans, strict=True):
            begun = time.monotonic()
            async with bounded(DeviceSilent(f"reading group {group.poll.name} took longer than {CALL_LIMIT_S:g} s")):
                wire = await driver.read(plan)
            read_s = time.monotonic() - begun
            published = Stage(group).process(wire)
            assert published is not None  # a new stage has nothing to hold back
            results.append(
                GroupProbe(group.poll.layout, plan.describe(), plan.errors, read_s, wire=wire, published=published)
            )
    return Probe(link.name, device, link.kind.describe_link(link.options), connect_s, results)


def plan_of(link: LinkSettings, device: str) -> dict[str, Sequence[str]]:
    """The requests it takes to read each group of `device`, by group name. Connects to nothing. Raises KeyError."""
    _, driver = opened(link, device)
    return {group.poll.name: driver.plan(group.poll).describe() for group in _groups(link, device)}


def opened(link: LinkSettings, device: str) -> tuple[Bus, Driver]:
    """One device on a bus of its own, not connected. Raises KeyError if the link has no such device."""
    options = {each.name: each.options for each in link.devices}[device]
    bus = link.kind.open_bus(link.name, link.options, link.site)
    return bus, link.kind.open_device(bus, device, options)


@contextlib.asynccontextmanager
async def connected(bus: Bus) -> AsyncIterator[None]:
    """The bus while it is connected. Raises LinkDown."""
    try:
        async with bounded(LinkDown(f"connecting took longer than {CALL_LIMIT_S:g} s")):
            await bus.connect()
        yield
    finally:
        async with bounded(LinkDown(f"closing took longer than {CLOSE_LIMIT_S:g} s"), CLOSE_LIMIT_S):
            await bus.close()


def _groups(link: LinkSettings, device: str) -> Sequence[GroupSettings]:
    return {each.name: each.groups for each in link.devices}[device]


@contextlib.asynccontextmanager
async def bounded(error: Exception, limit_s: float = CALL_LIMIT_S) -> AsyncIterator[None]:
    """Raise `error` instead of waiting longer than the limit."""
    try:
        async with asyncio.timeout(limit_s):
            yield
    except TimeoutError:
        raise error from None
