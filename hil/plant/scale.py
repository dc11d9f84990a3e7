"""The checkweigher's serial interface: a pseudo-terminal that speaks MT-SICS, the command set of weigh scales.

Commands are lines ended by CR LF. Known are ``SI`` (the weight at once), ``S`` (the stable weight), ``SIR`` (at once
and again on every measurement), ``@`` (reset, ends ``SIR``) and ``I4`` (the serial number); anything else is answered
``ES``. A weight is ``S S     540.12 g``: status (S stable, D dynamic), value right-aligned in ten characters, unit.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty

from hil.plant.checkweigher import Checkweigher

_MOST_UNSENT = 4096
"""A reader that has stopped reading misses measurements, as on a wire."""


class Scale:
    """``async with`` opens the port; `path` names it."""

    def __init__(self, machine: Checkweigher) -> None:
        self._machine = machine
        self.path = ""
        self._master = self._slave = -1
        self._line = bytearray()
        self._unsent = bytearray()
        self._repeating = False

    async def __aenter__(self) -> Scale:
        """Raises OSError."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        asyncio.get_running_loop().add_reader(self._master, self._readable)
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def refresh(self) -> None:
        """One measurement has been made."""
        if self._repeating:
            self._send(self._weight())

    def _readable(self) -> None:
        self._line += os.read(self._master, 4096)
        while (end := self._line.find(b"\n")) >= 0:
            command = bytes(self._line[:end]).strip()
            del self._line[: end + 1]
            self._send(self._answer(command))

    def _answer(self, command: bytes) -> bytes:
        match command:
            case b"SI":
                return self._weight()
            case b"S":
                return self._weight() if self._machine.stable else b"S I"
            case b"SIR":
                self._repeating = True
                return self._weight()
            case b"@":
                self._repeating = False
                return b'I4 A "%b"' % self._machine.serial.encode()
            case b"I4":
                return b'I4 A "%b"' % self._machine.serial.encode()
        return b"ES"

    def _weight(self) -> bytes:
        if self._machine.overloaded:
            return b"S +"
        return b"S %b %10.2f g" % (b"S" if self._machine.stable else b"D", self._machine.reading_g)

    def _send(self, line: bytes) -> None:
        if len(self._unsent) < _MOST_UNSENT:
            self._unsent += line + b"\r\n"
        with contextlib.suppress(BlockingIOError):
            del self._unsent[: os.write(self._master, self._unsent)]
