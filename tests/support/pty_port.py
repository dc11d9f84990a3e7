"""A serial port without a cable: a pseudo-terminal whose slave a link names, as udev names an adapter.

The test holds the far end. Unplugging closes it and takes the link away; plugging in makes a new pseudo-terminal, so
the port comes back under another number.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import select
import tty
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

_TIOCGEXCL = 0x80045440
"""Of asm-generic/ioctls.h; the module termios doesn't name it."""


class PtyPort:
    """The far end of a port at `path`. A context manager; `answer` is called with what arrives."""

    def __init__(self, directory: Path, name: str = "usb-port0") -> None:
        self.path = directory / name
        self.received = bytearray()
        self.answer: Callable[[bytes], None] = lambda data: None
        self._arrived = asyncio.Event()
        self._master = self._slave = -1

    @property
    def device(self) -> str:
        return str(self.path)

    @property
    def plugged(self) -> bool:
        return self._master >= 0

    @property
    def opened(self) -> bool:
        """Whether anybody has opened the port for himself alone."""
        return self._master >= 0 and fcntl.ioctl(self._slave, _TIOCGEXCL, bytes(4)) != bytes(4)

    def plug(self) -> None:
        """Make the port appear."""
        if self._master >= 0:
            return
        self._master, self._slave = pty.openpty()
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        self.path.symlink_to(os.ttyname(self._slave))
        asyncio.get_running_loop().add_reader(self._master, self._on_readable)

    def unplug(self) -> None:
        """Make it vanish, as when the adapter is pulled out."""
        if self._master < 0:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        self.path.unlink()
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = -1

    def stop_reading(self) -> None:
        """Hold the port's owner back, as flow control does."""
        asyncio.get_running_loop().remove_reader(self._master)

    def go_on_reading(self) -> None:
        asyncio.get_running_loop().add_reader(self._master, self._on_readable)

    def send(self, data: bytes) -> None:
        """Speak. Raises BlockingIOError if nobody has listened for long."""
        if self._master >= 0:
            assert os.write(self._master, data) == len(data)

    def delivered(self) -> None:
        """Wait until what was sent lies at the port, without letting the loop look at it."""
        assert select.select([self._slave], [], [], 5)[0]

    async def until(self, condition: Callable[[bytes], object], timeout_s: float = 5.0) -> None:
        """Wait until what was received fulfils `condition`."""
        async with asyncio.timeout(timeout_s):
            while not condition(bytes(self.received)):
                self._arrived.clear()
                await self._arrived.wait()

    def _on_readable(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._master, 1 << 16)
            self.received += data
            self._arrived.set()
            self.answer(data)

    def __enter__(self) -> PtyPort:
        self.plug()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unplug()
