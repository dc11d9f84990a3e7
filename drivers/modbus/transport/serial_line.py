"""A serial line: RTU or ASCII over a port of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from drivers.common.serialport import Port, PortReceiver, open_port
from drivers.modbus.link import LinkOptions
from drivers.modbus.transport.conversation import C, Conversation
from gateway.driver import LinkDown

_DAMAGED = b"\0"
"""Stands for a character that the line is known to have spoilt: the checksum then tells, and the length stays right."""


class SerialDial:
    """Opens one serial port. Implements :class:`drivers.modbus.transport.wire.Dial`."""

    def __init__(self, options: LinkOptions) -> None:
        self.peer = options.peer
        self._line = options.line

    async def open(self, converse: Callable[[], C]) -> C:
        """Raises LinkDown."""
        conversation = converse()
        link = _PortTransport(conversation)
        link.port = await open_port(self.peer, self._line, link)
        conversation.connection_made(link)
        return conversation


class _PortTransport(asyncio.Transport, PortReceiver):
    """Between a port and a conversation."""

    port: Port

    def __init__(self, conversation: Conversation[Any]) -> None:
        super().__init__()
        self._conversation = conversation
        self._hearer: asyncio.Protocol = conversation
        self._closing: asyncio.Task[None] | None = None

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._hearer = cast(asyncio.Protocol, protocol)

    def data_received(self, data: bytes) -> None:
        self._hearer.data_received(data)

    def line_error(self) -> None:
        self._hearer.data_received(_DAMAGED)

    def port_lost(self, reason: str) -> None:
        self._conversation.ended(reason)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        try:
            self.port.write(bytes(data))
        except LinkDown as error:
            self._conversation.give_up(str(error))

    def abort(self) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close())

    async def _close(self) -> None:
        await self.port.close()
        self._conversation.ended("")
