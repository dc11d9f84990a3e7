"""The checkweigher's serial interface: a pseudo-terminal that speaks MT-SICS, the command set of weigh scales.

Commands are lines ended by CR LF. Known are ``SI`` (the weight at once), ``S`` (the stable weight), ``SIR`` (at once
and again on every measurement), ``@`` (reset, ends ``SIR``) and ``I4`` (the serial number); anything else is answered
``ES``. A weight is ``S S     540.12 g``: status (S stable, D dynamic), value right-aligned in ten characters, unit.
"""

from __future__ import annotations

from hil.plant.checkweigher import Checkweigher
from hil.plant.terminal import Terminal


class Scale:
    """``async with`` opens the port; `path` names it."""

    def __init__(self, machine: Checkweigher) -> None:
        self._machine = machine
        self._terminal = Terminal(self._received)
        self._line = bytearray()
        self._repeating = False

    @property
    def path(self) -> str:
        return self._terminal.path

    async def __aenter__(self) -> Scale:
        """Raises OSError."""
        await self._terminal.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._terminal.__aexit__()

    def refresh(self) -> None:
        """One measurement has been made."""
        if self._repeating:
            self._send(self._weight())

    def _received(self, data: bytes) -> None:
        self._line += data
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
        self._terminal.send(line + b"\r\n")
