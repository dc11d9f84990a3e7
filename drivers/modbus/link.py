"""What can be set for a Modbus link: a pydantic model whose descriptions become the reference page."""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from drivers.common.serialport import Baud, LineOptions, Parity, Rs485Options, StopBits, check_port_path
from drivers.common.tcp import peer_name
from gateway.fields import FilePath, Host, Options
from gateway.wire import Capture, Endpoint, Layer, Medium

Transport = Literal["tcp", "rtu", "ascii", "rtu-over-tcp", "ascii-over-tcp", "udp", "tls"]

SERIAL = ("rtu", "ascii")
LINES = ("rtu", "ascii", "rtu-over-tcp", "ascii-over-tcp")
"""Transports without transaction ids."""
STREAMS = ("tcp", "rtu-over-tcp", "ascii-over-tcp", "tls")
_NETWORK = (*STREAMS, "udp")

_FITS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("host", "port", "dial", "connect_timeout_ms"), _NETWORK),
    **dict.fromkeys(("keepalive_s", "backup_host", "backup_port", "failback_s", "single_connection"), STREAMS),
    **dict.fromkeys(("registration", "heartbeat", "allow"), STREAMS),
    **dict.fromkeys(("ca", "certificate", "key", "server_name"), ("tls",)),
    **dict.fromkeys(("device", "baud", "parity", "stop_bits", "data_bits"), SERIAL),
    **dict.fromkeys(("frame_silence_ms", "rs485"), SERIAL),
    "local_echo": LINES,
}
"""Which transports an option is for, where not for all."""
_CALLED_ONLY = ("registration", "heartbeat", "allow")
_CALLING_ONLY = ("backup_host", "backup_port", "failback_s", "single_connection")

_PORTS = {"tls": 802}
_DEFAULT_PORT = 502
_CONNECT_MS, _CALL_MS = 3000, 30_000


def _check_network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a network: write '10.8.0.0/16' or a single address") from None
    return text


def _check_bytes(text: str) -> str:
    if any(ord(character) > 0xFF for character in text):
        raise ValueError(f"{text!r} has characters beyond U+00FF: each stands for one byte")
    return text


def _check_path(text: str) -> str:
    if text.startswith("socket://"):
        raise ValueError(
            f"device '{text}' is no port of this machine: take transport 'rtu-over-tcp' with host and port"
        )
    return check_port_path(text)


PortPath = Annotated[str, Field(min_length=1), AfterValidator(_check_path)]
Network = Annotated[str, AfterValidator(_check_network)]
Bytes = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(_check_bytes)]
"""Bytes as text: each character from U+0000 to U+00FF is one."""


class LinkOptions(Options):
    """One Modbus connection."""

    transport: Transport = Field(
        default="tcp",
        description="How frames travel. `tcp`: Modbus TCP (MBAP header). `rtu`, `ascii`: a serial line. "
        "`rtu-over-tcp`, `ascii-over-tcp`: serial frames through a transparent converter. `udp`: MBAP in datagrams. "
        "`tls`: Modbus/TCP Security.",
    )
    host: Host | None = Field(
        default=None,
        description='Host name or IP address of the device or gateway. With `dial = "in"` the own address to listen '
        "on, `0.0.0.0` for all. Needed for all but serial lines.",
    )
    port: int | None = Field(default=None, ge=1, le=65535, description="Port. Default: 502, of `tls` 802.")
    timeout_ms: int = Field(
        default=1000,
        ge=1,
        le=60_000,
        description="How long to wait for the reply to one request. On a serial line the time that request and reply "
        "take to travel comes on top.",
    )
    connect_timeout_ms: int | None = Field(
        default=None,
        ge=1,
        le=60_000,
        description="How long connecting may take, name lookup and TLS included. Default: 3000; with "
        '`dial = "in"` 30000, for the device to call.',
    )
    pause_after_connect_ms: int = Field(
        default=0,
        ge=0,
        le=60_000,
        description="Wait between connecting and the first request, for devices that need it.",
    )
    pause_between_requests_ms: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Least time between a reply and the next request, for devices that need it.",
    )
    timeouts_before_reconnect: int = Field(
        default=3,
        ge=0,
        le=100,
        description="Unanswered requests in a row after which the connection is made anew. 0: never for this reason.",
    )
    keepalive_s: int = Field(
        default=5,
        ge=0,
        le=3600,
        description="Idle time after which TCP keepalive probes the far end, so that a dead one is noticed. 0: off.",
    )
    dial: Literal["out", "in"] = Field(
        default="out",
        description="Who makes the connection: `out` the gateway, `in` the device, which calls us on `host` and `port` "
        "(behind a mobile router, say). The newest call counts.",
    )
    registration: Bytes | None = Field(
        default=None,
        description='With `dial = "in"`: what the caller must send first, as some routers do; anything else is hung up '
        r'on. Each character is one byte, such as `"\r"` or `"\u00ff"`.',
    )
    heartbeat: Bytes | None = Field(
        default=None,
        description='With `dial = "in"`: what the caller sends now and then to keep the line open. It is left out.',
    )
    allow: tuple[Network, ...] = Field(
        default=(),
        description='With `dial = "in"`: networks that may call, such as `["10.8.0.0/16"]`. Default: all.',
    )
    backup_host: Host | None = Field(
        default=None, description="Another way to the same devices, taken while `host` can't be reached or is silent."
    )
    backup_port: int | None = Field(default=None, ge=1, le=65535, description="Port of the backup. Default: as `port`.")
    failback_s: float = Field(
        default=30,
        ge=0.1,
        le=86_400,
        description="While on the backup: how often `host` is tried. Once it answers a request, it is used again.",
    )
    single_connection: bool = Field(
        default=False,
        description="The device allows one connection in all: the backup's is closed before `host` is tried.",
    )
    ca: FilePath | None = Field(
        default=None,
        description="File with the certificates (PEM) that the device's must be signed by. Needed for `tls`.",
    )
    certificate: FilePath | None = Field(
        default=None,
        description="The gateway's own certificate (PEM), with the chain to its CA. Modbus/TCP Security demands one.",
    )
    key: FilePath | None = Field(
        default=None, description="The private key of `certificate` (PEM, no password), if it isn't in the same file."
    )
    server_name: str | None = Field(
        default=None, min_length=1, description="The name that the device's certificate is for. Default: `host`."
    )
    device: PortPath | None = Field(
        default=None,
        description="The serial port: its path, best one that lasts (`/dev/serial/by-id/…`, `/dev/serial/by-path/…`). "
        "Needed for serial lines.",
    )
    baud: Baud = Field(default=19200, description="Speed, in bit/s.")
    parity: Parity = Field(default="even", description="Parity bit.")
    stop_bits: StopBits = Field(
        default=1, description="Stop bits of a character. The standard wants 2 if there is no parity."
    )
    data_bits: Literal[7, 8] | None = Field(
        default=None, description="Data bits of a character. Default: 8, of `ascii` 7."
    )
    frame_silence_ms: float | None = Field(
        default=None,
        ge=0,
        le=1000,
        description="Least silence before a request. Default: of `rtu` 3.5 characters, 1.75 above 19200 baud; of "
        "`ascii` 0.",
    )
    local_echo: bool = Field(
        default=False,
        description="The adapter hears what it sends itself (two-wire RS-485 without echo suppression): the echo is "
        "taken off and compared.",
    )
    rs485: Rs485Options | None = Field(
        default=None,
        description="Have the kernel's driver switch an RS-485 transceiver: `{}` or a table of `rts_on_send`, "
        "`rts_after_send`, `delay_before_send_ms`, `delay_after_send_ms`, `receive_while_sending`. Adapters that "
        "switch by themselves, as most on USB do, don't need it.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> LinkOptions:
        given = {key for key in self.model_fields_set if getattr(self, key) is not None}
        for key, transports in _FITS.items():
            if key in given and self.transport not in transports:
                raise ValueError(
                    f"'{key}' has no meaning for transport '{self.transport}': it is for {_listing(transports)}"
                )
        need = "device" if self.transport in SERIAL else "host"
        if need not in given:
            what = "name the serial port" if need == "device" else "name the device or gateway"
            raise ValueError(f"transport '{self.transport}' needs '{need}': {what}")
        if self.transport == "udp" and self.dial == "in":
            raise ValueError("transport 'udp' can't be dialled in to: it knows no connections")
        if self.transport == "tls" and self.dial == "in":
            raise ValueError("transport 'tls' can't be dialled in to: the device must be the server")
        for key in _CALLED_ONLY if self.dial == "out" else _CALLING_ONLY:
            if key in given:
                other = "in" if self.dial == "out" else "out"
                raise ValueError(f'\'{key}\' is for dial = "{other}" only: drop it, or write dial = "{other}"')
        for key in ("backup_port", "failback_s", "single_connection"):
            if key in given and self.backup_host is None:
                raise ValueError(f"'{key}' has no meaning without 'backup_host': drop it, or add backup_host")
        if self.backup is not None and self.backup == self.endpoint:
            raise ValueError("'backup_host' is the same endpoint as 'host': name another way, or drop it")
        if "allow" in given and not self.allow:
            raise ValueError("'allow' is an empty list, so nobody could call: name networks, or drop it")
        if self.transport == "rtu" and self.data_bits == 7:
            raise ValueError("transport 'rtu' needs 8 data bits: drop 'data_bits'")
        if self.transport == "tls" and self.ca is None:
            raise ValueError(
                "transport 'tls' needs 'ca': the file with the CA that the device's certificate is signed by"
            )
        if self.key is not None and self.certificate is None:
            raise ValueError("'key' is given without its certificate: add 'certificate'")
        return self

    @property
    def endpoint(self) -> tuple[str, int]:
        """Host and port."""
        assert self.host is not None
        return self.host, self.port or _PORTS.get(self.transport, _DEFAULT_PORT)

    @property
    def backup(self) -> tuple[str, int] | None:
        return None if self.backup_host is None else (self.backup_host, self.backup_port or self.endpoint[1])

    @property
    def connect_timeout_s(self) -> float:
        return (self.connect_timeout_ms or (_CALL_MS if self.dial == "in" else _CONNECT_MS)) / 1000

    @property
    def registration_bytes(self) -> bytes:
        return (self.registration or "").encode("latin-1")

    @property
    def heartbeat_bytes(self) -> bytes:
        return (self.heartbeat or "").encode("latin-1")

    @property
    def line(self) -> LineOptions:
        """How characters travel on a serial line."""
        return LineOptions(
            baud=self.baud,
            data_bits=self.data_bits or (7 if self.transport == "ascii" else 8),
            parity=self.parity,
            stop_bits=self.stop_bits,
            rs485=self.rs485,
        )

    @property
    def silence_s(self) -> float:
        """Least silence before a request (Modbus over Serial Line 1.02, §2.5.1.1)."""
        if self.frame_silence_ms is not None:
            return self.frame_silence_ms / 1000
        if self.transport != "rtu":
            return 0.0
        return 0.00175 if self.baud > 19200 else 3.5 * self.line.character_s

    @property
    def peer(self) -> str:
        """The far end as a user would write it."""
        if self.transport in SERIAL:
            return str(self.device)
        return peer_name(*self.endpoint)


def _listing(transports: tuple[str, ...]) -> str:
    *first, last = (f"'{transport}'" for transport in transports)
    return f"{', '.join(first)} and {last}" if first else last


def describe(options: LinkOptions) -> str:
    """A link's far end, for status and tables."""
    if options.dial == "in":
        return f"{options.peer} (dials in)"
    backup = f", backup {peer_name(*options.backup)}" if options.backup else ""
    return f"{options.peer}{backup}"


def claims(options: LinkOptions) -> tuple[str, ...]:
    """What only one link can have: the port it opens, or the address it listens on."""
    return (options.peer,) if options.transport in SERIAL or options.dial == "in" else ()


def endpoints(options: LinkOptions) -> tuple[Endpoint, ...]:
    """Where the link leads, the backup last."""
    if options.transport in SERIAL:
        return (Endpoint(Medium.SERIAL, options.peer),)
    medium = Medium.LISTEN if options.dial == "in" else Medium.UDP if options.transport == "udp" else Medium.TCP
    ways = [options.endpoint] if options.backup is None else [options.endpoint, options.backup]
    return tuple(Endpoint(medium, host, port) for host, port in ways)


def capture(options: LinkOptions) -> Capture | None:
    """Serial framing stays serial even where TCP carries it: analysers know it so."""
    if options.transport in ("tcp", "tls"):
        return Capture(Layer.TCP, _DEFAULT_PORT)
    return Capture(Layer.UDP, _DEFAULT_PORT) if options.transport == "udp" else Capture(Layer.SERIAL)
