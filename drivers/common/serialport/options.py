"""Which port, and how characters travel on it: parts of the options of every driver that has serial lines."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from drivers.common.quoting import quoted
from gateway.fields import Options
from gateway.hosts import is_host

SOCKET = "socket://"


def _check_device(text: str) -> str:
    if text.startswith(SOCKET):
        host_and_port(text)
    elif "://" in text:
        scheme = text.partition("://")[0]
        raise ValueError(
            f"device {quoted(text)} can't be opened: {quoted(scheme)} isn't known here; write a path such as "
            "'/dev/serial/by-id/…', or 'socket://host:port' for a device server's raw TCP port"
        )
    else:
        check_port_path(text)
    return text


def check_port_path(text: str) -> str:
    """The path of a port of this machine. Raises ValueError."""
    if re.fullmatch(r"com\d+:?", text, re.IGNORECASE):
        raise ValueError(
            f"device {quoted(text)} is a port of Windows: name one of this machine, such as '/dev/ttyUSB0'"
        )
    if not text.startswith("/"):
        raise ValueError(
            f"device {quoted(text)} isn't a whole path: write {quoted('/dev/' + text.removeprefix('dev/'))}"
        )
    return text


def host_and_port(url: str) -> tuple[str, int]:
    """The parts of ``socket://host:port``. Raises ValueError."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or not is_host(host) or parts.path or parts.query or parts.fragment or parts.username:
        raise ValueError(
            f"device {quoted(url)} isn't understood: write socket://host:port, such as 'socket://10.0.0.5:4001'"
        )
    return host, port


Device = Annotated[
    str,
    AfterValidator(_check_device),
    Field(min_length=1, json_schema_extra={"pattern": r"^(/|socket://)"}),
]
"""A port by its path, or ``socket://host:port``."""


Baud = Annotated[int, Field(ge=50, le=4_000_000)]
Parity = Literal["none", "even", "odd", "mark", "space"]
StopBits = Literal[1, 2]


class Rs485Options(Options):
    """Direction switching by the kernel's driver (Linux, Documentation/driver-api/serial/serial-rs485)."""

    rts_on_send: bool = Field(default=True, description="Level of RTS while sending.")
    rts_after_send: bool = Field(default=False, description="Level of RTS after sending.")
    delay_before_send_ms: int = Field(default=0, ge=0, le=1000, description="Between RTS and the first character.")
    delay_after_send_ms: int = Field(default=0, ge=0, le=1000, description="Between the last character and RTS.")
    receive_while_sending: bool = Field(default=False, description="Hear one's own characters, too.")


class LineOptions(Options):
    """How characters travel. Without meaning on ``socket://``, where the device server is set up by its own means."""

    baud: Baud = Field(default=9600, description="Speed, in bit/s.")
    data_bits: Literal[5, 6, 7, 8] = Field(default=8, description="Data bits of a character.")
    parity: Parity = Field(
        default="none", description="Parity bit. A character with a wrong one is never taken for a good one."
    )
    stop_bits: StopBits = Field(default=1, description="Stop bits of a character.")
    flow_control: Literal["none", "rts-cts", "xon-xoff"] = Field(
        default="none", description="How the receiver holds the sender back."
    )
    rs485: Rs485Options | None = Field(
        default=None,
        description="Have the kernel's driver switch an RS-485 transceiver: `{}` or a table of `rts_on_send`, "
        "`rts_after_send`, `delay_before_send_ms`, `delay_after_send_ms`, `receive_while_sending`. Adapters that "
        "switch by themselves, as most on USB do, don't need it.",
    )
    dtr: bool = Field(default=True, description="Level of DTR once the port is open. Some devices restart on it.")
    rts: bool = Field(default=True, description="Level of RTS once the port is open, unless it controls the flow.")
    local_echo: bool = Field(
        default=False,
        description="The adapter hears what it sends itself (two-wire RS-485 without echo suppression): the echo is "
        "taken off and compared.",
    )

    @property
    def character_s(self) -> float:
        """Time one character takes on the wire, in seconds."""
        return (1 + self.data_bits + (self.parity != "none") + self.stop_bits) / self.baud

    def __str__(self) -> str:
        """As people write it: ``9600 8N1``."""
        return f"{self.baud} {self.data_bits}{self.parity[0].upper()}{self.stop_bits}"
