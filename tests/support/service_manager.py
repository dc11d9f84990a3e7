"""The service manager's end of sd_notify(3): a datagram socket, in the file system or of the abstract namespace."""

from __future__ import annotations

import select
import socket
import time
from pathlib import Path
from types import TracebackType

_LONGEST = 4096


class Manager:
    """Hears what a service says. `address` is what ``NOTIFY_SOCKET`` has to be."""

    def __init__(self, address: str | Path) -> None:
        self.address = str(address)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(f"\0{self.address[1:]}" if self.address.startswith("@") else self.address)
        self.heard: list[dict[str, str]] = []
        """All messages so far."""

    def __enter__(self) -> Manager:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def next(self, timeout_s: float = 20.0) -> dict[str, str] | None:
        """The next message; None: none came."""
        if not select.select([self._socket], [], [], timeout_s)[0]:
            return None
        text = self._socket.recv(_LONGEST).decode()
        message = dict(line.split("=", 1) for line in text.splitlines())
        self.heard.append(message)
        return message

    def until(self, key: str, timeout_s: float = 20.0) -> dict[str, str]:
        """The next message with that key. Fails if none comes in time."""
        deadline = time.monotonic() + timeout_s
        while (left_s := deadline - time.monotonic()) > 0:
            message = self.next(left_s)
            if message is not None and key in message:
                return message
        raise AssertionError(f"no {key} within {timeout_s} s; heard {self.heard}")

    def drain(self) -> None:
        """Hear what was said already."""
        while self.next(0.0) is not None:
            pass
