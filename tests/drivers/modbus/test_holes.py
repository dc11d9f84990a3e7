"""Addresses the device doesn't have, and reads it won't do in one go."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drivers.modbus import memory
from drivers.modbus.plan import ReadPlan
from gateway.model import DataType, Quality
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support.raw_modbus import RawSlave

INVALID = int(Quality.BAD_NODE_ID_INVALID)


def ask_again_now(plan: ReadPlan[Any]) -> None:
    for _, hole in plan.holes():
        hole.retry_at = 0.0
    plan.schedule()


HUNDRED = group(*(point(f"tag{index}", f"hr:{index}") for index in range(100)))


async def test_one_missing_address_costs_its_own_tag_only(
    plant: Plant, slave: RawSlave, caplog: pytest.LogCaptureFixture
) -> None:
    slave.holes = {37}
    device = await plant.device(slave.port)
    plan = device.plan(HUNDRED)
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            batch = await device.read(plan)
            assert batch.values == tuple(None if index == 37 else 1000 + index for index in range(100))
            assert batch.qualities == tuple(INVALID if index == 37 else 0 for index in range(100))
    assert [request.span.address for request in plan.requests] == [0, 38]
    asked = len(slave.requests)
    await device.read(plan)
    assert len(slave.requests) == asked + 2
    # Said once, not at every read.
    (record,) = caplog.records
    assert "filler1 refuses tag37 (hr:37): exception 2 (illegal data address); the rest is read" in record.message


async def test_a_plan_without_any_address_left_asks_only_when_one_is_tried_again(
    plant: Plant, slave: RawSlave, monkeypatch: pytest.MonkeyPatch
) -> None:
    slave.holes = {7}
    device = await plant.device(slave.port)
    plan = device.plan(group(point("tag", "hr:7")))
    assert plan.asks
    await device.read(plan)
    asked = len(slave.requests)
    assert not plan.asks
    await device.read(plan)
    assert len(slave.requests) == asked
    ask_again_now(plan)
    assert plan.asks
    await device.read(plan)
    assert len(slave.requests) > asked


async def test_it_comes_back_by_itself(
    plant: Plant, slave: RawSlave, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(memory, "RETRY_S", 0.0)
    slave.holes = {37}
    device = await plant.device(slave.port)
    plan = device.plan(HUNDRED)
    for _ in range(3):
        assert (await device.read(plan)).qualities is not None
    slave.holes = set()
    with caplog.at_level(logging.INFO):
        assert (await device.read(plan)).qualities is None
    assert (await device.read(plan)).values == tuple(range(1000, 1100))
    assert len(plan.requests) == 1
    assert [record.message for record in caplog.records if record.levelno == logging.INFO] == [
        "device filler1: tag37 (hr:37) can be read now"
    ]


async def test_it_is_asked_for_ever_more_rarely(plant: Plant, slave: RawSlave, monkeypatch: pytest.MonkeyPatch) -> None:
    slave.holes = {1}
    device = await plant.device(slave.port)
    plan = device.plan(group(point("a", "hr:0"), point("b", "hr:1")))
    await device.read(plan)
    waits = []
    for _ in range(20):
        ((_, hole),) = plan.holes()
        waits.append(hole.delay_s)
        ask_again_now(plan)
        await device.read(plan)
    assert waits[:4] == [10, 20, 40, 80]
    assert waits[-1] == 86_400


async def test_a_device_with_a_smaller_limit_than_the_standard(plant: Plant, slave: RawSlave) -> None:
    slave.max_count = 51
    device = await plant.device(slave.port)
    plan = device.plan(HUNDRED)
    for _ in range(2):
        batch = await device.read(plan)
        assert (batch.values, batch.qualities) == (tuple(range(1000, 1100)), None)
    assert [request.span.count for request in plan.requests] == [51, 49]


async def test_a_gap_that_cannot_be_read_across(plant: Plant, slave: RawSlave) -> None:
    slave.holes = {5}
    device = await plant.device(slave.port)
    plan = device.plan(group(point("a", "hr:4"), point("b", "hr:6")))
    for _ in range(2):
        batch = await device.read(plan)
        assert (batch.values, batch.qualities) == ((1004, 1006), None)
    assert not list(plan.holes())
    assert len(plan.requests) == 2


async def test_bits_of_one_missing_register_fall_together(plant: Plant, slave: RawSlave) -> None:
    slave.holes = {1}
    device = await plant.device(slave.port)
    bits = [point(f"bit{bit}", f"hr:1.{bit}", DataType.BOOL) for bit in range(3)]
    plan = device.plan(group(point("a", "hr:0"), *bits))
    batch = await device.read(plan)
    assert (batch.values, batch.qualities) == ((1000, None, None, None), (0, INVALID, INVALID, INVALID))


async def test_nothing_at_all_exists(plant: Plant, slave: RawSlave) -> None:
    slave.holes = set(range(100))
    device = await plant.device(slave.port)
    plan = device.plan(HUNDRED)
    for _ in range(10):
        batch = await device.read(plan)
        assert batch.values == (None,) * 100
        assert batch.qualities is not None
        assert all(batch.qualities)
    assert batch.qualities == (INVALID,) * 100
    assert batch.read_ns > 0


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=25, unique=True),
    st.sets(st.integers(0, 61), max_size=6),
    st.integers(1, 30),
)
async def test_whatever_is_missing_the_rest_is_read(
    plant: Plant, slave: RawSlave, wanted: list[int], holes: set[int], limit: int
) -> None:
    slave.holes, slave.max_count = holes, max(2, limit)
    device = await plant.device(slave.port)
    plan = device.plan(group(*(point(f"tag{number}", f"hr:{number}", DataType.UINT32) for number in wanted)))
    for _ in range(8):
        batch = await device.read(plan)
    expected = [None if {number, number + 1} & holes else (1000 + number) << 16 | 1001 + number for number in wanted]
    assert list(batch.values) == expected
    assert list(batch.qualities or [0] * len(wanted)) == [INVALID if value is None else 0 for value in expected]
    await plant.buses.pop().close()
