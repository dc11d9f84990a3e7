"""The device's identification as tags: asked seldom, read in pages, honest about what is missing."""

from __future__ import annotations

import pytest

from drivers.modbus import identity
from gateway.driver import DeviceSilent, LinkDown
from gateway.model import DataType, Quality
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support import raw_modbus as raw
from tests.support.raw_modbus import RawSlave

T = DataType
OBJECTS = {0: b"ACME", 1: b"M1", 2: b"V2.11", 4: "Zähler".encode(), 0x80: b"\xff\xfe"}


@pytest.fixture
def known(slave: RawSlave) -> RawSlave:
    slave.unsupported = set()
    slave.objects = dict(OBJECTS)
    return slave


async def test_objects_come_in_pages_and_are_asked_for_once(plant: Plant, known: RawSlave) -> None:
    device = await plant.device(known.port)
    plan = device.plan(
        group(
            point("id/vendor", "id:vendor", T.STRING),
            point("a", "hr:100"),
            point("id/name", "id:name", T.STRING),
            point("id/url", "id:url", T.STRING),
            point("id/own", "id:0x80", T.STRING),
        )
    )
    assert plan.errors == ()
    assert plan.describe() == [
        "unit 1: read 1 register from hr:100 (function 3, 1 tag)",
        "on every connection, then hourly: read device identification id:vendor, id:url, id:name, id:0x80 "
        "(function 43/14)",
    ]
    for _ in range(3):
        batch = await device.read(plan)
        assert batch.values == ("ACME", 1100, "Zähler", None, None)
        assert batch.qualities == (0, 0, 0, Quality.BAD_NODE_ID_INVALID, Quality.BAD_DECODING_ERROR)
    # Two objects a page, and the extended level, as object 0x80 is wanted.
    asked = [request.pdu[1:] for request in known.requests if request.function == 43]
    assert asked == [bytes((14, 3, first)) for first in (0, 2, 0x80)]


async def test_only_as_much_is_asked_as_is_wanted(plant: Plant, known: RawSlave) -> None:
    device = await plant.device(known.port)
    batch = await device.read(device.plan(group(point("id/revision", "id:revision", T.STRING))))
    assert (batch.values, batch.qualities) == (("V2.11",), None)
    assert {request.pdu[2] for request in known.requests} == {1}
    # Another group that wants more makes it ask once more.
    await device.read(device.plan(group(point("id/name", "id:name", T.STRING))))
    assert {request.pdu[2] for request in known.requests} == {1, 2}


async def test_after_a_reconnect_another_device_may_stand_there(plant: Plant, known: RawSlave) -> None:
    device = await plant.device(known.port)
    plan = device.plan(group(point("id/vendor", "id:vendor", T.STRING)))
    assert (await device.read(plan)).values == ("ACME",)
    assert not plan.asks
    known.objects[0] = b"Other"
    assert (await device.read(plan)).values == ("ACME",)
    await plant.buses[-1].connect()
    assert plan.asks
    assert (await device.read(plan)).values == ("Other",)


async def test_a_device_without_it_says_so_and_is_left_in_peace(plant: Plant, slave: RawSlave) -> None:
    device = await plant.device(slave.port)
    plan = device.plan(group(point("id/vendor", "id:vendor", T.STRING), point("a", "hr:100")))
    for _ in range(3):
        batch = await device.read(plan)
        assert (batch.values, batch.qualities) == ((None, 1100), (Quality.BAD_NOT_SUPPORTED, 0))
    assert [request.function for request in slave.requests].count(43) == 1


async def test_a_device_that_ignores_it_costs_one_timeout(plant: Plant, slave: RawSlave) -> None:
    async def ignore_43(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        if request.function != 43:
            await raw.answer(slave, request, send)

    slave.always(ignore_43)
    device = await plant.device(slave.port, link={"timeout_ms": 60})
    plan = device.plan(group(point("id/vendor", "id:vendor", T.STRING), point("a", "hr:100")))
    for _ in range(3):
        batch = await device.read(plan)
        assert (batch.values, batch.qualities) == ((None, 1100), (Quality.BAD_TIMEOUT, 0))
    assert [request.function for request in slave.requests].count(43) == 1
    alone = (await plant.device(slave.port, link={"timeout_ms": 60})).plan(
        group(point("id/vendor", "id:vendor", T.STRING))
    )
    slave.always(raw.mute)
    other = await plant.device(slave.port, link={"timeout_ms": 60})
    with pytest.raises(DeviceSilent):
        await other.read(other.plan(alone.group))


async def test_a_device_that_hangs_up_on_it_is_not_asked_on_each_connection(plant: Plant, slave: RawSlave) -> None:
    async def hang_up_on_43(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        await (raw.hang_up if request.function == 43 else raw.answer)(slave, request, send)

    slave.always(hang_up_on_43)
    device = await plant.device(slave.port)
    plan = device.plan(group(point("id/vendor", "id:vendor", T.STRING), point("a", "hr:100")))
    with pytest.raises(LinkDown):
        await device.read(plan)
    for _ in range(3):
        await plant.buses[-1].connect()
        batch = await device.read(plan)
        assert (batch.values, batch.qualities) == ((None, 1100), (Quality.BAD_NO_COMMUNICATION, 0))
    assert [request.function for request in slave.requests].count(43) == 1


async def test_an_identification_without_end_is_left_off(plant: Plant, known: RawSlave) -> None:
    """More follows, it says, and begins anew."""

    async def over_and_over(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        send(raw.frame(request.transaction, request.unit, bytes((43, 14, request.pdu[2], 1, 0xFF, 0, 1, 0, 1, 65))))

    known.always(over_and_over)
    device = await plant.device(known.port)
    batch = await device.read(device.plan(group(point("id/vendor", "id:vendor", T.STRING))))
    assert batch.values == ("A",)
    assert len(known.requests) == 1


def test_texts_are_trimmed_of_what_fills_them_up() -> None:
    assert identity.text_of(b"ACME  \0\xff\xff") == "ACME"
    assert identity.text_of(b"\xff") is None
