"""Numbers in bytes: what every driver needs that takes them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from gateway.model import DataType

ByteOrder: TypeAlias = Literal["big", "little"]

STRUCT_CODES: Final[Mapping[DataType, str]] = {
    DataType.INT8: "b",
    DataType.UINT8: "B",
    DataType.INT16: "h",
    DataType.UINT16: "H",
    DataType.INT32: "i",
    DataType.UINT32: "I",
    DataType.INT64: "q",
    DataType.UINT64: "Q",
    DataType.FLOAT16: "e",
    DataType.FLOAT32: "f",
    DataType.FLOAT64: "d",
}
"""The letter of each numeric type for the module struct."""
