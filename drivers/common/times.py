"""How devices write down a moment: counts of seconds, packed fields, one field per register.

A :class:`TimeForm` turns what a struct unpacks - a number, or raw bytes - into *ticks*: units of 10^-digits s since
1970-01-01 on the device's own clock. Outside, a moment is RFC 3339 text in UTC with exactly that many digits.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Annotated, Any

from pydantic import Field

_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)
_RFC3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(?:[Zz]|([+-])(\d\d):([0-5]\d))", re.ASCII
)

UtcOffset = Annotated[str, Field(pattern=r"^[+-](0[0-9]|1[0-4]):[0-5][0-9]$")]
"""How far a device's clock is ahead of UTC: ``+01:00``."""


def offset_s(offset: UtcOffset) -> int:
    """The same in seconds."""
    seconds = 3600 * int(offset[1:3]) + 60 * int(offset[4:])
    return -seconds if offset[0] == "-" else seconds


@dataclass(frozen=True, slots=True)
class TimeForm:
    """One way to write a moment. `Any` is an int where `code` is an integer's, bytes where it is ``Ns``."""

    name: str
    code: str
    """Struct code of what is unpacked, without byte order."""
    digits: int
    """Decimal digits of a second."""
    read: Callable[[Any], int | None]
    """Unpacked → ticks; None if this isn't a moment."""
    write: Callable[[int], Any]
    """Ticks → to be packed. Raises ValueError for a moment the form can't hold."""
    mask: Any
    """Ones where the moment is, zeros where the device may have something of its own (the day of the week)."""

    @property
    def registers(self) -> int:
        return struct.calcsize(">" + self.code) // 2

    @property
    def is_bytes(self) -> bool:
        """True for fields at fixed places, which no word order moves; only the bytes of a register may be swapped."""
        return self.code.endswith("s")


def decoder(form: TimeForm, utc_offset_s: int) -> Callable[[Any], str | None]:
    """Unpacked → RFC 3339 text, or None if it isn't a moment. The device's clock is `utc_offset_s` ahead of UTC."""
    scale = 10**form.digits
    ahead = utc_offset_s * scale

    def decode(raw: Any) -> str | None:
        ticks = form.read(raw)
        if ticks is None:
            return None
        seconds, fraction = divmod(ticks - ahead, scale)
        try:
            text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
        except OverflowError:
            return None
        return f"{text}.{fraction:0{form.digits}d}Z" if form.digits else f"{text}Z"

    return decode


def encoded(form: TimeForm, utc_offset_s: int, value: object) -> Any:
    """RFC 3339 text → to be packed. Raises ValueError, in one sentence; digits that can't be held are refused."""
    match = _RFC3339.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None:
            raise ValueError
        date, clock, fraction, sign, hours, minutes = match.groups()
        seconds = (datetime.fromisoformat(f"{date}T{clock}") - _EPOCH) // _SECOND
    except ValueError:
        raise ValueError(f"{value!r} is not a moment: write it like '2026-11-25T12:54:18Z'") from None
    if sign is not None:
        away = 3600 * int(hours) + 60 * int(minutes)
        seconds += away if sign == "-" else -away
    digits = (fraction or "").rstrip("0")
    if len(digits) > form.digits:
        raise ValueError(f"{value!r} has {len(digits)} digits of a second, but '{form.name}' holds {form.digits}")
    ticks = (seconds + utc_offset_s) * 10**form.digits + int(digits.ljust(form.digits, "0") or 0)
    try:
        return form.write(ticks)
    except ValueError:
        raise ValueError(f"{value!r} is beyond what '{form.name}' can hold") from None


# -- counts


def _count(name: str, code: str, digits: int, epoch_s: int = 0) -> TimeForm:
    bits = 8 * struct.calcsize(">" + code)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if code.islower() else (0, (1 << bits) - 1)
    start: int = epoch_s * 10**digits

    def write(ticks: int) -> int:
        if not low <= ticks - start <= high:
            raise ValueError
        return ticks - start

    def read(raw: int) -> int:
        return raw + start

    return TimeForm(name, code, digits, read, write, -1 if low else high)


# -- fields


def _civil(year: int, month: int, day: int, hour: int, minute: int, second: int) -> int | None:
    """Seconds since 1970, or None if there is no such moment."""
    try:
        return (datetime(year, month, day, hour, minute, second) - _EPOCH) // _SECOND
    except (ValueError, OverflowError):
        return None


def _fields(ticks: int, digits: int) -> tuple[datetime, int]:
    """The calendar's fields, and the fraction of a second in ticks. Raises ValueError beyond the years 1 to 9999."""
    seconds, fraction = divmod(ticks, 10**digits)
    try:
        return _EPOCH + timedelta(seconds=seconds), fraction
    except OverflowError:
        raise ValueError from None


_SUMMER, _INVALID = 1 << 31, 1 << 23


def _read_cp56(raw: int) -> int | None:
    if raw & _INVALID:
        return None
    second, millisecond = divmod(raw & 0xFFFF, 1000)
    seconds = _civil(
        2000 + (raw >> 48 & 0x7F), raw >> 40 & 0xF, raw >> 32 & 0x1F, raw >> 24 & 0x1F, raw >> 16 & 0x3F, second
    )
    if seconds is None:
        return None
    return 1000 * (seconds - 3600 if raw & _SUMMER else seconds) + millisecond


def _write_cp56(ticks: int) -> int:
    moment, millisecond = _fields(ticks, 3)
    if not 0 <= moment.year - 2000 <= 127:
        raise ValueError
    day = moment.year - 2000 << 16 | moment.month << 8 | moment.day
    return day << 32 | moment.hour << 24 | moment.minute << 16 | 1000 * moment.second + millisecond


_CP56_MASK = 0x007F_0F1F_9FBF_FFFF
"""Without the day of the week and the reserved bits."""


def _read_s7_dt(raw: bytes) -> int | None:
    digits = raw.hex()[:15]
    if not digits.isdigit():
        return None
    year, month, day, hour, minute, second = (int(digits[at : at + 2]) for at in range(0, 12, 2))
    seconds = _civil(year + (1900 if year >= 90 else 2000), month, day, hour, minute, second)
    return None if seconds is None else 1000 * seconds + int(digits[12:])


def _write_s7_dt(ticks: int) -> bytes:
    moment, millisecond = _fields(ticks, 3)
    if not 1990 <= moment.year <= 2089:
        raise ValueError
    # Sunday is 1.
    return bytes.fromhex(f"{moment:%y%m%d%H%M%S}{millisecond:03d}{moment.isoweekday() % 7 + 1}")


_DTL = struct.Struct(">HBBBBBBI")


def _read_s7_dtl(raw: bytes) -> int | None:
    year, month, day, _, hour, minute, second, nanosecond = _DTL.unpack(raw)
    seconds = _civil(year, month, day, hour, minute, second)
    return None if seconds is None or nanosecond >= 10**9 else 10**9 * seconds + nanosecond


def _write_s7_dtl(ticks: int) -> bytes:
    moment, nanosecond = _fields(ticks, 9)
    weekday = moment.isoweekday() % 7 + 1
    return _DTL.pack(
        moment.year, moment.month, moment.day, weekday, moment.hour, moment.minute, moment.second, nanosecond
    )


# -- fields as the manual lists them

LISTED = r"[YynMDhmscf_]{1,2}( [YynMDhmscf_]{1,2}){1,11}"
"""Fields register by register, as a regular expression: what :func:`form` takes apart from names."""
_YEARS = {"Y": 0, "y": 2000, "n": 1900}
_FRACTIONS = {"c": 2, "f": 3}


def _listed(name: str) -> TimeForm:
    """Raises ValueError if the fields don't make a moment."""
    letters = name.replace(" ", "")
    named = [letter for letter in letters if letter != "_"]
    years = [letter for letter in named if letter in _YEARS]
    fractions = [letter for letter in named if letter in _FRACTIONS]
    if len(set(named)) < len(named) or len(years) != 1 or len(fractions) > 1 or not {"M", "D"} <= set(named):
        raise ValueError(f"time '{name}' has no whole date, or a field twice: give one year (Y, y or n), M and D")
    digits = _FRACTIONS[fractions[0]] if fractions else 0
    base = _YEARS[years[0]]
    codes = "".join("H" if len(register) == 1 else "BB" for register in name.split(" "))
    packing = struct.Struct(">" + codes)
    order = [letters.find(letter) for letter in (*years, *"MDhms")]
    fraction_at = letters.find(fractions[0]) if fractions else -1

    def read(raw: bytes) -> int | None:
        # A field that isn't listed is found at -1: the zero that is appended.
        items = (*packing.unpack(raw), 0)
        year, *others = (items[at] for at in order)
        seconds = _civil(base + year, *others)
        fraction = items[fraction_at]
        return None if seconds is None or fraction >= 10**digits > 1 else seconds * 10**digits + fraction

    def write(ticks: int) -> bytes:
        moment, fraction = _fields(ticks, digits)
        items = [0] * (len(letters) + 1)
        fields = (moment.year - base, moment.month, moment.day, moment.hour, moment.minute, moment.second)
        for at, item in zip(order, fields, strict=True):
            if at < 0 and item:
                raise ValueError
            items[at] = item
        items[fraction_at] = fraction
        try:
            return packing.pack(*items[:-1])
        except struct.error:
            raise ValueError from None

    mask = packing.pack(
        *(0 if letter == "_" else 0xFFFF if code == "H" else 0xFF for letter, code in zip(letters, codes, strict=True))
    )
    return TimeForm(name, f"{packing.size}s", digits, read, write, mask)


FORMS = {
    form.name: form
    for form in (
        _count("unix-u32", "I", 0),
        _count("unix-s32", "i", 0),
        _count("unix-s64", "q", 0),
        _count("unix-ms", "q", 3),
        _count("unix-us", "q", 6),
        # SunSpec information models: seconds since 2000.
        _count("sunspec", "I", 0, 946_684_800),
        # OPC 10000-6 §5.2.2.5, the FILETIME of Windows: 100 ns since 1601.
        _count("filetime", "q", 7, -11_644_473_600),
        # IEC 60870-5-4 §6.8 "binary time 2a", its seven octets as one number in four registers.
        TimeForm("cp56time2a", "Q", 3, _read_cp56, _write_cp56, _CP56_MASK),
        # DATE_AND_TIME and DTL of Siemens S7 controllers. Neither's day of the week is looked at.
        TimeForm("s7-dt", "8s", 3, _read_s7_dt, _write_s7_dt, b"\xff" * 7 + b"\xf0"),
        TimeForm("s7-dtl", "12s", 9, _read_s7_dtl, _write_s7_dtl, b"\xff\xff\xff\xff\0" + b"\xff" * 7),
    )
}
"""By name."""


@cache
def form(name: str) -> TimeForm:
    """A form by its name, or made of fields such as ``Y M D h m s``. Raises ValueError, in one sentence."""
    known = FORMS.get(name)
    if known is not None:
        return known
    if not re.fullmatch(LISTED, name):
        raise ValueError(
            f"time '{name}' is unknown: use {', '.join(FORMS)}, or list the fields register by register like "
            "'Y M D h m s'"
        )
    return _listed(name)
