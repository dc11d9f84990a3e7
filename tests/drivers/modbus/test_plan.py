from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.modbus import KIND
from drivers.modbus.plan import ReadPlan
from gateway.driver import Point
from gateway.model import DataType
from tests.drivers.modbus.points import group, point
from tests.support.site import SITE

T = DataType


def plan(*points: Point, writable: bool = False, **device: Any) -> ReadPlan[Any]:
    bus = KIND.open_bus("link1", KIND.link_options(host="unused.invalid"), SITE)
    made = KIND.open_device(bus, "filler1", KIND.device_options(**device)).plan(group(*points, writable=writable))
    assert isinstance(made, ReadPlan)
    return made


def test_neighbours_share_a_request() -> None:
    made = plan(
        point("a", "hr:100"),
        point("b", "hr:101", T.FLOAT32),
        point("c", "hr:110"),
        point("d", "co:3", T.BOOL),
        point("e", "hr:500"),
    )
    assert made.errors == ()
    assert made.describe() == [
        "unit 1: read 11 registers from hr:100 (function 3, 3 tags)",
        "unit 1: read 1 register from hr:500 (function 3, 1 tag)",
        "unit 1: read 1 coil from co:3 (function 1, 1 tag)",
    ]


def test_one_request_per_tag() -> None:
    made = plan(point("a", "hr:100"), point("b", "hr:101"), one_request_per_tag=True)
    assert len(made.describe()) == 2


def test_reads_that_begin_at_zero() -> None:
    made = plan(
        point("a", "hr:30"), point("b", "hr:5"), point("c", "hr:124", T.FLOAT32), read_from_zero=True, max_gap=0
    )
    assert made.describe() == ["unit 1: read 31 registers from hr:0 (function 3, 2 tags)"]
    (error,) = made.errors
    assert error.message == (
        "float32 at 'hr:124' can't be reached, as with read_from_zero and max_registers 125 reads end at 124 on the "
        "wire: mend these, or drop the tag"
    )


def test_arrays_are_merged_like_single_values() -> None:
    made = plan(
        point("a", "hr:0", T.FLOAT32, count=20),
        point("b", "hr:44"),
        point("c", "hr:50.12", T.BOOL, count=8),
        point("d", "co:1", T.BOOL, count=30),
        point("e", "co:2", T.BOOL),
    )
    assert made.errors == ()
    assert made.describe() == [
        "unit 1: read 52 registers from hr:0 (function 3, 3 tags)",
        "unit 1: read 30 coils from co:1 (function 1, 2 tags)",
    ]


def test_requests_are_those_of_the_standard() -> None:
    """Frames by hand from Modbus Messaging on TCP/IP 1.0b and the Application Protocol's examples."""
    made = plan(point("a", "hr:107"), point("b", "hr:109"), unit=17)
    (request,) = made.requests
    assert request.prepared.tail.hex(" ") == "00 00 00 06 11 03 00 6b 00 03"
    assert request.prepared.reply_head.hex(" ") == "00 00 00 09 11 03 06"
    assert request.prepared.reply_size == 15


@pytest.mark.parametrize(
    ("bad", "sentence"),
    [
        (point("x", "hr:1", T.BOOL), "'hr:1' is a whole register: a bool needs one of its bits, such as 'hr:1.0'"),
        (point("x", "hr:1.3", T.UINT16), "'hr:1.3' is a single bit: it needs type bool, not uint16"),
        (point("x", "co:1", T.UINT16), "'co:1' is a single bit: coils need type bool, not uint16"),
        (
            point("x", "hr:65535", T.FLOAT32),
            "float32 at 'hr:65535' takes 2 registers and ends beyond 65535: mend the address",
        ),
        (point("x", "hr:1", T.STRING), "a string value has no 'length': add it, the number of registers it takes"),
        (
            point("x", "hr:1", T.UINT16, length=2),
            "option 'length' is for string and bytes only, not for uint16: drop it",
        ),
        (
            point("x", "hr:1", T.UINT16, byte="high"),
            "option 'byte' is for int8 and uint8 only, not for uint16: drop it",
        ),
        (
            point("x", "hr:1", T.INT64, bcd=True),
            "binary-coded decimal needs an integer type such as uint32, not int64: mend type or bcd",
        ),
        (point("x", "hr:1", T.JSON), "json is a structure, which no register holds"),
        (point("x", "hr:1", T.BYTES), "a bytes value has no 'length': add it, the number of registers it takes"),
        (
            point("x", "hr:1", T.DATETIME),
            "a datetime has no 'time': add the form it is written down in, such as time = \"unix-u32\"",
        ),
        (point("x", "hr:1", time="unix-u32"), "option 'time' is for datetime only, not for uint16: drop it"),
        (
            point("x", "hr:1", count=0),
            "Modbus can't say how many elements there are: give 'count' a number, or drop it",
        ),
        (
            point("x", "hr:1", T.FLOAT32, count=11),
            "the array of 11 float32 at 'hr:1' takes 22 registers, "
            "but the device's max_registers allows 20 in one read: take fewer",
        ),
        (
            point("x", "co:65530", T.BOOL, count=7),
            "the array of 7 bool at 'co:65530' takes 7 coils and ends beyond 65535: mend the address",
        ),
        (point("x", "id:vendor"), "'id:vendor' is a text: it needs type string, not uint16, and no 'count'"),
        (point("x", "id:vendor", T.STRING, length=4), "'id:vendor' says itself how long it is: drop 'length'"),
        (
            point("x", "hr:1", T.STRING, length=30),
            "string at 'hr:1' takes 30 registers, but the device's max_registers allows 20 in one read: take fewer",
        ),
    ],
)
def test_a_bad_point_is_reported_and_its_neighbours_are_planned(bad: Point, sentence: str) -> None:
    made = plan(point("a", "hr:100"), bad, point("b", "hr:101"), max_registers=20)
    assert [(error.path, error.message) for error in made.errors] == [("x", sentence)]
    assert made.describe() == ["unit 1: read 2 registers from hr:100 (function 3, 2 tags)"]


def test_what_is_read_only_cannot_be_declared_writable() -> None:
    made = plan(point("a", "ir:1"), point("b", "di:1", T.BOOL), point("c", "hr:1"), writable=True)
    assert [error.message for error in made.errors] == [
        "'ir:1' can't be writable: input registers are read-only, drop 'writable'",
        "'di:1' can't be writable: discrete inputs are read-only, drop 'writable'",
    ]


def test_numbering_from_one() -> None:
    made = plan(point("a", "hr:1"), point("b", "40002"), address_offset=1)
    (request,) = made.requests
    assert (request.span.address, request.span.count) == (0, 2)
    assert made.describe() == ["unit 1: read 2 registers from hr:1 (function 3, 2 tags)"]
    (error,) = plan(point("a", "hr:0"), address_offset=1).errors
    assert "numbers start at 1" in error.message


_points = st.builds(
    lambda table, number, wide: (table, number, wide),
    st.sampled_from(["hr", "ir", "co", "di"]),
    st.integers(0, 3000),
    st.booleans(),
)


@given(
    st.lists(_points, max_size=60),
    st.integers(2, 125),
    st.integers(1, 2000),
    st.integers(0, 124),
    st.booleans(),
)
def test_every_point_is_read_exactly_once(
    wanted: list[tuple[str, int, bool]], max_registers: int, max_bits: int, max_gap: int, separate: bool
) -> None:
    points = [
        point(
            f"tag{index}",
            f"{table}:{number}",
            T.BOOL if table in ("co", "di") else T.UINT32 if wide else T.INT16,
        )
        for index, (table, number, wide) in enumerate(wanted)
    ]
    made = plan(*points, max_registers=max_registers, max_bits=max_bits, max_gap=max_gap, one_request_per_tag=separate)
    assert made.errors == ()
    assert sorted(column for request in made.requests for column in request.columns) == list(range(len(points)))
    for request in made.requests:
        assert sorted(request.members) == sorted(request.columns)
        assert request.span.count <= (max_bits if request.table.holds_bits else max_registers)
        for column in request.members:
            address = points[column].options.address
            assert address.table is request.table
            assert request.span.address <= address.number < request.span.end
