"""What goes over a wire, as a driver shows it to people: frames, their meaning, and what a packet analyser needs."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias


class Direction(enum.StrEnum):
    SENT = "sent"
    RECEIVED = "received"


@dataclass(frozen=True, slots=True)
class Frame:
    """What was sent or received as one, as far as the protocol lets that be told."""

    mono_ns: int
    """CLOCK_MONOTONIC when it was handed to the operating system, or its last byte was taken from it."""
    ns: int
    """Wall clock at the same moment, ns since 1970 UTC."""
    direction: Direction
    data: bytes
    """As on the wire, or as `note` says."""
    form: str
    """How it is framed, in the driver's words: ``mbap``, ``rtu``."""
    unit: str = ""
    """To or from whom on the link, as :attr:`gateway.driver.DriverKind.unit_of` says it; empty: can't be told."""
    note: str = ""
    """What a reader must know: ``decrypted``, ``incomplete``."""


Take: TypeAlias = Callable[[Frame], None]
"""Who listens. Called on the event loop; must not raise."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some bytes of a frame and what they mean. Parts may lie within each other; those without bytes have length 0."""

    name: str
    offset: int
    length: int
    text: str


@dataclass(frozen=True, slots=True)
class Dissection:
    """A frame's meaning."""

    summary: str
    """One line."""
    parts: Sequence[Part] = ()
    fault: bool = False
    """Whether it says that something is wrong: an exception, a bad status, a wrong checksum."""


class Layer(enum.StrEnum):
    """What carries the frames of a capture."""

    TCP = "tcp"
    UDP = "udp"
    SERIAL = "serial"


@dataclass(frozen=True, slots=True)
class Capture:
    """How a packet analyser is to take the frames of a link."""

    layer: Layer
    port: int = 0
    """Of TCP and UDP: the protocol's own port, whichever is in use, because analysers choose by it."""


class Medium(enum.StrEnum):
    """By what a link leaves this machine."""

    TCP = "tcp"
    UDP = "udp"
    LISTEN = "listen"
    """It waits to be called."""
    SERIAL = "serial"
    RADIO = "radio"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a link leads."""

    medium: Medium
    host: str
    """A host's name or address; of a serial port its path, of a radio its name."""
    port: int = 0
