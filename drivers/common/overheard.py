"""Listening to a connection that is in use: its protocol is wrapped while somebody listens, and untouched otherwise."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Overheard(asyncio.Protocol, asyncio.DatagramProtocol):
    """Tells `hear` what is received before `protocol` takes it."""

    def __init__(self, protocol: Any, hear: Callable[[bytes], None]) -> None:
        self.protocol = protocol
        self._hear = hear

    def data_received(self, data: bytes) -> None:
        self._hear(data)
        self.protocol.data_received(data)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._hear(data)
        self.protocol.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self.protocol.error_received(exc)

    def eof_received(self) -> bool | None:
        return bool(self.protocol.eof_received())

    def pause_writing(self) -> None:
        self.protocol.pause_writing()

    def resume_writing(self) -> None:
        self.protocol.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.protocol.connection_lost(exc)
