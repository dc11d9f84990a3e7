"""A dry run on the wire: what devices that are new or changed answer, before anything is applied.

On a connection that stays as it is the questions go through the running link, between its polls: a second connection
could disturb the first, and a serial port has none. Anything else is tested on a bus of its own. What can't be tested
without taking something away from a link that runs isn't, and says so.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from gateway.delta import same_connection
from gateway.driver import Bus, DeviceSilent, Driver, LinkDown, Releases, ScanFailed
from gateway.model import is_bad, quality_name
from gateway.settings import DeviceSettings, GroupSettings, LinkSettings
from gateway.southbound import probe
from gateway.southbound.asks import AskFailed
from gateway.southbound.demand import Asks, Reading, read_group
from gateway.southbound.rehearsal import fresh
from gateway.southbound.supervisor import Supervisor

T = TypeVar("T")

LIMIT_S = 10.0
"""For everything on one link; links are tested side by side."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of testing one device. Only groups that are new or changed were read."""

    link: str
    device: str
    answered: bool | None
    """Whether the device answered; None: it wasn't asked."""
    sentence: str
    """What it amounts to, for a user."""
    readings: Sequence[Reading] = field(default_factory=tuple)


@dataclass(slots=True)
class _Progress:
    """Of one link."""

    link: LinkSettings
    trials: list[Trial] = field(default_factory=list)

    def add(self, device: DeviceSettings, answered: bool | None, sentence: str, readings: Sequence[Reading]) -> None:
        self.trials.append(Trial(self.link.name, device.name, answered, sentence, tuple(readings)))


async def try_out(
    supervisor: Supervisor, old: Sequence[LinkSettings], new: Sequence[LinkSettings], limit_s: float = LIMIT_S
) -> list[Trial]:
    """Read every group of `new` that differs from `old`, which runs. Takes little longer than `limit_s`."""
    running = {link.name: link for link in old}
    parts = await asyncio.gather(
        *(_on_link(supervisor, running, link, devices, limit_s) for link, devices in fresh(old, new) if devices)
    )
    return [trial for part in parts for trial in part]


async def _on_link(
    supervisor: Supervisor,
    running: dict[str, LinkSettings],
    link: LinkSettings,
    devices: Sequence[tuple[DeviceSettings, Sequence[GroupSettings]]],
    limit_s: float,
) -> list[Trial]:
    progress = _Progress(link)
    was = running.get(link.name)
    try:
        async with asyncio.timeout(limit_s):
            if was is not None and same_connection(was, link):
                same = {device.name for device in was.devices if _same(device, devices)}
                for device, groups in devices:
                    ask = (
                        partial(supervisor.ask, device.name)
                        if device.name in same
                        else _visitor(supervisor, link, device)
                    )
                    await _try_device(progress, device, groups, ask)
            elif (owner := _owner(running, link)) is not None:
                sentence = f"it can only be tested when it is applied: the link {owner} that runs has what it needs"
                for device, _ in devices:
                    progress.add(device, None, sentence, ())
            else:
                await _on_own_bus(progress, running, devices)
    except TimeoutError:
        pass
    for device, _ in devices[len(progress.trials) :]:
        progress.add(device, None, f"it wasn't tested: the others on the link took all of {limit_s:g} s", ())
    return progress.trials


def _same(device: DeviceSettings, devices: Sequence[tuple[DeviceSettings, Sequence[GroupSettings]]]) -> bool:
    return any(each.name == device.name and each.options == device.options for each, _ in devices)


def _visitor(supervisor: Supervisor, link: LinkSettings, device: DeviceSettings) -> Asks:
    """Asks through the running link with a driver made for the occasion."""
    # What a driver keeps on its bus it keeps under its device's name.
    name = f"{device.name} (trial)" if supervisor.keeps(device.name) else device.name

    async def ask(call: Callable[[Driver], Awaitable[T]]) -> T:
        async def visit(bus: Bus) -> T:
            driver = link.kind.open_device(bus, name, device.options)
            try:
                return await call(driver)
            finally:
                keeper: object = driver
                if isinstance(keeper, Releases):
                    await keeper.release(None)

        return await supervisor.ask_link(link.name, visit)

    return ask


def _owner(running: dict[str, LinkSettings], link: LinkSettings) -> str | None:
    """The link that runs and has to itself what this one needs."""
    wanted = set(_claims(link))
    return next((name for name, each in running.items() if not wanted.isdisjoint(_claims(each))), None)


def _claims(link: LinkSettings) -> Sequence[str]:
    claims = link.kind.claims(link.options)
    return [os.path.realpath(claim) if claim.startswith("/") else claim for claim in claims]


async def _on_own_bus(
    progress: _Progress,
    running: dict[str, LinkSettings],
    devices: Sequence[tuple[DeviceSettings, Sequence[GroupSettings]]],
) -> None:
    link = progress.link
    try:
        async with _own_bus(link) as bus:
            for device, groups in devices:
                driver = link.kind.open_device(bus, device.name, device.options)

                async def ask(call: Callable[[Driver], Awaitable[T]], driver: Driver = driver) -> T:
                    return await call(driver)

                await _try_device(progress, device, groups, ask)
    except Exception as error:  # noqa: BLE001 - a driver's code may raise anything
        sentence = _sentence(error) + _rival(running, link)
        for device, _ in devices[len(progress.trials) :]:
            progress.add(device, False, sentence, ())


@asynccontextmanager
async def _own_bus(link: LinkSettings) -> AsyncIterator[Bus]:
    bus = link.kind.open_bus(link.name, link.options, link.site)
    async with probe.connected(bus):
        yield bus


def _rival(running: dict[str, LinkSettings], link: LinkSettings) -> str:
    there = link.kind.describe_link(link.options)
    for name, each in running.items():
        if each.kind is link.kind and each.kind.describe_link(each.options) == there:
            return f"; the link {name} is connected there now, and some devices take one connection only"
    return ""


async def _try_device(progress: _Progress, device: DeviceSettings, groups: Sequence[GroupSettings], ask: Asks) -> None:
    readings: list[Reading] = []
    try:
        for group in groups:
            readings += await read_group(ask, group)
    except LinkDown as error:
        progress.add(device, False, str(error), readings)
        return
    except Exception as error:  # noqa: BLE001 - a driver's code may raise anything
        progress.add(device, bool(readings), _sentence(error), readings)
        return
    progress.add(device, True, _verdict(readings), readings)


def _verdict(readings: Sequence[Reading]) -> str:
    bad = [reading for reading in readings if is_bad(reading.quality)]
    if not bad:
        return f"it answers; {_tags(len(readings))} can be read"
    why = Counter(quality_name(reading.quality) for reading in bad).most_common(1)[0][0]
    first = bad[0].error or why
    return f"it answers; {len(bad)} of {_tags(len(readings))} can't be read, the first being {bad[0].path}: {first}"


def _tags(count: int) -> str:
    return "1 tag" if count == 1 else f"{count} tags"


def _sentence(error: Exception) -> str:
    if isinstance(error, LinkDown | DeviceSilent | ScanFailed | AskFailed):
        return str(error)
    return f"the driver failed ({type(error).__name__}: {error})"
