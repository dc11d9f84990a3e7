"""What a batch weighs: the room it takes in memory and on disk, measured in ordinary values."""

from __future__ import annotations

from typing import Final

from gateway.model import Batch, Scalar, Value

_CHARACTERS: Final = 32
"""So many of them take the room of a number."""


def weight(batch: Batch) -> int:
    """The values it has, every element of an array for one of its own, and 1 more for every 32 characters of text."""
    values, columns, bulky = batch.values, batch.columns, batch.layout.bulky
    count = len(values)
    if not bulky:
        return count
    if columns is None:
        return count + sum([_extra(values[column]) for column in bulky])
    return count + sum([_extra(value) for column, value in zip(columns, values, strict=True) if column in bulky])


def _extra(value: Value) -> int:
    if isinstance(value, tuple):
        return len(value) + sum(map(_characters, value))
    return _characters(value)


def _characters(value: Scalar | None) -> int:
    return len(value) // _CHARACTERS if isinstance(value, str) else 0
