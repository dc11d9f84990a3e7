"""A port of this machine: pyserial opens it and sets it up, the event loop has it from then on."""

from __future__ import annotations

import array
import asyncio
import errno
import fcntl
import grp
import os
import stat
import termios
from typing import Any

from drivers.common.serialport.marks import MarkReader
from drivers.common.serialport.options import LineOptions
from drivers.common.serialport.port import MAX_UNSENT, Port, PortReceiver
from drivers.common.serialport.portlist import holders, ports
from gateway.driver import LinkDown

_READ_SIZE = 1 << 16
_RS485_ENABLED = 1
"""SER_RS485_ENABLED of linux/serial.h."""
_MAX_NAMED = 8
"""Ports that an error names."""


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
        if not self._down:
            # What has come in by now, though the loop hasn't looked yet, came before this is sent: it is heard before,
            # so that nobody takes it for the answer.
            self._on_readable()
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
            if len(self._unsent) + len(data) > MAX_UNSENT:
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
