"""New settings for running links: only what differs restarts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.driver import DeviceSilent, LinkDown
from gateway.model import Quality
from gateway.settings import BreakerSettings, DeviceSettings, LinkSettings
from tests.southbound.harness import SILENT, Field, Pushed, Unit, Wire, devices_of, group, link, now, run
from tests.support.effort import times

_TURN_S = 0.011
"""One read of a scripted device, and a little."""


def hang(settings: LinkSettings, devices: Mapping[str, Sequence[float | Pushed]]) -> LinkSettings:
    """The same link with other devices."""
    return replace(settings, devices=devices_of(devices))


async def reading(unit: Unit) -> None:
    """Until the device's next read has begun."""
    begun = asyncio.Event()

    async def pause(duration_s: float) -> None:
        begun.set()
        await asyncio.sleep(duration_s)

    unit.pause = pause
    await begun.wait()


def steady(begins: Sequence[float], interval_s: float, turn_s: float = _TURN_S) -> bool:
    """Whether reads came on their grid, none late by more than a turn of the bus, none missed."""
    gaps = [later - earlier for earlier, later in pairwise(begins)]
    return all(abs(gap - interval_s) <= turn_s for gap in gaps)


def test_what_is_equal_runs_on_through_many_applies() -> None:
    settings, wire = link("l", {"d": [0.1, 1.0], "e": [0.2]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            for step in range(50):
                changed = hang(settings, {"d": [0.1, 1.0], f"x{step}": [0.05], "e": [0.2, 0.3 + step / 100]})
                await field.supervisor.apply([changed])
                await asyncio.sleep(0.5)
            for unit, name, interval_s in (("d", "g0", 0.1), ("d", "g1", 1.0), ("e", "g0", 0.2)):
                assert steady(wire.units[unit].begins(name)[2:], interval_s, 4 * _TURN_S)
                assert field.status("l", unit, name)["missed"] == 0
            assert field.status("l", "d", "g0")["polls"] > 250, "its counters went back to zero"
            assert [wire.units[unit].opened for unit in ("d", "e")] == [1, 1]
            assert (len(wire.connects), wire.closes, wire.overlaps) == (1, 0, 0)

    run(main)


def test_a_changed_group_is_planned_anew_and_read_at_once() -> None:
    settings, wire = link("l", {"d": [0.1, 10.0]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5.0)
            changed = hang(settings, {"d": [0.1, 10.0]})
            device = changed.devices[0]
            changed = replace(
                changed, devices=(replace(device, groups=(device.groups[0], group("d", "g1", 10.0, tags=5))),)
            )
            begun = now()
            await field.supervisor.apply([changed])
            await asyncio.sleep(0.1)
            fresh = [batch for at, batch in field.batches if at > begun and batch.layout.group == "g1"]
            assert [len(batch.values) for batch in fresh] == [5]
            assert fresh[0].layout is changed.devices[0].groups[1].poll.layout
            assert wire.units["d"].opened == 1
            assert field.status("l", "d", "g1")["tags"] == 5

    run(main)


def test_a_device_with_other_options_gets_a_new_driver_on_the_same_bus() -> None:
    settings, wire = link("l", {"d": [0.1], "e": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            first, second = settings.devices
            await field.supervisor.apply(
                [replace(settings, devices=(DeviceSettings("d", "other", first.groups), second))]
            )
            await asyncio.sleep(1.0)
            assert [wire.units[name].opened for name in ("d", "e")] == [2, 1]
            assert (len(wire.connects), wire.buses) == (1, 1)
            assert field.states("d") == ["connecting", "normal", "connecting", "normal"]
            assert field.states("e") == ["connecting", "normal"]
            assert steady(wire.units["e"].begins()[2:], 0.1, 2 * _TURN_S)

    run(main)


def test_nothing_comes_from_a_group_once_it_is_gone() -> None:
    """Also if it was being read: what the device answers then is still handed on, before."""
    settings, wire = link("l", {"slow": [1.0], "d": [0.5]})
    wire.units["slow"].read_s = 0.4

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2.0)
            await reading(wire.units["slow"])
            handed = field.count("slow")
            await field.supervisor.apply([hang(settings, {"d": [0.5]})])
            assert field.count("slow") == handed + 1, "the answer under way wasn't thrown away"
            reads = len(wire.units["slow"].reads)
            await asyncio.sleep(5.0)
            assert (field.count("slow"), len(wire.units["slow"].reads)) == (handed + 1, reads)
            assert "slow" not in field.supervisor.status()["links"]["l"]["devices"]
            with pytest.raises(KeyError):
                await field.supervisor.read("slow", "g0/t0")

    run(main)


def test_links_come_go_and_restart_while_others_run_on() -> None:
    stays, wire = link("stays", {"s": [0.1]})
    goes, gone = link("goes", {"g": [0.1]})
    restarts, again = link("restarts", {"r": [0.1]})
    comes, fresh = link("comes", {"c": [0.1]})

    async def main() -> None:
        async with Field([stays, goes, restarts]) as field:
            await asyncio.sleep(1.0)
            await field.supervisor.apply([replace(restarts, options="other"), comes, stays])
            reads = len(gone.units["g"].reads)
            await asyncio.sleep(1.0)
            assert [*field.supervisor.status()["links"]] == ["restarts", "comes", "stays"]
            assert len(gone.units["g"].reads) == reads
            assert (gone.closes, again.closes, len(again.connects), fresh.buses) == (1, 1, 2, 1)
            assert fresh.units["c"].reads
            assert steady(wire.units["s"].begins()[2:], 0.1)
            assert (len(wire.connects), field.status("stays", "s")["missed"]) == (1, 0)
            await field.supervisor.apply([])
            assert field.supervisor.status()["links"] == {}

    run(main)


def test_what_leaves_is_closed_before_what_comes_is_opened() -> None:
    """A serial port has room for one."""
    before, wire = link("a", {"d": [0.1]})
    after = replace(before, name="b")
    order: list[str] = []

    async def main() -> None:
        async with Field([before]) as field:
            await asyncio.sleep(0.5)
            closes, connects = wire.closes, len(wire.connects)
            await field.supervisor.apply([after])
            assert (wire.closes, len(wire.connects)) == (closes + 1, connects)
            order.append("closed first")
            await asyncio.sleep(0.5)
            assert len(wire.connects) == connects + 1

    run(main)
    assert order == ["closed first"]


@pytest.mark.parametrize("releases", [False, True])
def test_a_subscription_that_leaves_is_ended_at_the_device(releases: bool) -> None:
    settings, wire = link("l", {"d": [Pushed(), Pushed(), 0.1]}, releases=releases)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            unit = wire.units["d"]
            left = unit.subscribed["g1"]
            without = replace(
                settings.devices[0], groups=(settings.devices[0].groups[0], settings.devices[0].groups[2])
            )
            await field.supervisor.apply([replace(settings, devices=(without,))])
            count = field.count("d", "g1")
            left.say()
            await asyncio.sleep(1.0)
            assert field.count("d", "g1") == count
            if releases:
                assert (unit.releases, len(wire.connects)) == (["g1"], 1)
                assert len([name for name, _ in unit.subscribes if name == "g0"]) == 1
            else:
                assert (len(wire.connects), wire.buses, unit.opened) == (2, 1, 1), "only the bus can end it"
                assert len([name for name, _ in unit.subscribes if name == "g0"]) == 2
            unit.subscribed["g0"].say(7, 7, 7)
            assert field.tags("d", "g0")[0] == (7, 0)
            assert field.states("d") == ["connecting", "normal"]

    run(main)


def test_a_subscribed_device_leaves_whole() -> None:
    settings, wire = link("l", {"d": [Pushed(), Pushed()], "e": [0.1]}, releases=True)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            await field.supervisor.apply([hang(settings, {"e": [0.1]})])
            await asyncio.sleep(1.0)
            assert wire.units["d"].releases == [None]
            assert len(wire.connects) == 1

    run(main)


@pytest.mark.parametrize("fault", [DeviceSilent("no answer"), RuntimeError("flaw"), LinkDown("gone")])
def test_a_device_that_wont_let_go_costs_the_bus_and_no_more(fault: Exception) -> None:
    settings, wire = link("l", {"d": [Pushed()], "e": [0.1]}, releases=True)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            wire.units["d"].release_fault = fault
            await field.supervisor.apply([hang(settings, {"e": [0.1]})])
            await asyncio.sleep(2.0)
            assert len(wire.connects) == 2
            assert field.codes("e")[-1] == 0

    run(main)


def test_a_driver_that_cant_plan_a_new_group_is_isolated() -> None:
    settings, wire = link("l", {"d": [0.1], "e": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            wire.units["d"].plan_fault = RuntimeError("flaw")
            await field.supervisor.apply([hang(settings, {"d": [0.1, 0.2], "e": [0.1]})])
            await asyncio.sleep(0.5)
            assert field.transitions("d")[-1] == Quality.BAD_INTERNAL_ERROR
            assert field.codes("e")[-1] == 0
            wire.units["d"].plan_fault = None
            await asyncio.sleep(3.0)
            assert field.codes("d")[-1] == field.codes("d", "g1")[-1] == 0

    run(main)


def test_a_group_that_comes_to_a_silent_device_is_bad_at_once_and_read_when_it_answers() -> None:
    settings, wire = link("l", {"d": [0.1]}, breaker=BreakerSettings(2, 5.0))

    async def main() -> None:
        async with Field([settings]) as field:
            wire.units["d"].fault = SILENT
            await asyncio.sleep(2.0)
            await field.supervisor.apply([replace(hang(settings, {"d": [0.1, 0.2]}), breaker=BreakerSettings(2, 1.0))])
            assert field.codes("d", "g1") == [Quality.BAD_TIMEOUT]
            await asyncio.sleep(6.0)
            assert field.codes("d", "g1") == [Quality.BAD_TIMEOUT]
            wire.units["d"].fault = None
            await asyncio.sleep(1.5)
            assert field.transitions("d", "g1") == [Quality.BAD_TIMEOUT, 0], "the new pause between tries holds"

    run(main)


def test_the_group_a_silent_device_is_tried_with_may_leave() -> None:
    settings, wire = link("l", {"d": [0.1, 0.1]}, breaker=BreakerSettings(1, 1.0))

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            wire.units["d"].fault = SILENT
            await asyncio.sleep(3.0)
            tried = wire.units["d"].reads[-1][0]
            left = [each for each in settings.devices[0].groups if each.poll.name != tried]
            await field.supervisor.apply(
                [replace(settings, devices=(replace(settings.devices[0], groups=tuple(left)),))]
            )
            wire.units["d"].fault = None
            await asyncio.sleep(3.0)
            assert field.codes("d", left[0].poll.name)[-1] == 0

    run(main)


def test_what_comes_to_a_link_that_is_down_is_bad_at_once() -> None:
    settings, wire = link("l", {"d": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.0)
            wire.break_off()
            await asyncio.sleep(1.0)
            await field.supervisor.apply([hang(settings, {"d": [0.1, 0.2], "e": [0.1]})])
            assert field.codes("d", "g1") == field.codes("e") == [Quality.BAD_NO_COMMUNICATION]
            assert field.states("e") == ["connecting", "failure"]
            wire.mend()
            await asyncio.sleep(6.0)
            assert field.codes("d", "g1")[-1] == field.codes("e")[-1] == 0

    run(main)


def test_a_device_that_comes_and_says_nothing_is_waited_for() -> None:
    settings, wire = link("l", {"d": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5.0)
            wire.units["e"] = Unit("e", wire, on_subscribe=lambda subscribed: None)
            await field.supervisor.apply([hang(settings, {"d": [0.1], "e": [Pushed()]})])
            await asyncio.sleep(2.0)
            assert field.codes("e") == [Quality.BAD_WAITING_FOR_INITIAL_DATA]

    run(main)


def test_a_link_whose_driver_doesnt_return_is_started_anew() -> None:
    settings, wire = link("l", {"d": [0.1], "e": [0.1]})
    other, calm = link("calm", {"c": [0.1]})

    async def main() -> None:
        async with Field([settings, other]) as field:
            await asyncio.sleep(1.0)
            wire.units["d"].read_s = 1e6
            await asyncio.sleep(0.2)
            begun = now()
            await field.supervisor.apply([hang(settings, {"e": [0.1]}), other])
            assert now() - begun < 20
            wire.busy = 0
            await asyncio.sleep(1.0)
            assert field.codes("e")[-1] == 0
            assert (wire.buses, len(calm.connects)) == (2, 1)
            assert steady(calm.units["c"].begins()[2:], 0.1)

    run(main)


def test_a_write_to_a_device_that_leaves_isnt_sent() -> None:
    settings, wire = link("l", {"d": [0.1], "slow": [0.1]}, writes=True)
    wire.units["slow"].read_s = 0.5

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2.0)
            await reading(wire.units["slow"])
            write = asyncio.create_task(field.supervisor.write("d", "g0/t0", 5))
            await asyncio.sleep(0)
            await field.supervisor.apply([hang(settings, {"slow": [0.1]})])
            with pytest.raises(DeviceSilent, match="nothing was sent"):
                await write
            assert wire.units["d"].writes == []

    run(main)


# -- against a toy -----------------------------------------------------------------------------------------------------

_PACES: Sequence[float | Pushed] = (0.1, 0.5, Pushed())
_LINKS = ("a", "b", "c")

_GROUPS = st.lists(st.sampled_from(range(len(_PACES))), min_size=1, max_size=3)
_DEVICES = st.dictionaries(
    st.sampled_from(["x", "y", "z"]), st.tuples(st.sampled_from(["o1", "o2"]), _GROUPS), max_size=3
)
_CONFIGURATIONS = st.dictionaries(
    st.sampled_from(_LINKS), st.tuples(st.sampled_from(["p1", "p2"]), _DEVICES), max_size=3
)
"""Link → (options, device → (options, the pace of each group))."""


@settings(max_examples=times(60), deadline=None)
@given(st.lists(_CONFIGURATIONS, min_size=2, max_size=6), st.lists(st.floats(0.0, 1.3), min_size=6, max_size=6))
def test_any_sequence_of_configurations_runs_what_the_last_one_says(
    configurations: list[dict[str, tuple[str, dict[str, tuple[str, list[int]]]]]], pauses: list[float]
) -> None:
    """The toy: a link's bus lives as long as its options do, a device's driver as long as that and its own options."""
    wires: dict[str, Wire] = {}
    kinds: dict[str, LinkSettings] = {}
    for name in _LINKS:
        kinds[name], wires[name] = link(name, {}, releases=True)
    buses: Counter[str] = Counter()
    drivers: Counter[str] = Counter()

    def settings_of(name: str, options: str, devices: dict[str, tuple[str, list[int]]]) -> LinkSettings:
        made = [
            DeviceSettings(
                f"{name}{device}", own, tuple(group(f"{name}{device}", f"g{i}", _PACES[p]) for i, p in enumerate(paces))
            )
            for device, (own, paces) in devices.items()
        ]
        return replace(kinds[name], options=options, devices=tuple(made))

    async def main() -> None:
        before: dict[str, tuple[str, dict[str, tuple[str, list[int]]]]] = {}
        async with Field([]) as field:
            for configuration, pause in zip(configurations, pauses, strict=False):
                marks = {
                    (source, each): polls
                    for each_link in field.supervisor.status()["links"].values()
                    for source, device in each_link["devices"].items()
                    for each, body in device["groups"].items()
                    for polls in [body["polls"]]
                }
                await field.supervisor.apply([settings_of(name, *each) for name, each in configuration.items()])
                begun = len(field.batches)
                for name, (options, devices) in configuration.items():
                    stays = name in before and before[name][0] == options
                    buses[name] += not stays
                    for device, (own, paces) in devices.items():
                        had = before[name][1].get(device) if stays else None
                        same = had is not None and had[0] == own
                        drivers[f"{name}{device}"] += not same
                        for i, pace in enumerate(paces):
                            key = (f"{name}{device}", f"g{i}")
                            if same and had is not None and i < len(had[1]) and had[1][i] == pace and pause:
                                body = field.status(name, key[0])
                                assert body is not None
                                now_polls = field.status(name, key[0], key[1])["polls"]
                                assert now_polls >= marks[key], "a group that is equal was started anew"
                before = configuration
                await asyncio.sleep(0.2 + pause)
                spoke = {(batch.layout.source, batch.layout.group) for _, batch in field.batches[begun:]}
                wanted = {
                    (f"{name}{device}", f"g{i}")
                    for name, (_, devices) in configuration.items()
                    for device, (_, paces) in devices.items()
                    for i in range(len(paces))
                }
                assert spoke <= wanted, "something that left speaks"
                status = field.supervisor.status()["links"]
                shown = {
                    (device, each)
                    for body in status.values()
                    for device, inner in body["devices"].items()
                    for each in inner["groups"]
                }
                assert shown == wanted
                known = {(batch.layout.source, batch.layout.group) for _, batch in field.batches}
                assert wanted <= known, "something that came was never read"
                for source, each in wanted:
                    assert field.tags(source, each)[0] == (1, 0)
            assert Counter({name: wire.buses for name, wire in wires.items() if wire.buses}) == +buses
            opened = Counter({unit.name: unit.opened for wire in wires.values() for unit in wire.units.values()})
            assert +opened == +drivers
            assert not any(wire.overlaps for wire in wires.values())

    run(main)
