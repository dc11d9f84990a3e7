"""A pseudo-terminal that stands for a serial port: a device holds one end, whoever reads it opens the other."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tty
from collections.abc import Callable

_MOST_UNSENT = 4096
"""A reader that has stopped reading misses what is sent, as on a wire."""


class Terminal:
    """``async with`` opens it; `path` names the end for the reader. `received` is called with what comes."""

    def __init__(self, received: Callable[[bytes], None]) -> None:
        self.path = ""
        self._received = received
        self._master = self._slave = -1
        self._unsent = bytearray()

    async def __aenter__(self) -> Terminal:
        """Raises OSError."""
        self._master, self._slave = os.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path = os.ttyname(self._slave)
        asyncio.get_running_loop().add_reader(self._master, lambda: self._received(os.read(self._master, 4096)))
        return self

    async def __aexit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._master)
        os.close(self._master)
        os.close(self._slave)

    def send(self, data: bytes) -> None:
        if len(self._unsent) < _MOST_UNSENT:
            self._unsent += data
        with contextlib.suppress(BlockingIOError):
            del self._unsent[: os.write(self._master, self._unsent)]
