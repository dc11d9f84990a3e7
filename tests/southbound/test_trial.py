"""A dry run on the wire: what new and changed devices answer, while everything else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from gateway.driver import LinkDown
from gateway.model import Quality
from gateway.settings import DeviceSettings, LinkSettings
from gateway.southbound import Trial, try_out
from tests.southbound.harness import SILENT, Field, Pushed, Unit, devices_of, group, link, now, run


async def tried(field: Field, new: Sequence[LinkSettings], limit_s: float = 10.0) -> dict[str, Trial]:
    trials = await try_out(field.supervisor, field.links, new, limit_s)
    assert len({trial.device for trial in trials}) == len(trials)
    return {trial.device: trial for trial in trials}


def test_only_what_differs_is_tried_and_on_a_running_link_through_it() -> None:
    settings, wire = link("l", {"d": [0.1, 3600.0], "e": [0.1]})
    wire.units["new"] = Unit("new", wire, values=lambda group: [7] * len(group.points))

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            first, second = settings.devices
            changed = replace(first, groups=(first.groups[0], group("d", "g1", 3600.0, tags=5)))
            wanted = replace(settings, devices=(changed, second, *devices_of({"new": [1.0]})))
            trials = await tried(field, [wanted])
            assert set(trials) == {"d", "new"}
            assert [reading.path for reading in trials["d"].readings] == [f"g1/t{i}" for i in range(5)]
            assert trials["d"].sentence == "it answers; 5 tags can be read"
            assert [reading.value for reading in trials["new"].readings] == [7, 7, 7]
            assert (wire.buses, len(wire.connects), wire.overlaps) == (1, 1, 0)
            await asyncio.sleep(1.0)
            assert max(later - before for before, later in pairwise(wire.units["e"].begins()[2:])) < 0.15
            assert field.count("new") == 0, "nothing was applied"
            assert wire.units["d"].opened == 1

    run(main)


def test_a_device_with_other_options_gets_a_driver_for_the_occasion() -> None:
    settings, wire = link("l", {"d": [Pushed()]}, releases=True)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            device = settings.devices[0]
            trials = await tried(field, [replace(settings, devices=(DeviceSettings("d", "other", device.groups),))])
            assert trials["d"].answered is True
            visitor = wire.units["d (trial)"]
            assert (visitor.opened, visitor.releases) == (1, ["on demand", None]), "it leaves nothing behind"
            wire.units["d"].subscribed["g0"].say(5, 5, 5)
            assert field.tags("d")[0] == (5, 0), "the one that runs was replaced on the bus"

    run(main)


def test_a_new_link_is_tried_on_a_bus_of_its_own_that_is_closed_again() -> None:
    runs, _ = link("runs", {"r": [0.1]})
    comes, wire = link("comes", {"c": [1.0, 2.0], "mute": [1.0]})
    wire.units["mute"].fault = SILENT

    async def main() -> None:
        async with Field([runs]) as field:
            await asyncio.sleep(1.0)
            trials = await tried(field, [runs, comes])
            assert len(trials["c"].readings) == 6
            assert (trials["mute"].answered, trials["mute"].sentence) == (False, "unit 1: no reply within 100 ms")
            assert (len(wire.connects), wire.closes) == (1, 1)

    run(main)


def test_what_cant_be_read_is_named() -> None:
    comes, wire = link("comes", {"c": [1.0]})
    wire.units["c"].bad_points = ["g0/t1"]
    wire.units["c"].qualities = [0, int(Quality.BAD_CONFIGURATION_ERROR), int(Quality.BAD_OUT_OF_RANGE)]

    async def main() -> None:
        async with Field([]) as field:
            trials = await tried(field, [comes])
            assert trials["c"].sentence == (
                "it answers; 2 of 3 tags can't be read, the first being g0/t1: no such address"
            )

    run(main)


def test_a_link_that_cant_be_made_says_why_for_all_its_devices_and_who_may_be_in_the_way() -> None:
    comes, wire = link("comes", {"x": [1.0], "y": [1.0]})
    wire.fault = LinkDown("connection refused")
    calm, _ = link("runs", {"r": [0.1]})
    by_name = {"comes": comes.kind.open_bus, "runs": calm.kind.open_bus}
    kind = replace(calm.kind, open_bus=lambda name, options, site: by_name[name](name, options, site))
    runs, comes = replace(calm, kind=kind), replace(comes, kind=kind)

    async def main() -> None:
        async with Field([runs]) as field:
            await asyncio.sleep(1.0)
            trials = await tried(field, [runs, comes])
            assert [trials[name].answered for name in ("x", "y")] == [False, False]
            assert trials["y"].sentence == (
                "connection refused; the link runs is connected there now, and some devices take one connection only"
            )

    run(main)


def test_what_another_link_has_is_tested_only_when_it_is_applied() -> None:
    runs, wire = link("runs", {"r": [0.1]})
    runs = replace(runs, kind=replace(runs.kind, claims=lambda _: ["/dev/ttyS0"]))

    async def main() -> None:
        async with Field([runs]) as field:
            await asyncio.sleep(1.0)
            trials = await tried(field, [replace(runs, options="9600 baud")])
            assert trials["r"].answered is None
            assert trials["r"].sentence == (
                "it can only be tested when it is applied: the link runs that runs has what it needs"
            )
            assert wire.buses == 1

    run(main)


@pytest.mark.parametrize("own_bus", [False, True])
def test_it_takes_no_longer_than_it_may_and_says_what_it_didnt_get_to(own_bus: bool) -> None:
    settings, wire = link("l", {"d": [0.1]})
    others, fast = link("others", {"o": [1.0]})
    for name in ("a", "b", "c"):
        wire.units[name] = Unit(name, wire, read_s=4.0)
    wanted = replace(settings, devices=devices_of({"d": [0.1], "a": [1.0], "b": [1.0], "c": [1.0]}))

    async def main() -> None:
        async with Field([] if own_bus else [settings]) as field:
            await asyncio.sleep(1.0)
            begun = now()
            trials = await tried(field, [wanted, others], 5.0)
            assert now() - begun < 6.0
            assert trials["a"].answered is True
            assert [trials[name].answered for name in ("b", "c")] == [None, None]
            assert trials["c"].sentence == "it wasn't tested: the others on the link took all of 5 s"
            assert trials["o"].answered is True
            await asyncio.sleep(5.0)
        assert len(fast.connects) == 1

    run(main)


def test_a_running_link_that_is_down_says_why() -> None:
    settings, wire = link("l", {"d": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            wire.break_off("the peer closed the connection")
            await asyncio.sleep(1.0)
            trials = await tried(field, [replace(settings, devices=devices_of({"d": [0.1], "new": [1.0]}))])
            assert trials["new"].sentence == "link l is down: the peer closed the connection"

    run(main)
