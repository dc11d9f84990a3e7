"""Where to look for units, and how hard: each field becomes an option of ``tidegate scan modbus``."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from drivers.common.serialport import Baud, Parity, StopBits
from drivers.modbus.link import LinkOptions, PortPath, Transport
from gateway.fields import Host, Options

_UNITS = r"[0-9]{1,3}(-[0-9]{1,3})?(,[0-9]{1,3}(-[0-9]{1,3})?)*"
_LINK_FIELDS = ("transport", "host", "port", "device", "baud", "parity", "stop_bits")


def _check_units(text: str) -> str:
    _numbers(text)
    return text


def _numbers(text: str) -> tuple[int, ...]:
    """Units such as ``1-10,20``, ascending. Raises ValueError, in one sentence."""
    if not re.fullmatch(_UNITS, text, re.ASCII):
        raise ValueError(f"units '{text}' can't be understood: write them like '1-10,20'")
    units: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        units.update(range(int(first), int(last or first) + 1))
    if not units or max(units) > 255:
        raise ValueError(f"units '{text}' must be from 0 to 255, the lower one first: write them like '1-10,20'")
    return tuple(sorted(units))


class ScanOptions(Options):
    """One endpoint, or one serial line."""

    host: Host | None = Field(
        default=None, description="Host name or IP address of the device or gateway. Needed for all but serial lines."
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="Port. Default: 502.")
    transport: Transport = Field(default="tcp", description="How frames travel, as of a link.")
    device: PortPath | None = Field(default=None, description="The serial port. Needed for serial lines.")
    baud: Baud | None = Field(default=None, description="Speed, in bit/s. Default: as of a link.")
    parity: Parity | None = Field(default=None, description="Parity bit. Default: as of a link.")
    stop_bits: StopBits | None = Field(default=None, description="Stop bits of a character. Default: as of a link.")
    units: Annotated[str, AfterValidator(_check_units)] = Field(
        default="1-10", description="Units to ask for, such as `1-10,20`."
    )
    rate: float = Field(default=20.0, ge=0.1, le=1000, description="Most requests per second.")
    timeout_ms: int = Field(default=500, ge=1, le=60_000, description="How long to wait for each reply.")
    ranges: bool = Field(default=True, description="Find out which addresses each unit lets one read.")
    requests: int = Field(default=1000, ge=1, le=100_000, description="Most requests per unit for that.")

    @property
    def numbers(self) -> tuple[int, ...]:
        """The units, ascending."""
        return _numbers(self.units)

    @property
    def link_table(self) -> dict[str, str | int]:
        """What a configured link to the same place would say."""
        given = ((name, getattr(self, name)) for name in _LINK_FIELDS)
        return {name: value for name, value in given if value is not None and (name, value) != ("transport", "tcp")}

    @property
    def link(self) -> LinkOptions:
        """The link to search on: patient with units that aren't there, and no faster than told."""
        pace = {
            "timeout_ms": self.timeout_ms,
            "timeouts_before_reconnect": 0,
            "pause_between_requests_ms": round(1000 / self.rate),
        }
        return LinkOptions.model_validate({**self.link_table, **pace})

    @model_validator(mode="after")
    def _fits_together(self) -> ScanOptions:
        LinkOptions.model_validate(self.link_table)
        return self
