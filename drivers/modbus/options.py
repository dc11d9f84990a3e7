"""What can be set for a Modbus device and tag: pydantic models whose descriptions become the reference page."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    PlainSerializer,
    WithJsonSchema,
    model_validator,
)

from drivers.common import times
from drivers.common.texts import TextEncoding, TextOrder, Trim
from drivers.common.words import Half, WordOrder
from drivers.modbus.address import PATTERN, Address, parse
from gateway.fields import Options


def _parse_address(value: Any) -> Address:
    if isinstance(value, Address):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(f"address {value} needs quotes: write '{value}'")
    if not isinstance(value, str):
        raise ValueError("an address is a string such as 'hr:100' or '40001'")
    return parse(value)


ModbusAddress = Annotated[
    Address,
    BeforeValidator(_parse_address),
    PlainSerializer(str, return_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": PATTERN,
            "examples": ["hr:100", "ir:5", "co:0", "di:7", "hr:100.3", "40001", "id:vendor"],
        }
    ),
]


def _check_time(name: str) -> str:
    times.form(name)
    return name


class DeviceOptions(Options):
    """One Modbus server (slave)."""

    unit: int = Field(
        default=1,
        ge=0,
        le=255,
        description="Unit identifier (slave address). Many TCP devices ignore it; some want 255 or 0.",
    )
    word_order: WordOrder = Field(
        default=WordOrder.ABCD,
        description="Order of the bytes of a value, named after where 0xAABBCCDD ends up: ABCD big-endian, CDAB low "
        "word first, BADC bytes swapped in each register, DCBA little-endian.",
    )
    text_order: TextOrder = Field(
        default=TextOrder.HIGH_FIRST, description="How a string's bytes sit in registers; see the tag's `text_order`."
    )
    utc_offset: times.UtcOffset = Field(
        default="+00:00",
        examples=["+01:00"],
        description="How far the device's clock is ahead of UTC, for type `datetime`. Set the clock to one offset for "
        "the whole year: an hour that comes twice can't be told apart.",
    )
    address_offset: Literal[0, 1] = Field(
        default=0,
        description="What `hr:N` counts from: 0 as on the wire, 1 if the device's manual numbers registers from 1. "
        "References such as `40001` and `4x1` always count from 1, `%MW0` from 0.",
    )
    max_registers: int = Field(default=125, ge=1, le=125, description="Most registers in one read.")
    max_bits: int = Field(default=2000, ge=1, le=2000, description="Most coils or discrete inputs in one read.")
    max_gap: int = Field(
        default=16, ge=0, le=124, description="Most unwanted registers read between two wanted ones to save a request."
    )
    max_gap_bits: int = Field(default=256, ge=0, le=1999, description="The same for coils and discrete inputs.")
    one_request_per_tag: bool = Field(default=False, description="Never merge tags into one read.")
    read_from_zero: bool = Field(
        default=False, description="Begin every read at the table's first address, for devices that allow no other."
    )
    write_multiple: bool = Field(
        default=False, description="Write single values with functions 15 and 16, for devices without 5 and 6."
    )
    mask_write: bool = Field(
        default=True,
        description="Write a bit or byte of a register with function 22. If false, or if the device refuses that "
        "function, the register is read, changed and written, which can undo a change the device made in between.",
    )
    read_write_multiple: bool = Field(
        default=False,
        description="Write whole registers and read them back in one transaction, with function 23, for devices that "
        "have it.",
    )
    read_back_delay_ms: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Wait between a write and its read-back, for devices that apply it late.",
    )

    @property
    def utc_offset_s(self) -> int:
        return times.offset_s(self.utc_offset)

    @model_validator(mode="after")
    def _fits_together(self) -> DeviceOptions:
        if self.read_write_multiple and self.read_back_delay_ms:
            raise ValueError("read_write_multiple reads back at once: drop it, or read_back_delay_ms")
        return self


class TagOptions(Options):
    """Where one value is and how it is encoded."""

    address: ModbusAddress = Field(
        description="`hr:100` holding register, `ir:5` input register, `co:0` coil, `di:7` discrete input, `hr:100.3` "
        "bit 3 of a register; `40101`, `4x101`, `%MW100` and other spellings under *Addressing*; `id:vendor` the "
        "device's identification."
    )
    word_order: WordOrder | None = Field(default=None, description="The tag's own word order. Default: the device's.")
    byte: Half = Field(
        default=Half.LOW,
        description="Which byte of the register an `int8` or `uint8` is. `both`: an array has two elements a register, "
        "the high byte first.",
    )
    length: int | None = Field(
        default=None,
        ge=1,
        le=125,
        description="Registers a `string` or `bytes` value takes; of an array, each element. Needed for these, only "
        "for these.",
    )
    text_order: TextOrder | None = Field(
        default=None,
        description="How a string's bytes sit in registers: `high-first`, `low-first`, or one character a register in "
        "its high or low byte, `high-only`, `low-only`. Default: the device's. `bytes` are as on the wire unless this "
        "is given.",
    )
    encoding: TextEncoding = Field(default=TextEncoding.UTF8, description="Character encoding of a string.")
    trim: Trim = Field(
        default=Trim.BOTH,
        description="What ends a string early: `nul` the first NUL, `space` trailing spaces, `both`, or `none`.",
    )
    bcd: bool = Field(default=False, description="The integer is binary-coded decimal.")
    no_value: int | None = Field(
        default=None,
        description="The integer by which the device says that it has no value, such as 0x8000 or 65535, before "
        "scaling. It is published with a bad quality instead.",
        examples=[65535],
    )
    time: Annotated[str, AfterValidator(_check_time)] | None = Field(
        default=None,
        description="How a `datetime` is written down: " + ", ".join(f"`{name}`" for name in times.FORMS) + ", or its "
        "fields register by register such as `Y M D h m s`. Needed for these, only for these.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> TagOptions:
        if self.address.table.holds_bits and self.length is not None:
            raise ValueError(f"address '{self.address}' is a single bit: drop 'length'")
        if self.address.table.holds_bits and self.no_value is not None:
            raise ValueError(f"address '{self.address}' is a single bit: drop 'no_value'")
        return self
