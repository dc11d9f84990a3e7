"""When reads happen: the grid, its phases, lateness, missed slots, fairness on one wire."""

import asyncio
import itertools

import pytest

from gateway.southbound.schedule import phase
from tests.southbound.harness import Field, link, run


def test_first_read_at_once_then_exactly_on_the_grid() -> None:
    settings, wire = link("l", {"d": [0.5]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(10)
            begins = wire.units["d"].begins()
            assert begins[0] == pytest.approx(1000.001)
            expected = [1000.5 + 0.5 * k for k in range(len(begins) - 1)]
            assert begins[1:] == pytest.approx(expected, abs=1e-9)
            status = field.status("l", "d")
            assert status["missed"] == 0
            assert status["late"] == 0
            assert status["lateness_ms"]["max"] < 0.001
            assert status["polls"] == len(begins)
            assert status["good"] == 3 * len(begins)

    run(main)


def test_phases_spread_groups_of_one_interval_over_it() -> None:
    made = [link(f"l{i}", {f"d{i}": [1.0]}) for i in range(20)]

    async def main() -> None:
        async with Field([settings for settings, _ in made]):
            await asyncio.sleep(4.5)
        shifts = [wire.units[f"d{i}"].begins()[2] % 1.0 for i, (_, wire) in enumerate(made)]
        assert shifts == pytest.approx([phase(i) for i in range(20)], abs=1e-6)

    run(main)


def test_slots_that_pass_while_the_wire_is_busy_are_missed_and_never_made_up() -> None:
    settings, wire = link("l", {"d": [0.1]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.05)
            polls, missed = field.status("l", "d")["polls"], field.status("l", "d")["missed"]
            assert missed == 0
            unit.read_s = 0.35
            await asyncio.sleep(0.06)  # one slow read has begun, in the slot of 1001.1
            unit.read_s = 0.01
            await asyncio.sleep(0.93)
            status = field.status("l", "d")
            # It took the slots .2, .3 and .4 (that one begins late, at .45): two are lost, one is late.
            assert status["missed"] == 2
            assert status["late"] == 1
            assert status["lateness_ms"]["max"] == pytest.approx(50, abs=0.1)
            assert status["polls"] == polls + 10 - 2
            begins = unit.begins()
            assert min(b - a for a, b in itertools.pairwise(begins[1:])) >= 0.05 - 1e-9

    run(main)


def test_every_slot_is_either_polled_or_missed() -> None:
    settings, wire = link("l", {"d": [0.1]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.95)
            unit.read_s = 0.23
            await asyncio.sleep(3)
            wire.break_off()
            await asyncio.sleep(4)
            wire.mend()
            unit.read_s = 0.01
            await asyncio.sleep(10)
            status = field.status("l", "d")
            slots = round((asyncio.get_running_loop().time() - 1000) / 0.1 - 0.5)
            assert status["missed"] > 20
            # Reads off the grid: the first one and the first after the outage.
            assert status["polls"] - 2 + status["missed"] == slots

    run(main)


def test_a_read_that_takes_longer_than_its_interval_runs_at_the_pace_of_the_device() -> None:
    settings, wire = link("l", {"d": [0.1]})
    wire.units["d"].read_s = 0.15

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(30)
            status = field.status("l", "d")
            assert status["polls"] == pytest.approx(200, abs=2)
            assert status["missed"] == pytest.approx(100, abs=2)

    run(main)


def test_calls_of_devices_on_one_wire_never_overlap() -> None:
    settings, wire = link("l", {f"d{i}": [0.05, 0.1, 0.0] for i in range(4)})

    async def main() -> None:
        async with Field([settings]):
            await asyncio.sleep(20)
        assert sum(len(unit.reads) for unit in wire.units.values()) > 1000

    run(main)
    assert wire.overlaps == 0


def test_a_continuous_group_is_read_again_at_once_and_leaves_the_others_their_slots() -> None:
    settings, _ = link("l", {"fast": [0.0], "slow": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(10)
            assert field.status("l", "slow")["missed"] == 0
            assert field.status("l", "slow")["lateness_ms"]["max"] <= 10.001  # never more than the read it waits for
            assert field.status("l", "slow")["polls"] == pytest.approx(100, abs=2)
            assert field.status("l", "fast")["polls"] == pytest.approx(900, abs=5)

    run(main)


def test_continuous_groups_share_a_wire_evenly() -> None:
    settings, wire = link("l", {"a": [0.0], "b": [0.0], "c": [0.0]})

    async def main() -> None:
        async with Field([settings]):
            await asyncio.sleep(3)
        counts = [len(unit.reads) for unit in wire.units.values()]
        assert max(counts) - min(counts) <= 1

    run(main)


def test_a_driver_that_never_waits_leaves_the_loop_to_others() -> None:
    settings, wire = link("l", {"d": [0.0]})
    wire.connect_s = wire.units["d"].read_s = 0

    async def main() -> None:
        async with Field([settings]):
            for _ in range(200):
                await asyncio.sleep(0)
        assert 50 < len(wire.units["d"].reads) <= 200

    run(main)


def test_a_group_none_of_whose_tags_can_be_read_doesnt_spin_and_says_why() -> None:
    settings, wire = link("l", {"d": [0.0]})
    unit = wire.units["d"]
    unit.bad_points = ("g0/t0", "g0/t1", "g0/t2")
    unit.read_s = 0

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(10)
            assert len(unit.reads) == pytest.approx(10, abs=1)
            assert field.states("d") == ["connecting", "failure"]
            assert field.healths[-1].detail == "3 of 3 tags can't be read; g0/t0: no such address"
            assert field.status("l", "d")["errors"][2] == {"path": "g0/t2", "message": "no such address"}

    run(main)


def test_a_continuous_group_the_device_refused_as_a_whole_doesnt_spin() -> None:
    settings, wire = link("l", {"d": [0.0]})
    wire.units["d"].refused_groups = ("g0",)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(10)
            assert len(field.batches) == pytest.approx(10, abs=1)

    run(main)


def test_points_in_error_leave_the_device_normal_and_are_named() -> None:
    settings, wire = link("l", {"d": [1.0]})
    wire.units["d"].bad_points = ("g0/t1",)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            assert field.states("d") == ["connecting", "normal"]
            assert field.healths[-1].detail == "1 of 3 tags can't be read; g0/t1: no such address"

    run(main)
