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

from drivers.common.serialport.device_server import open_socket
from drivers.common.serialport.options import (
    SOCKET,
    Baud,
    Device,
    LineOptions,
    Parity,
    Rs485Options,
    StopBits,
    check_port_path,
)
from drivers.common.serialport.port import Port, PortReceiver
from drivers.common.serialport.tty import TtyPort

__all__ = [
    "Baud",
    "Device",
    "LineOptions",
    "Parity",
    "Port",
    "PortReceiver",
    "Rs485Options",
    "StopBits",
    "check_port_path",
    "open_port",
]


async def open_port(device: str, line: LineOptions, receiver: PortReceiver) -> Port:
    """Open `device` for the running loop, alone. Bounded in time. Raises LinkDown."""
    if device.startswith(SOCKET):
        return await open_socket(device, receiver)
    return TtyPort(device, line, receiver)
