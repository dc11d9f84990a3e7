"""What a device refuses is learnt once, for all groups and across restarts, and costs as few requests as can be."""

from __future__ import annotations

import functools
import itertools
import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.modbus import memory
from drivers.modbus.plan import ReadPlan
from gateway.model import Quality
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support.raw_modbus import RawSlave

INVALID = int(Quality.BAD_NODE_ID_INVALID)
HUNDRED = group(*(point(f"tag{index}", f"hr:{index}") for index in range(100)))


def spans(plan: ReadPlan[object]) -> list[tuple[int, int]]:
    return [(request.span.address, request.span.count) for request in plan.requests]


async def test_a_limit_is_learnt_once_and_every_block_is_planned_to_it(
    plant: Plant, slave: RawSlave, caplog: pytest.LogCaptureFixture
) -> None:
    slave.max_count = 51
    device = await plant.device(slave.port)
    plan = device.plan(group(*(point(f"tag{index}", f"hr:{index}") for index in range(200))))
    other = device.plan(group(*(point(f"tag{index}", f"hr:{1000 + index}") for index in range(120))))
    with caplog.at_level(logging.INFO):
        batch = await device.read(plan)
    assert (batch.values, batch.qualities) == (tuple(range(1000, 1200)), None)
    assert spans(plan) == [(0, 51), (51, 51), (102, 51), (153, 47)]
    assert [record.message for record in caplog.records] == [
        "device filler1 gives at most 51 of the holding registers in one read"
    ]
    # The other group was planned before that was known, and pays nothing for it.
    asked = len(slave.requests)
    await device.read(other)
    assert spans(other) == [(1000, 51), (1051, 51), (1102, 18)]
    assert len(slave.requests) == asked + 3
    assert plan.describe()[-1] == "learnt: at most 51 of the holding registers in one read"


async def test_a_border_is_found_where_it_is(plant: Plant, slave: RawSlave) -> None:
    """Two areas of memory side by side: each can be read, but not both in one go."""
    slave.borders = {37}
    device = await plant.device(slave.port)
    plan = device.plan(HUNDRED)
    for _ in range(2):
        batch = await device.read(plan)
        assert (batch.values, batch.qualities) == (tuple(range(1000, 1100)), None)
    assert spans(plan) == [(0, 37), (37, 63)]
    assert plan.describe()[-1] == "learnt: no read across hr:37"


async def test_a_border_after_the_first_address_is_no_limit_of_one(plant: Plant, slave: RawSlave) -> None:
    slave.borders = {1}
    device = await plant.device(slave.port)
    plan = device.plan(group(point("a", "hr:0"), point("b", "hr:1")))
    assert (await device.read(plan)).qualities is None
    assert plan.describe()[-1] == "learnt: no read across hr:1"
    other = device.plan(HUNDRED)
    assert (await device.read(other)).qualities is None
    assert spans(other) == [(0, 1), (1, 99)]


async def test_a_device_that_gives_one_register_a_read(plant: Plant, slave: RawSlave) -> None:
    slave.max_count = 1
    device = await plant.device(slave.port)
    plan = device.plan(HUNDRED)
    for _ in range(8):
        batch = await device.read(plan)
    assert (batch.values, batch.qualities) == (tuple(range(1000, 1100)), None)
    assert plan.describe()[-1] == "learnt: at most 1 of the holding registers in one read"
    assert len(plan.requests) == 100


async def test_it_outlives_a_restart_and_is_tried_again_soon(plant: Plant, slave: RawSlave) -> None:
    slave.max_count, slave.holes = 51, {7}
    device = await plant.device(slave.port, state="kept")
    plan = device.plan(HUNDRED)
    for _ in range(6):
        await device.read(plan)
    asked = len(slave.requests)
    again = await plant.device(slave.port, state="kept")
    fresh = again.plan(HUNDRED)
    assert spans(fresh) == spans(plan) == [(0, 7), (8, 51), (59, 41)]
    assert "hr:7 is refused with exception 2 (illegal data address); asked again in 10 s" in fresh.describe()[-1]
    batch = await again.read(fresh)
    assert batch.qualities == tuple(INVALID if index == 7 else 0 for index in range(100))
    assert len(slave.requests) == asked + 3


@pytest.mark.parametrize(
    "change", [{"unit": 2}, {"max_registers": 100}, {"address_offset": 1}], ids=lambda change: next(iter(change))
)
async def test_another_configuration_begins_anew(plant: Plant, slave: RawSlave, change: dict[str, int]) -> None:
    slave.holes = {7}
    device = await plant.device(slave.port, state="kept")
    await device.read(device.plan(HUNDRED))
    again = await plant.device(slave.port, state="kept", **change)
    assert not list(again.plan(HUNDRED).holes())


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", '{"format": 1}', '{"format": 2, "digest": ""}', "\x00\xff"],
)
async def test_a_file_that_cannot_be_used_is_no_harm(plant: Plant, slave: RawSlave, content: str) -> None:
    slave.holes = {7}
    file = plant.state / "kept" / "filler1.json"
    file.parent.mkdir()
    file.write_text(content, encoding="latin-1")
    device = await plant.device(slave.port, state="kept")
    plan = device.plan(HUNDRED)
    await device.read(plan)
    assert len(list(plan.holes())) == 1
    assert json.loads(file.read_text())["holes"] == [["hr", 7, 1, 2, 10.0]]


async def test_a_directory_that_cannot_be_made_costs_the_memory_only(
    plant: Plant, slave: RawSlave, caplog: pytest.LogCaptureFixture
) -> None:
    (plant.state / "file").write_text("")
    slave.holes = {7, 8}
    device = await plant.device(slave.port, state="file/below")
    with caplog.at_level(logging.INFO):
        for _ in range(2):
            await device.read(device.plan(HUNDRED))
    assert len([record for record in caplog.records if "can't be kept" in record.message]) == 1


async def test_borders_and_limits_are_found_out_anew_each_day(
    plant: Plant, slave: RawSlave, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    slave.max_count = 51
    device = await plant.device(slave.port)
    plan = device.plan(HUNDRED)
    with caplog.at_level(logging.INFO):
        await device.read(plan)
        assert spans(plan) == [(0, 51), (51, 49)]
        plan._memory.forget_at = plan.review_at = 0.0
        assert (await device.read(plan)).qualities is None
        assert spans(plan) == [(0, 100)]
        assert (await device.read(plan)).qualities is None
    assert spans(plan) == [(0, 51), (51, 49)]
    # It is no news the second time.
    assert len(caplog.records) == 1
    slave.max_count = 125
    plan._memory.forget_at = plan.review_at = 0.0
    for _ in range(2):
        await device.read(plan)
    assert spans(plan) == [(0, 100)]


async def test_a_value_longer_than_the_limit_is_bad_and_the_rest_is_not(plant: Plant, slave: RawSlave) -> None:
    slave.max_count = 10
    device = await plant.device(slave.port)
    plan = device.plan(
        group(*(point(f"t{index}", f"hr:{index}") for index in range(30)), point("w", "hr:40", count=12))
    )
    for _ in range(4):
        batch = await device.read(plan)
    assert batch.values == (*range(1000, 1030), None)
    assert batch.qualities == (*[0] * 30, int(Quality.BAD_OUT_OF_RANGE))
    assert len(plan.requests) == 3


def test_the_memory_keeps_what_it_learnt_and_nothing_else(tmp_path: object) -> None:
    table = memory.DATA_TABLES[2]
    first = memory.Memory()
    place = (table, memory.Span(5, 2))
    assert first.dig(place, 2)
    version = first.version
    assert not first.dig(place, 2)
    assert first.version == version
    first.fill(place)
    assert first.version > version
    assert not first.holes


class Truth:
    """What the toy device lets one read, and the fewest requests that get it."""

    def __init__(self, wanted: list[tuple[int, int]], holes: set[int], borders: set[int], limit: int) -> None:
        self.holes, self.borders, self.limit = holes, borders, limit
        self.readable = sorted(span for span in wanted if self.allows(*span))

    def allows(self, address: int, end: int) -> bool:
        return (
            end - address <= self.limit
            and not any(address <= hole < end for hole in self.holes)
            and not any(address < border < end for border in self.borders)
        )

    def fewest(self, max_gap: int) -> int:
        spans = self.readable

        @functools.cache
        def best(start: int) -> int:
            if start == len(spans):
                return 0
            fewest = len(spans)
            for stop in range(start + 1, len(spans) + 1):
                run = spans[start:stop]
                gaps = [after[0] - before[1] for before, after in itertools.pairwise(run)]
                if all(gap <= max_gap for gap in gaps) and self.allows(run[0][0], run[-1][1]):
                    fewest = min(fewest, 1 + best(stop))
            return fewest

        return best(0)


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), min_size=1, max_size=40),
    st.sets(st.integers(0, 250), max_size=8),
    st.sets(st.integers(0, 250), max_size=4),
    st.integers(4, 60),
    st.integers(0, 20),
)
async def test_a_plan_comes_to_read_everything_readable_with_the_fewest_requests(
    plant: Plant,
    slave: RawSlave,
    steps: list[tuple[int, int]],
    holes: set[int],
    borders: set[int],
    limit: int,
    max_gap: int,
) -> None:
    slave.holes, slave.borders, slave.max_count = holes, borders, limit
    slave.holding[:300] = range(300)
    wanted: list[tuple[int, int]] = []
    at = 0
    for gap, width in steps:
        wanted.append((at + gap, at + gap + width))
        at += gap + width
    truth = Truth(wanted, holes, borders, limit)
    device = await plant.device(slave.port, max_gap=max_gap)
    plan = device.plan(group(*(point(f"t{begin}", f"hr:{begin}", count=end - begin) for begin, end in wanted)))
    for _ in range(12):
        batch = await device.read(plan)
        # Whatever it knows by then: what it calls good is right.
        for (begin, end), value in zip(wanted, batch.values, strict=True):
            assert value in (None, tuple(range(begin, end)))
    expected = [tuple(range(*span)) if span in truth.readable else None for span in wanted]
    assert list(batch.values) == expected
    assert len(plan.requests) == truth.fewest(max_gap)
    await plant.buses.pop().close()
