from __future__ import annotations

import re

import pytest

from drivers.common.codec import decode
from drivers.common.times import FORMS, form
from drivers.common.words import Encoding, WordOrder, encode
from gateway.model import DataType

ABCD, CDAB, BADC, DCBA = WordOrder


def moment(name: str, order: WordOrder = ABCD, utc_offset_s: int = 0) -> Encoding:
    return Encoding(DataType.DATETIME, order, time=form(name), utc_offset_s=utc_offset_s)


# Worked by hand. 2026-11-25T12:54:18Z is 1795611258 s since 1970: 0x6B06DA7A.
@pytest.mark.parametrize(
    ("encoding", "wire", "text"),
    [
        (moment("unix-u32"), "6B06DA7A", "2026-11-25T12:54:18Z"),
        (moment("unix-u32", CDAB), "DA7A6B06", "2026-11-25T12:54:18Z"),
        (moment("unix-u32", DCBA), "7ADA066B", "2026-11-25T12:54:18Z"),
        (moment("unix-u32"), "FFFFFFFF", "2106-02-07T06:28:15Z"),
        (moment("unix-s32"), "FFFFFFFF", "1969-12-31T23:59:59Z"),
        (moment("unix-u32", utc_offset_s=3600), "6B06DA7A", "2026-11-25T11:54:18Z"),
        (moment("unix-s64"), "000000006B06DA7A", "2026-11-25T12:54:18Z"),
        (moment("unix-ms"), "0000000000000001", "1970-01-01T00:00:00.001Z"),
        (moment("unix-us"), "FFFFFFFFFFFFFFFF", "1969-12-31T23:59:59.999999Z"),
        (moment("sunspec"), "00000000", "2000-01-01T00:00:00Z"),
        (moment("filetime"), "019DB1DED53E8001", "1970-01-01T00:00:00.0000001Z"),
        # The year 26, the 11th month, the 25th, 12:54, 18250 ms.
        (moment("cp56time2a"), "001A0B190C36474A", "2026-11-25T12:54:18.250Z"),
        (moment("cp56time2a", CDAB), "474A0C360B19001A", "2026-11-25T12:54:18.250Z"),
        # As the seven octets of IEC 60870-5-104 follow each other on the wire.
        (moment("cp56time2a", DCBA), "4A47360C190B1A00", "2026-11-25T12:54:18.250Z"),
        # The third day of the week and summer time.
        (moment("cp56time2a"), "001A0B798C36474A", "2026-11-25T11:54:18.250Z"),
        (moment("s7-dt"), "2611251254182504", "2026-11-25T12:54:18.250Z"),
        (moment("s7-dt"), "9001010000000002", "1990-01-01T00:00:00.000Z"),
        (moment("s7-dt", BADC), "1126122518540425", "2026-11-25T12:54:18.250Z"),
        (moment("s7-dtl"), "07EA0B19040C36120EE6B280", "2026-11-25T12:54:18.250000000Z"),
        (moment("Y M D h m s"), "07EA000B0019000C00360012", "2026-11-25T12:54:18Z"),
        (moment("s m h D M n"), "00120036000C0019000B007E", "2026-11-25T12:54:18Z"),
        (moment("MD nh ms"), "0B197E0C3612", "2026-11-25T12:54:18Z"),
        (moment("_ y M D h m s f"), "FFFF001A000B0019000C0036001200FA", "2026-11-25T12:54:18.250Z"),
        (moment("Y M D h m s c"), "07EA000B0019000C003600120019", "2026-11-25T12:54:18.25Z"),
        (moment("Y M D"), "07EA000B0019", "2026-11-25T00:00:00Z"),
    ],
)
def test_worked_vectors(encoding: Encoding, wire: str, text: str) -> None:
    assert decode(encoding, bytes.fromhex(wire)) == text
    assert decode(encoding, encode(encoding, text)) == text


@pytest.mark.parametrize(
    ("encoding", "wire"),
    [
        (moment("unix-s64"), "7FFFFFFFFFFFFFFF"),
        (moment("filetime"), "8000000000000000"),
        (moment("cp56time2a"), "001A0D190C36474A"),
        (moment("cp56time2a"), "001A0B190CB6474A"),
        (moment("cp56time2a"), "0000000000000000"),
        (moment("cp56time2a"), "001A0B190C36FFFF"),
        (moment("s7-dt"), "2611251254182A04"),
        (moment("s7-dt"), "2602301254182504"),
        (moment("s7-dtl"), "07EA0B19040C3612FFFFFFFF"),
        (moment("Y M D h m s"), "07EA000B0019000C0036003C"),
        (moment("Y M D h m s f"), "07EA000B0019000C0036001203E8"),
        (moment("Y M D h m s"), "000000000000000000000000"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.time.name,
)
def test_what_is_no_moment_is_no_value(encoding: Encoding, wire: str) -> None:
    assert decode(encoding, bytes.fromhex(wire)) is None


def test_other_spellings_of_the_same_moment_are_written_alike() -> None:
    wire = encode(moment("unix-u32"), "2026-11-25T12:54:18Z")
    for text in (
        "2026-11-25t12:54:18z",
        "2026-11-25 13:54:18+01:00",
        "2026-11-25T12:54:18.000Z",
        "2026-11-25T07:24:18-05:30",
    ):
        assert encode(moment("unix-u32"), text) == wire


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("unix-u32", "yesterday", "'yesterday' is not a moment: write it like '2026-11-25T12:54:18Z'"),
        ("unix-u32", "2026-11-25T12:54:18", "is not a moment"),
        ("unix-u32", "2026-02-30T12:54:18Z", "is not a moment"),
        ("unix-u32", 1795611258, "1795611258 is not a moment"),
        ("unix-u32", "1969-12-31T23:59:59Z", "'1969-12-31T23:59:59Z' is beyond what 'unix-u32' can hold"),
        ("unix-s32", "2038-01-19T03:14:08Z", "is beyond what 'unix-s32' can hold"),
        ("unix-u32", "2026-11-25T12:54:18.5Z", "has 1 digits of a second, but 'unix-u32' holds 0"),
        ("unix-ms", "2026-11-25T12:54:18.1234Z", "has 4 digits of a second, but 'unix-ms' holds 3"),
        ("cp56time2a", "1999-11-25T12:54:18Z", "is beyond what 'cp56time2a' can hold"),
        ("s7-dt", "2090-01-01T00:00:00Z", "is beyond what 's7-dt' can hold"),
        ("MD yh ms", "1999-11-25T12:54:18Z", "is beyond what 'MD yh ms' can hold"),
        ("Y M D", "2026-11-25T12:54:18Z", "is beyond what 'Y M D' can hold"),
    ],
)
def test_what_cannot_be_held_is_refused(name: str, value: object, sentence: str) -> None:
    with pytest.raises(ValueError, match=re.escape(sentence)):
        encode(moment(name), value)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["unix", "Y M", "Y y M D", "Y M D h m s c f", "M D h", "YMD h m", "Y  M D", ""])
def test_an_unknown_form_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"^time '"):
        form(name)


def test_every_form_says_how_many_registers_it_takes() -> None:
    assert {name: each.registers for name, each in FORMS.items()} == {
        "unix-u32": 2,
        "unix-s32": 2,
        "unix-s64": 4,
        "unix-ms": 4,
        "unix-us": 4,
        "sunspec": 2,
        "filetime": 4,
        "cp56time2a": 4,
        "s7-dt": 4,
        "s7-dtl": 6,
    }
    assert form("MD nh ms").registers == 3
