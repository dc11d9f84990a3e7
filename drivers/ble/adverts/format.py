"""What an advert format is: a name, the fields it knows, and functions from bytes to field values.

A value of None stands for what the sensor itself marks as not available. Numbers are exact quotients: a reading of
2506 hundredths is 25.06, never 25.060000000000002.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from gateway.model import DataType, Value


class Undecodable(Exception):
    """These bytes aren't what their format says. The message is one sentence for a user."""


class Unauthentic(Undecodable):
    """These bytes can't be proved to come from the device: not encrypted though they should be, another key, or a
    repetition of old ones."""


@dataclass(frozen=True, slots=True)
class Field:
    """One thing an advert tells."""

    type: DataType
    """The narrowest type that holds every value it can have."""
    unit: str | None = None
    """UCUM code."""
    description: str = ""
    event: bool = False
    """What happened, not what is."""


class Advert(Protocol):
    """What of bleak's AdvertisementData the formats look at."""

    @property
    def manufacturer_data(self) -> Mapping[int, bytes]: ...
    @property
    def service_data(self) -> Mapping[str, bytes]: ...


Decoder = Callable[[bytes, bytes], Mapping[str, Value]]
"""(payload, the device's six address bytes in reading order) → fields. Raises Undecodable, nothing else. One belongs to
one device: it may remember what it saw."""


@dataclass(frozen=True, slots=True)
class Format:
    """One way to put values into adverts."""

    name: str
    title: str
    fields: Mapping[str, Field]
    payload: Callable[[Advert], bytes | None]
    """The bytes of an advert that are of this format, or None."""
    decoder: Callable[[bytes | None], Decoder]
    """(16 bytes of key or None) → a decoder."""
    encrypts: bool = False
    """Whether a key makes sense."""
    numbered: bool = False
    """Whether several fields of one kind are told apart by `_2`, `_3` …"""
    _numbers: frozenset[str] = field(init=False, repr=False, default=frozenset(f"{n}" for n in range(2, 100)))

    def field(self, name: str) -> Field | None:
        """The field of that name, or None."""
        found = self.fields.get(name)
        if found is None and self.numbered:
            stem, _, number = name.rpartition("_")
            if number in self._numbers:
                found = self.fields.get(stem)
        return found


def service_data(uuid16: int) -> Callable[[Advert], bytes | None]:
    """Picks the service data of a 16-bit UUID."""
    key = f"{uuid16:08x}-0000-1000-8000-00805f9b34fb"
    return lambda advert: advert.service_data.get(key)


def manufacturer_data(company: int) -> Callable[[Advert], bytes | None]:
    """Picks the data of a company identifier."""
    return lambda advert: advert.manufacturer_data.get(company)


def plain(decode: Callable[[bytes], Mapping[str, Value]]) -> Callable[[bytes | None], Decoder]:
    """A format without encryption and without memory."""
    return lambda key: lambda payload, address: decode(payload)
