"""Calls between polls: reads on demand, browsing, decoding, whatever else is asked of a running link."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from gateway.driver import Decoding, DeviceSilent, Driver, Item, LinkDown, ScanFailed
from gateway.model import DataType, Quality
from gateway.settings import LinkSettings, TagRules
from gateway.southbound.asks import MAX_WAITING, AskFailed
from gateway.southbound.demand import ON_DEMAND
from tests.southbound.harness import SILENT, Field, Pushed, Wire, devices_of, link, now, run

TENTHS = TagRules(DataType.INT16, DataType.FLOAT64, scale=0.1, low=-50.0, high=1000.0)


@pytest.mark.parametrize("releases", [False, True])
def test_one_tag_is_read_afresh_and_scaled(releases: bool) -> None:
    settings, wire = link("l", {"d": [3600.0], "p": [Pushed()]}, rules=TENTHS, releases=releases)
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            unit.values = lambda group: [713] * len(group.points)
            polls, batches = field.status("l", "d")["polls"], len(field.batches)
            reading = await field.supervisor.read("d", "g0/t1")
            assert (reading.path, reading.value, reading.quality, reading.error) == ("g0/t1", 71.3, 0, "")
            assert unit.reads[-1][0] == ON_DEMAND
            unit.values = lambda group: [20_000] * len(group.points)
            reading = await field.supervisor.read("d", "g0/t1")
            assert (reading.value, reading.quality) == (2000.0, Quality.UNCERTAIN_ENGINEERING_UNITS_EXCEEDED)
            assert (await field.supervisor.read("p", "g0/t0")).value == 0.1, "of a device that speaks by itself, too"
            assert field.status("l", "d")["polls"] == polls
            assert len(field.batches) == batches, "what is read for a person isn't published"
            assert unit.releases == ([ON_DEMAND] * 2 if releases else [])
            for device, path in (("d", "nowhere"), ("nobody", "g0/t0")):
                with pytest.raises(KeyError):
                    await field.supervisor.read(device, path)

    run(main)


def test_a_tag_the_driver_cant_read_says_why() -> None:
    settings, wire = link("l", {"d": [1.0]})
    wire.units["d"].bad_points = ["g0/t1"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            reading = await field.supervisor.read("d", "g0/t1")
            assert reading.error == "no such address"
            assert (await field.supervisor.read("d", "g0/t0")).error == ""

    run(main)


@pytest.mark.parametrize("fault", [SILENT, LinkDown("gone"), RuntimeError("flaw")])
def test_what_goes_wrong_is_told_to_who_asked(fault: Exception) -> None:
    settings, wire = link("l", {"d": [3600.0], "e": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            wire.units["d"].fault = fault
            with pytest.raises(AskFailed if isinstance(fault, RuntimeError) else type(fault)) as caught:
                await field.supervisor.read("d", "g0/t0")
            assert str(fault) in str(caught.value)
            wire.units["d"].fault = None
            await asyncio.sleep(3.0)
            assert field.codes("e")[-1] == 0
            assert field.codes("d")[-1] == 0
            assert len(wire.connects) == (2 if isinstance(fault, LinkDown) else 1)

    run(main)


def test_asking_what_isnt_connected_fails_at_once_with_the_reason() -> None:
    settings, wire = link("l", {"d": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            wire.break_off("nobody answers at here")
            await asyncio.sleep(1.0)
            with pytest.raises(LinkDown, match="link l is down: nobody answers at here"):
                await field.supervisor.read("d", "g0/t0")
            with pytest.raises(LinkDown):
                await field.supervisor.ask_link("l", _bus_name)
            with pytest.raises(KeyError):
                await field.supervisor.ask_link("none", _bus_name)

    run(main)


async def _bus_name(bus: object) -> str:
    return type(bus).__name__


def test_a_silent_device_can_still_be_asked() -> None:
    """Whoever looks for the fault wants to try now, not when the breaker does."""
    settings, wire = link("l", {"d": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            wire.units["d"].fault = SILENT
            await asyncio.sleep(2.0)
            with pytest.raises(DeviceSilent):
                await field.supervisor.read("d", "g0/t0")
            wire.units["d"].fault = None
            assert (await field.supervisor.read("d", "g0/t0")).value == 1

    run(main)


def test_asks_take_turns_with_polls_and_never_overlap_them() -> None:
    settings, wire = link("l", {"d": [0.0], "e": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            polls = len(wire.units["e"].begins())
            begun = now()
            readings = await asyncio.gather(*(field.supervisor.read("d", "g0/t0") for _ in range(MAX_WAITING)))
            assert [reading.value for reading in readings] == [1] * MAX_WAITING
            assert len(wire.units["e"].begins()) - polls >= (now() - begun) / 0.1 - 1
            assert await field.supervisor.ask_link("l", _bus_name) == "_Bus"
            many = [field.supervisor.read("d", "g0/t0") for _ in range(MAX_WAITING + 1)]
            results = await asyncio.gather(*many, return_exceptions=True)
            assert [type(result) for result in results if isinstance(result, Exception)] == [AskFailed]

    run(main)
    assert wire.overlaps == 0


def test_a_question_nobody_waits_for_any_more_isnt_asked() -> None:
    settings, wire = link("l", {"d": [3600.0], "slow": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            wire.units["slow"].read_s = 2.0
            await asyncio.sleep(0.2)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await field.supervisor.read("d", "g0/t0")
            await asyncio.sleep(5.0)
            assert wire.units["d"].begins(ON_DEMAND) == []

    run(main)


def test_a_call_that_doesnt_return_is_ended_like_any_other() -> None:
    settings, wire = link("l", {"d": [3600.0], "e": [0.1]})

    async def forever(_: Driver) -> None:
        await asyncio.sleep(1e9)

    async def main() -> None:
        async with Field([settings], call_limit_s=1.0) as field:
            await asyncio.sleep(1.0)
            with pytest.raises(AskFailed, match="didn't return within 1 s"):
                await field.supervisor.ask("d", forever)
            await asyncio.sleep(3.0)
            assert field.codes("e")[-1] == 0
            assert len(wire.connects) == 2

    run(main)


def test_who_asks_of_a_device_that_leaves_is_told() -> None:
    settings, wire = link("l", {"d": [3600.0], "slow": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            wire.units["slow"].read_s = 1.0
            await asyncio.sleep(0.2)
            asked = asyncio.create_task(field.supervisor.read("d", "g0/t0"))
            await asyncio.sleep(0)
            await field.supervisor.apply([replace(settings, devices=devices_of({"slow": [0.1]}))])
            with pytest.raises(AskFailed, match="device d was changed or taken out meanwhile"):
                await asked
            asked = asyncio.create_task(field.supervisor.read("slow", "g0/t0"))
            await asyncio.sleep(0)
            await field.supervisor.apply([])
            with pytest.raises(LinkDown, match="link l is stopping"):
                await asked

    run(main)


# -- browsing and decoding ---------------------------------------------------------------------------------------------


class _Powerful:
    """A scripted device that has a thousand things and takes 10 ms to say each."""

    def __init__(self, driver: Any, wire: Wire) -> None:
        self.plan, self.read = driver.plan, driver.read
        self.wire = wire
        self.closed = 0

    async def _occupy(self, duration_s: float) -> None:
        self.wire.overlaps += self.wire.busy > 0
        self.wire.busy += 1
        await asyncio.sleep(duration_s)
        self.wire.busy -= 1

    async def browse(self, start: str | None, depth: int | None) -> AsyncIterator[Item]:
        try:
            for number in range(1000 if depth is None else depth):
                await self._occupy(0.01)
                yield Item(f"a:{number}", f"{start}/t{number}", "value")
        finally:
            self.closed += 1

    async def decode(self, address: str) -> Sequence[Decoding]:
        await self._occupy(0.01)
        return [Decoding(address, DataType.UINT16, "", b"\0\1", 1)]


def powerful(devices: dict[str, Sequence[float]]) -> tuple[LinkSettings, Wire, list[_Powerful]]:
    settings, wire = link("l", devices)
    made: list[_Powerful] = []
    open_device = settings.kind.open_device

    def opened(bus: Any, name: str, options: Any) -> Driver:
        made.append(_Powerful(open_device(bus, name, options), wire))
        return made[-1]

    return replace(settings, kind=replace(settings.kind, open_device=opened)), wire, made


def test_a_long_browse_lets_polls_through() -> None:
    settings, wire, made = powerful({"d": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            items = [item async for item in field.supervisor.browse("d", "top", None)]
            assert [item.address for item in items] == [f"a:{number}" for number in range(1000)]
            await asyncio.sleep(1.0)
            begins = wire.units["d"].begins()
            assert max(later - earlier for earlier, later in pairwise(begins)) < 0.18
            assert field.status("l", "d")["missed"] == 0
            assert [decoding.value for decoding in await field.supervisor.decode("d", "a:5")] == [1]

    run(main)
    assert (wire.overlaps, [each.closed for each in made]) == (0, [1])


def test_a_browse_that_is_left_is_ended() -> None:
    settings, wire, made = powerful({"d": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            async with aclosing(field.supervisor.browse("d", "top", None)) as items:
                async for item in items:
                    if item.address == "a:30":
                        break
            assert made[0].closed == 1

    run(main)
    assert wire.overlaps == 0


def test_a_browse_ends_with_a_sentence_where_its_device_restarts_or_has_nothing_to_say() -> None:
    settings, _, _ = powerful({"d": [0.1]})
    plain, _ = link("plain", {"p": [0.1]})

    async def main() -> None:
        async with Field([settings, plain]) as field:
            await asyncio.sleep(1.0)
            items = field.supervisor.browse("d", "top", None)
            assert (await anext(items)).address == "a:0"
            changed = replace(settings.devices[0], options="other")
            await field.supervisor.apply([replace(settings, devices=(changed,)), plain])
            with pytest.raises(ScanFailed, match="restarted meanwhile"):
                [item async for item in items]
            await asyncio.sleep(0.5)
            with pytest.raises(ScanFailed, match="can't say"):
                [item async for item in field.supervisor.browse("p", None, None)]
            with pytest.raises(ScanFailed, match="can't show"):
                await field.supervisor.decode("p", "a:1")

    run(main)
