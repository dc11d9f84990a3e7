"""A serial line: RTU or ASCII over a port of this machine."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

from drivers.common.serial_port import PortSettings, Rs485, open_port
from drivers.modbus.link import LinkOptions
from drivers.modbus.transport.conversation import Conversation

C = TypeVar("C", bound=Conversation)  # type: ignore[type-arg]


class SerialDial:
    """Opens one serial port. Implements :class:`drivers.modbus.transport.wire.Dial`."""

    def __init__(self, options: LinkOptions) -> None:
        self.peer = options.peer
        rs485 = Rs485(
            rts_high_while_sending=options.rs485_rts == "high",
            before_s=options.rs485_before_ms / 1000,
            after_s=options.rs485_after_ms / 1000,
        )
        self._settings = PortSettings(
            device=options.peer,
            baud=options.baud,
            data_bits=options.data_bits or (7 if options.transport == "ascii" else 8),
            parity=options.parity,
            stop_bits=options.stop_bits,
            rs485=rs485 if options.rs485 else None,
        )

    async def open(self, converse: Callable[[], C]) -> C:
        """Never waits. Raises LinkDown."""
        _, conversation = open_port(self._settings, converse)
        conversation.explain = _explain
        return conversation


def _explain(error: Exception) -> str | None:
    if isinstance(error, OSError) and error.errno in (errno.EIO, errno.ENXIO, errno.ENODEV):
        return "the port is gone; was the adapter unplugged?"
    return None
