"""How an instrument is described: its frames, its messages, the fields in them, and what can be sent to it.

Presets are made of the same keys; see `drivers/serial/presets`.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema, model_validator

from drivers.common.numbers import ByteOrder
from drivers.common.quoting import quoted
from drivers.common.times import UtcOffset
from drivers.serial import patterns
from drivers.serial.checksum import size_of
from drivers.serial.moments import moment_pattern
from drivers.serial.notation import ByteText
from gateway.fields import Options
from gateway.model import DataType, Quality

MAX_LENGTH = 4096

QUALITIES: dict[str, int] = {
    "".join(word.capitalize() for word in quality.name.split("_")): int(quality) for quality in Quality
}


def _check_quality(name: str) -> str:
    if name not in QUALITIES:
        near = difflib.get_close_matches(name, QUALITIES, 1)
        mend = f"did you mean '{near[0]}'?" if near else f"use one of {', '.join(QUALITIES)}"
        raise ValueError(f"there is no quality {quoted(name)}: {mend}")
    return name


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _listed(value: Any) -> Any:
    return tuple(value) if isinstance(value, list | tuple) else (value,)


QualityName = Annotated[str, AfterValidator(_check_quality)]
_ONE_OR_MORE = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
Names = Annotated[tuple[str, ...], BeforeValidator(_listed), _ONE_OR_MORE]
"""One text or several."""
Delimiters = Annotated[tuple[ByteText, ...], BeforeValidator(_listed), _ONE_OR_MORE]
Texts = Annotated[tuple[ByteText, ...], BeforeValidator(_as_tuple)]
Type = Annotated[DataType, Field(strict=False)]


class Checksum(Options):
    """What proves that a frame is whole."""

    kind: Annotated[str, AfterValidator(lambda name: size_of(name) and name)] = Field(
        description="`xor`, `sum8`, `sum16`, `sum8-twos`, `sum16-twos`, `sum7-twos`, or a CRC by its catalogue name, "
        "such as `crc8-smbus`, `crc16-modbus` or `crc32-iso-hdlc`."
    )
    format: Literal["binary", "hex"] = Field(
        default="binary", description="`hex`: two hexadecimal digits a byte, in either case."
    )
    place: Literal["last", "after-end"] = Field(
        default="last", description="`last`: the end of the content, before the end delimiter; `after-end`: after that."
    )
    byte_order: ByteOrder = Field(default="big", description="Order of its bytes.")
    separator: ByteText = Field(default=b"", description="What stands between content and checksum, not covered by it.")
    skip: int = Field(default=0, ge=0, le=MAX_LENGTH, description="Bytes of the content that it doesn't cover.")
    over_start: bool = Field(default=False, description="It covers the start delimiter, too.")
    over_end: bool = Field(default=False, description="It covers the end delimiter, too.")

    @model_validator(mode="after")
    def _fits_together(self) -> Checksum:
        if self.separator and self.place == "after-end":
            raise ValueError("a checksum after the end has no separator: the end delimiter is one")
        return self


class Framing(Options):
    """Where frames begin and end."""

    start: ByteText = Field(default=b"", description="What every frame begins with.")
    end: Delimiters = Field(default=(), description="What every frame ends with: a text, or a list of alternatives.")
    escape: ByteText = Field(
        default=b"",
        description="One byte that makes the byte after it a plain one. Where `start` and `end` themselves begin with "
        "it (`<DLE><STX>`), it is doubled inside a frame.",
    )
    length: int | None = Field(default=None, ge=1, le=MAX_LENGTH, description="Bytes of the content, always the same.")
    length_at: int | None = Field(
        default=None, ge=0, le=255, description="Where the number of bytes stands, counted from the frame's first byte."
    )
    length_size: Literal[1, 2, 4] = Field(default=1, description="Bytes of that number.")
    length_byte_order: ByteOrder = Field(default="big", description="Order of its bytes.")
    length_adjust: int = Field(
        default=0, ge=-MAX_LENGTH, le=MAX_LENGTH, description="What to add to the number to get the whole frame's size."
    )
    gap_ms: float | None = Field(
        default=None,
        gt=0,
        le=60_000,
        description="A pause of this length ends a frame that nothing else ends, and drops an unfinished one. "
        "Default: 100 for frames of known size, else none.",
    )
    max_length: int = Field(
        default=1024, ge=1, le=MAX_LENGTH, description="Longest content; what is longer is dropped and counted."
    )
    keep: bool = Field(
        default=False, description="Leave delimiters and checksum in the content that patterns and offsets see."
    )
    checksum: Checksum | None = Field(default=None, description="What proves that a frame is whole.")

    @model_validator(mode="after")
    def _fits_together(self) -> Framing:
        if self.length is not None and self.length_at is not None:
            raise ValueError("a frame has length or length_at, not both: drop one")
        sized = self.length is not None or self.length_at is not None
        if not (self.end or sized or self.gap_ms):
            raise ValueError("nothing says where a frame ends: give end, length, length_at or gap_ms")
        if not all(self.end):
            raise ValueError("an end delimiter can't be empty: write '\\r\\n', or leave end out")
        if any(a != b and b.startswith(a) for a in self.end for b in self.end):
            raise ValueError("one end delimiter begins like another: keep the shorter one")
        if sized and len(self.end) > 1:
            raise ValueError("a frame of known size has one end delimiter: write a single one")
        if self.length is not None and self.length > self.max_length:
            raise ValueError(f"length is {self.length}, but max_length is {self.max_length}: raise max_length")
        if self.start and not (self.end or sized):
            raise ValueError("gap_ms alone has no start: drop start, or give end")
        if self.escape and (len(self.escape) != 1 or sized or not self.start or not self.end):
            raise ValueError("escape is one byte, and needs start and end: mend or drop it")
        check = self.checksum
        if check is not None and not self.end and (check.place == "after-end" or check.over_end):
            raise ValueError("there is no end delimiter for the checksum to refer to: give end, or mend the checksum")
        return self


class BinaryField(Options):
    """A value by its place in a frame."""

    at: int = Field(ge=0, lt=MAX_LENGTH, description="Offset of its first byte in the content.")
    type: Type = Field(description="How its bytes are read; the type of a tag that takes it.")
    byte_order: ByteOrder = Field(default="big", description="Order of its bytes.")
    bit: int | None = Field(default=None, ge=0, le=7, description="For `bool`: bit of the byte, 0 is the lowest.")
    length: int | None = Field(
        default=None, ge=1, le=MAX_LENGTH, description="Bytes of a `string`, of `bytes`, or of a number in BCD."
    )
    bcd: bool = Field(default=False, description="An unsigned integer in packed BCD, two digits a byte.")

    @model_validator(mode="after")
    def _fits_together(self) -> BinaryField:
        if (self.type is DataType.BOOL) != (self.bit is not None):
            raise ValueError("bit is for bool, and a bool needs one: give both or neither")
        if self.type in (DataType.DATETIME, DataType.JSON):
            raise ValueError(f"a {self.type} can't be read from bytes: read a string")
        if self.bcd and not (self.type.is_integer and self.type.bounds[0] == 0):
            raise ValueError(f"BCD needs an unsigned integer type, not {self.type}")
        needs_length = self.bcd or self.type in (DataType.STRING, DataType.BYTES)
        if needs_length != (self.length is not None):
            raise ValueError("length is for string, bytes and BCD, which need one: give it, or drop it")
        return self


class Message(Options):
    """One kind of frame. Exactly one of `pattern`, `columns`, `pairs` and `bytes` says what is in it."""

    request: ByteText = Field(default=b"", description="What to send to get it. Without: the instrument sends it.")
    spontaneous: bool | None = Field(
        default=None,
        description="It also comes by itself, so a group may be subscribed to it. Default: if it has no `request`.",
    )
    event: bool = Field(default=False, description="It says what happened, not what is: every one is published once.")
    match: str | None = Field(
        default=None, description="Regular expression that the frame's beginning must match to be this message."
    )
    pattern: str | None = Field(
        default=None,
        description="Regular expression over the whole content; its named groups are the fields.",
    )
    columns: Annotated[tuple[str, ...] | None, BeforeValidator(_as_tuple)] = Field(
        default=None, description="Names of the fields between `separator`s, in order; an empty one is left out."
    )
    pairs: ByteText | None = Field(
        default=None, description="What stands between a field's name and its value, such as `=`."
    )
    separator: ByteText = Field(default=b",", min_length=1, description="What stands between columns or pairs.")
    bytes: dict[str, BinaryField] | None = Field(default=None, description="Fields by their places.")
    length: int | None = Field(
        default=None, ge=1, le=MAX_LENGTH, description="With `bytes`: the content's exact size. Default: any that fits."
    )
    refused: dict[str, QualityName] = Field(
        default_factory=dict,
        description="Regular expressions of answers that give no value, each with the quality it means.",
    )

    @property
    def comes_by_itself(self) -> bool:
        return not self.request if self.spontaneous is None else self.spontaneous

    @property
    def fields(self) -> tuple[str, ...] | None:
        """Names of its fields; None if only the frames tell."""
        if self.pairs is not None:
            return None
        if self.pattern is not None:
            return patterns.groups(self.pattern)
        if self.columns is not None:
            return tuple(filter(None, self.columns))
        return tuple(self.bytes or ())

    @model_validator(mode="after")
    def _fits_together(self) -> Message:
        given = [name for name in ("pattern", "columns", "pairs", "bytes") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"a message has one of pattern, columns, pairs, bytes, not {' and '.join(given) or 'none'}"
            )
        if not (self.request or self.comes_by_itself):
            raise ValueError("a message without request comes by itself: drop spontaneous, or give request")
        for text in (self.pattern, self.match, *self.refused):
            if text is not None:
                patterns.check(text)
        if self.pattern is not None and not patterns.groups(self.pattern):
            raise ValueError("the pattern has no named group: name what it finds, such as (?P<weight>[0-9.]+)")
        named = [name for name in self.columns or () if name]
        if len(set(named)) < len(named):
            raise ValueError("two columns have the same name: rename one")
        if self.length is not None and self.bytes is None:
            raise ValueError("length is for messages with bytes: drop it")
        return self


class FieldRules(Options):
    """How a field becomes a value, wherever it occurs."""

    of: Names = Field(
        default=(), description="Fields it is made of, joined; a text or a list. Default: the one of its own name."
    )
    bit: int | None = Field(
        default=None, ge=0, le=7, description="It is the number in the bits from here up of one byte."
    )
    bits: int = Field(default=1, ge=1, le=8, description="How many bits.")
    decimal: Literal[".", ","] = Field(default=".", description="The decimal sign.")
    base: Literal[2, 8, 10, 16] = Field(default=10, description="Base of an integer's digits.")
    empty: Names = Field(default=(), description="Texts that stand for no value: BadSensorFailure, as if empty.")
    true: Names = Field(default=("1", "true", "on", "yes"), description="Texts that are true, in any case.")
    false: Names = Field(default=("0", "false", "off", "no"), description="Texts that are false.")
    format: str | None = Field(
        default=None,
        description="Of a `datetime`: `%Y` or `%y`, `%m`, `%d`; where there is a time `%H`, `%M`, `%S`, `%f`.",
    )
    utc_offset: UtcOffset = Field(
        default="+00:00", description="How far the instrument's clock is ahead of UTC, for a `datetime`."
    )
    convert: Literal["degrees-minutes"] | None = Field(
        default=None, description="`degrees-minutes`: `4807.038` is 48° 07.038′, published in degrees."
    )
    sign_from: str | None = Field(default=None, description="Field that says whether the number is negative.")
    sign: dict[str, Literal[1, -1]] = Field(
        default_factory=dict, description="Its texts, each with 1 or -1: `{N = 1, S = -1}`."
    )
    places_from: str | None = Field(default=None, description="Field that says where the decimal point is.")
    places: dict[str, int] = Field(
        default_factory=dict, description="Its texts, each with the number of decimal places; negative: zeros to add."
    )
    unit_from: str | None = Field(
        default=None, description="Field with the unit. A value in another unit than the tag's is bad."
    )
    units: dict[str, str] = Field(default_factory=dict, description="Its texts, each with its UCUM code.")
    status: dict[str, dict[str, QualityName]] = Field(
        default_factory=dict,
        description="Fields that say how good the value is: for each that the message has, its texts and the quality "
        "they mean. The worst counts; a text that isn't listed is BadDecodingError.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> FieldRules:
        if self.format is not None:
            moment_pattern(self.format)
        if (self.sign_from is None) != (not self.sign):
            raise ValueError("sign_from and sign belong together: give both")
        if (self.places_from is None) != (not self.places):
            raise ValueError("places_from and places belong together: give both")
        if (self.unit_from is None) != (not self.units):
            raise ValueError("unit_from and units belong together: give both")
        if self.bit is not None and self.bit + self.bits > 8:
            raise ValueError(f"{self.bits} bits from bit {self.bit} up leave the byte: mend bit or bits")
        return self


class Command(Options):
    """Something to send that changes the instrument."""

    send: str = Field(
        min_length=1,
        description="What to send; `{value}` is the value to write, `{address}` the device's address.",
    )
    decimals: int | None = Field(
        default=None, ge=0, le=15, description="Decimal places of `{value}`. Default: as many as it has."
    )
    width: int = Field(default=0, ge=0, le=64, description="Characters of `{value}` at least, filled with zeros.")
    ack: str | None = Field(default=None, description="Regular expression of the answer that confirms it.")
    refused: str | None = Field(default=None, description="Regular expression of the answer that refuses it.")

    @model_validator(mode="after")
    def _fits_together(self) -> Command:
        for text in (self.ack, self.refused):
            if text is not None:
                patterns.check(text)
        if self.refused is not None and self.ack is None:
            raise ValueError("refused needs ack: without an answer that confirms, none is waited for")
        return self


class Keepalive(Options):
    """Something to send again and again."""

    send: ByteText = Field(min_length=1, description="What to send.")
    every_s: float = Field(gt=0, le=86_400, description="How often, in seconds.")
