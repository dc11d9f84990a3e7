"""A serial port on the event loop, whatever protocol travels on it: a tty, or a serial device server's raw TCP port.

pyserial sets the line up (speed, parity, RS-485 mode); from then on the descriptor belongs to the event loop: no
thread, no polling. What pyserial leaves open is closed here:

- nobody else can open the port meanwhile: ``TIOCEXCL`` beside pyserial's advisory ``flock``;
- a setting that the port's driver ignored is an error, not garbage (pyserial doesn't look);
- a character with a parity or framing error is marked by the kernel (``PARMRK``, termios(3)) and reported, so that it
  is never taken for a good one;
- closing never waits for output that flow control holds back.

A port is opened by :func:`open_port` and reports to a :class:`PortReceiver`. Every failure is a
:class:`gateway.driver.LinkDown` whose message is one sentence for a user.
"""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import grp
import os
import re
import stat
import termios
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, cast
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from drivers.common.portlist import holders, ports
from drivers.common.quoting import quoted
from gateway.driver import LinkDown
from gateway.hosts import is_host

_MAX_UNSENT = 1 << 16
"""Bytes that may wait for a port that takes none before it is given up."""
_READ_SIZE = 1 << 16
_SOCKET = "socket://"
_CONNECT_TIMEOUT_S = 3.0
_RS485_ENABLED = 1
"""SER_RS485_ENABLED of linux/serial.h."""
_MAX_NAMED = 8
"""Ports that an error names."""


# -- options


def _check_device(text: str) -> str:
    if text.startswith(_SOCKET):
        _host_and_port(text)
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


def _host_and_port(url: str) -> tuple[str, int]:
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


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rs485Options(_Options):
    """Direction switching by the kernel's driver (Linux, Documentation/driver-api/serial/serial-rs485)."""

    rts_on_send: bool = Field(default=True, description="Level of RTS while sending.")
    rts_after_send: bool = Field(default=False, description="Level of RTS after sending.")
    delay_before_send_ms: int = Field(default=0, ge=0, le=1000, description="Between RTS and the first character.")
    delay_after_send_ms: int = Field(default=0, ge=0, le=1000, description="Between the last character and RTS.")
    receive_while_sending: bool = Field(default=False, description="Hear one's own characters, too.")


class LineOptions(_Options):
    """How characters travel. Without meaning on ``socket://``, where the device server is set up by its own means."""

    baud: int = Field(default=9600, ge=50, le=4_000_000, description="Speed, in bit/s.")
    data_bits: Literal[5, 6, 7, 8] = Field(default=8, description="Data bits of a character.")
    parity: Literal["none", "even", "odd", "mark", "space"] = Field(
        default="none", description="Parity bit. A character with a wrong one is never taken for a good one."
    )
    stop_bits: Literal[1, 2] = Field(default=1, description="Stop bits of a character.")
    flow_control: Literal["none", "rts-cts", "xon-xoff"] = Field(
        default="none", description="How the receiver holds the sender back."
    )
    rs485: Rs485Options | None = Field(
        default=None,
        description="The kernel's RS-485 mode, for ports that need it: `{}` or a table of `rts_on_send`, "
        "`rts_after_send`, `delay_before_send_ms`, `delay_after_send_ms`, `receive_while_sending`.",
    )
    dtr: bool = Field(default=True, description="Level of DTR once the port is open. Some devices restart on it.")
    rts: bool = Field(default=True, description="Level of RTS once the port is open, unless it controls the flow.")
    local_echo: bool = Field(
        default=False, description="The line gives back what is sent, as some two-wire adapters do: leave it out."
    )

    @property
    def character_s(self) -> float:
        """Time one character takes on the wire, in seconds."""
        return (1 + self.data_bits + (self.parity != "none") + self.stop_bits) / self.baud

    def __str__(self) -> str:
        """As people write it: ``9600 8N1``."""
        return f"{self.baud} {self.data_bits}{self.parity[0].upper()}{self.stop_bits}"


# -- the port


class PortReceiver(ABC):
    """What hears a port. Called on the event loop; must not raise."""

    @abstractmethod
    def data_received(self, data: bytes) -> None:
        """Characters that arrived, none of them damaged as far as the line can tell. Never empty."""

    @abstractmethod
    def line_error(self) -> None:
        """Between what was received and what will be, a character was lost or damaged: parity, framing or break."""

    @abstractmethod
    def port_lost(self, reason: str) -> None:
        """The port is gone; `reason` is a sentence for LinkDown. Called once, and not after :meth:`Port.close`."""


class Port(ABC):
    """An open port."""

    name: str
    """As the user wrote it."""

    @abstractmethod
    def write(self, data: bytes) -> None:
        """Send at once, or as soon as the port takes it. Raises LinkDown if the port is gone or takes nothing."""

    @abstractmethod
    def discard_unsent(self) -> None:
        """Forget what was written and isn't on the wire yet."""

    @abstractmethod
    async def close(self) -> None:
        """Idempotent. The descriptor is free when it returns."""


async def open_port(device: str, line: LineOptions, receiver: PortReceiver) -> Port:
    """Open `device` for the running loop, alone. Bounded in time. Raises LinkDown."""
    if device.startswith(_SOCKET):
        return await _open_socket(device, receiver)
    return TtyPort(device, line, receiver)


class TtyPort(Port):
    """A port of this machine. Needs a running event loop. Raises LinkDown."""

    def __init__(self, device: str, line: LineOptions, receiver: PortReceiver) -> None:
        self.name = device
        self._receiver = receiver
        self._loop = asyncio.get_running_loop()
        self._marks = MarkReader()
        self._echo = bytearray() if line.local_echo else None
        self._unsent = bytearray()
        self._down = ""
        self._serial = _open_tty(device, line)
        self._fd: int = self._serial.fd
        self._loop.add_reader(self._fd, self._on_readable)

    def write(self, data: bytes) -> None:
        if self._down:
            raise LinkDown(self._down)
        if self._echo is not None:
            self._echo += data
        if not self._unsent:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:
                pass
            except OSError as error:
                self._lose(_lost(self.name, error))
                raise LinkDown(self._down) from None
        if data:
            if len(self._unsent) + len(data) > _MAX_UNSENT:
                raise LinkDown(f"{self.name} takes no data: check the cable and flow_control")
            if not self._unsent:
                self._loop.add_writer(self._fd, self._on_writable)
            self._unsent += data

    def discard_unsent(self) -> None:
        if self._down:
            return
        if self._unsent:
            self._unsent.clear()
            self._loop.remove_writer(self._fd)
        if self._echo is not None:
            self._echo.clear()
        try:
            termios.tcflush(self._fd, termios.TCOFLUSH)
        except termios.error as error:
            self._lose(_lost(self.name, OSError(*error.args)))

    async def close(self) -> None:
        self._release(f"{self.name} is closed")

    def _on_readable(self) -> None:
        try:
            data = os.read(self._fd, _READ_SIZE)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(_lost(self.name, error))
            return
        if not data:
            # With VMIN = 1 nothing to read is EAGAIN; this is a hang-up.
            self._lose(f"{self.name} is gone: check the cable")
            return
        for part in self._marks.feed(data):
            if self._down:
                return
            if part is None:
                self._receiver.line_error()
            elif heard := self._without_echo(part):
                self._receiver.data_received(heard)

    def _without_echo(self, data: bytes) -> bytes:
        expected = self._echo
        if not expected:
            return data
        size = min(len(expected), len(data))
        if data[:size] == expected[:size]:
            del expected[:size]
            return data[size:]
        # What comes back isn't what was sent: two spoke at once, or there is no echo.
        expected.clear()
        self._receiver.line_error()
        return data

    def _on_writable(self) -> None:
        try:
            del self._unsent[: os.write(self._fd, self._unsent)]
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(_lost(self.name, error))
            return
        if not self._unsent:
            self._loop.remove_writer(self._fd)

    def _lose(self, reason: str) -> None:
        if not self._down:
            self._release(reason)
            self._receiver.port_lost(reason)

    def _release(self, reason: str) -> None:
        if self._down:
            return
        self._down = reason
        self._loop.remove_reader(self._fd)
        self._loop.remove_writer(self._fd)
        self._unsent.clear()
        try:
            # The kernel would otherwise wait up to 30 s for output that flow control holds back.
            termios.tcflush(self._fd, termios.TCIOFLUSH)
            # Where the terminal outlives its last descriptor (a pseudo-terminal) it would stay closed to others.
            fcntl.ioctl(self._fd, termios.TIOCNXCL)
        except (termios.error, OSError):
            pass  # the port is gone
        self._serial.close()


class _SocketPort(Port, asyncio.Protocol):
    """A device server's raw TCP port. No RFC 2217: the server's own set-up says speed and parity."""

    def __init__(self, name: str, receiver: PortReceiver) -> None:
        self.name = name
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None
        self._down = ""
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def write(self, data: bytes) -> None:
        if self._down or self._transport is None:
            raise LinkDown(self._down or f"there is no connection to {self.name}")
        if self._transport.get_write_buffer_size() + len(data) > _MAX_UNSENT:
            raise LinkDown(f"{self.name} takes no data: check the network")
        self._transport.write(data)

    def discard_unsent(self) -> None:
        """What TCP has taken can't be taken back."""

    async def close(self) -> None:
        self._down = self._down or f"{self.name} is closed"
        if self._transport is not None:
            self._transport.abort()
            await asyncio.shield(self._closed)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports don't inherit from asyncio's.
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self._down:
            self._receiver.data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._down:
            cause = f": {os.strerror(exc.errno)}" if isinstance(exc, OSError) and exc.errno else ""
            self._down = f"{self.name} closed the connection{cause}"
            self._receiver.port_lost(self._down)
        if not self._closed.done():
            self._closed.set_result(None)


async def _open_socket(device: str, receiver: PortReceiver) -> Port:
    import socket

    host, port = _host_and_port(device)
    try:
        async with asyncio.timeout(_CONNECT_TIMEOUT_S):
            transport, protocol = await asyncio.get_running_loop().create_connection(
                lambda: _SocketPort(device, receiver), host, port
            )
    except TimeoutError:
        raise LinkDown(
            f"{device} didn't accept the connection within {_CONNECT_TIMEOUT_S:g} s: "
            "check the address, the cabling and any firewall between"
        ) from None
    except (socket.gaierror, UnicodeError):
        raise LinkDown(f"the host name in {device} can't be resolved: check it, and the DNS server") from None
    except ConnectionRefusedError:
        raise LinkDown(
            f"{device} refused the connection: check the port, and that the device server allows another client"
        ) from None
    except OSError as error:
        raise LinkDown(f"{device} can't be reached: {_cause(error)}") from None
    sock = transport.get_extra_info("socket")
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 5)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 2)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 8000)
    return protocol


class MarkReader:
    """Takes the kernel's marks out of what was read (termios(3), PARMRK).

    ``FF FF`` is the character FF; ``FF 00 x`` is a damaged character, or a break if x is 00.
    """

    _MARK = re.compile(rb"\xff(?:\xff|\x00.)", re.DOTALL)
    _UNFINISHED = re.compile(rb"(?:[^\xff]|\xff\xff|\xff\x00.)*(\xff\x00?)\Z", re.DOTALL)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterable[bytes | None]:
        """Good characters in the order they came; None where one was damaged."""
        if not self._rest and b"\xff" not in data:
            return (data,)
        return self._sort(self._rest + data)

    def _sort(self, data: bytes) -> Iterator[bytes | None]:
        unfinished = self._UNFINISHED.match(data)
        self._rest = unfinished[1] if unfinished else b""
        end = len(data) - len(self._rest)
        good = bytearray()
        at = 0
        for mark in self._MARK.finditer(data, 0, end):
            good += data[at : mark.start()]
            at = mark.end()
            if mark[0] == b"\xff\xff":
                good += b"\xff"
                continue
            if good:
                yield bytes(good)
                good.clear()
            yield None
        good += data[at:end]
        if good:
            yield bytes(good)


# -- opening


def _open_tty(device: str, line: LineOptions) -> Any:
    """An open pyserial port, raw, exclusive, non-blocking. Raises LinkDown."""
    import serial
    from serial.rs485 import RS485Settings

    if _is_pseudo(device):
        # It has no line, and refuses the settings of one; whoever simulates a device keeps the real configuration.
        line = line.model_copy(update={"data_bits": 8, "parity": "none", "stop_bits": 1})
    port = serial.Serial(
        baudrate=line.baud,
        bytesize=line.data_bits,
        parity=line.parity[0].upper(),
        stopbits=line.stop_bits,
        rtscts=line.flow_control == "rts-cts",
        xonxoff=line.flow_control == "xon-xoff",
        exclusive=True,
    )
    port.port = device
    port.dtr = line.dtr
    port.rts = line.rts
    if line.rs485 is not None:
        port.rs485_mode = RS485Settings(
            rts_level_for_tx=line.rs485.rts_on_send,
            rts_level_for_rx=line.rs485.rts_after_send,
            loopback=line.rs485.receive_while_sending,
            delay_before_tx=line.rs485.delay_before_send_ms / 1000,
            delay_before_rx=line.rs485.delay_after_send_ms / 1000,
        )
    try:
        port.open()
    except (serial.SerialException, OSError, ValueError, termios.error) as error:
        raise LinkDown(_why_not(device, line, error)) from None
    try:
        _finish(port, device, line)
    except BaseException:
        port.close()
        raise
    return port


def _is_pseudo(device: str) -> bool:
    return os.path.realpath(device).startswith("/dev/pts/")


def _finish(port: Any, device: str, line: LineOptions) -> None:
    """What pyserial leaves to be done. Raises LinkDown."""
    try:
        fcntl.ioctl(port.fd, termios.TIOCEXCL)
        attributes = termios.tcgetattr(port.fd)
        attributes[0] &= ~(termios.IGNPAR | termios.BRKINT)
        attributes[0] |= termios.PARMRK
        if line.parity != "none":
            attributes[0] |= termios.INPCK
        attributes[6][termios.VMIN] = 1
        termios.tcsetattr(port.fd, termios.TCSANOW, attributes)
        taken = termios.tcgetattr(port.fd)
    except termios.error as error:
        raise LinkDown(f"{device} can't be set up: {os.strerror(error.args[0])}") from None
    _check_taken(device, line, taken)
    if line.rs485 is not None:
        settings = array.array("i", [0] * 8)
        fcntl.ioctl(port.fd, 0x542E, settings)  # TIOCGRS485
        if not settings[0] & _RS485_ENABLED:
            raise LinkDown(f"{device} has no RS-485 mode: take rs485 out, or use another port")


def _check_taken(device: str, line: LineOptions, taken: list[Any]) -> None:
    """Raises LinkDown for a setting that the port's driver ignored."""
    cflag, speed = taken[2], taken[5]
    sizes = {5: termios.CS5, 6: termios.CS6, 7: termios.CS7, 8: termios.CS8}
    wrong = []
    if cflag & termios.CSIZE != sizes[line.data_bits]:
        wrong.append(f"data_bits = {line.data_bits}")
    if bool(cflag & termios.PARENB) != (line.parity != "none"):
        wrong.append(f'parity = "{line.parity}"')
    if bool(cflag & termios.CSTOPB) != (line.stop_bits == 2):
        wrong.append(f"stop_bits = {line.stop_bits}")
    if bool(cflag & termios.CRTSCTS) != (line.flow_control == "rts-cts"):
        wrong.append(f'flow_control = "{line.flow_control}"')
    if speed != getattr(termios, f"B{line.baud}", speed):
        wrong.append(f"baud = {line.baud}")
    if wrong:
        raise LinkDown(f"{device} can't do {' and '.join(wrong)}: use what it can, or another port")


def _number(error: BaseException) -> int | None:
    """The errno of an error; termios has it as its first argument only."""
    number = getattr(error, "errno", None)
    if number is None and isinstance(error, termios.error):
        number = error.args[0]
    return number if isinstance(number, int) else None


def _why_not(device: str, line: LineOptions, error: Exception) -> str:
    """Why a port can't be opened, and what to do about it."""
    number = _number(error) or (_number(error.__context__) if error.__context__ is not None else None)
    if number in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"there is no port {device}: {_what_there_is()}"
    if number in (errno.EBUSY, errno.EWOULDBLOCK):
        holder = next(iter(holders(device)), None)
        by = f" by {holder}: stop that" if holder else ": stop the program that has it"
        return f"{device} is in use{by}, or use another port"
    if number in (errno.EACCES, errno.EPERM):
        return f"{device} may not be opened: {_who_may(device)}"
    if number == errno.ENOTTY:
        if line.rs485 is not None and os.path.exists(device) and stat.S_ISCHR(os.stat(device).st_mode):
            return f"{device} has no RS-485 mode: take rs485 out, or use another port"
        return f"{device} isn't a serial port: {_what_there_is()}"
    if number == errno.EINVAL or isinstance(error, ValueError):
        return f"{device} can't do {line}: use what it can, or another port"
    cause = os.strerror(number) if number is not None else str(error)
    return f"{device} can't be opened: {cause}"


def _what_there_is() -> str:
    names = [port.best_path for port in ports()]
    if not names:
        return "this machine has none at all; check the cable and the adapter"
    more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
    return f"there are {', '.join(names[:_MAX_NAMED])}{more}; check the cable, or mend the path"


def _who_may(device: str) -> str:
    try:
        status = os.stat(device)
        if status.st_mode & stat.S_IWGRP:
            return f"make the gateway's user a member of the group '{grp.getgrgid(status.st_gid).gr_name}'"
    except (OSError, KeyError):
        pass
    return "give the gateway's user the right to read and write it"


def _lost(name: str, error: OSError) -> str:
    if error.errno in (errno.EIO, errno.ENXIO, errno.ENODEV, errno.EBADF):
        return f"{name} is gone: check the cable"
    return f"{name} can't be used any more: {_cause(error)}"


def _cause(error: OSError) -> str:
    return os.strerror(error.errno) if error.errno else str(error)
