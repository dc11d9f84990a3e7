"""Speaking to the service manager that started this process: sd_notify(3), by its documented protocol.

Datagrams of ``KEY=VALUE`` lines to the Unix socket that ``NOTIFY_SOCKET`` names. Without that, nothing is said: the
gateway runs as well from a shell.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator, MutableMapping
from typing import Final, Self

from gateway.sentences import one_line

_log = logging.getLogger(__name__)

_EXTENSION_S: Final = 60.0
"""How much longer the manager is asked to wait, counted from when it is asked."""
_ASK_EVERY_S: Final = 15.0
LONGEST_EXTENSION_S: Final = 3600.0
"""What isn't done by then hangs."""
_SEND_LIMIT_S: Final = 1.0
"""The manager's queue is long: one that is full for so long is no reason to stand still."""


class ServiceManager:
    """systemd, or nobody. Safe to call from any thread; nothing raises."""

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        """`address`: the path of a socket, or with ``@`` before it a name of the abstract namespace.

        `watchdog_s`: within so many seconds :meth:`alive` must be called again and again; None: it needn't.
        """
        self.watchdog_s = watchdog_s
        self._status = ""
        self._unheard = False
        self._socket: socket.socket | None = None
        if address:
            self._connect(address)

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> Self:
        """The one that an environment names. It is taken out of it: processes started from here have nothing to say."""
        address = environment.pop("NOTIFY_SOCKET", None)
        period, pid = environment.pop("WATCHDOG_USEC", ""), environment.pop("WATCHDOG_PID", None)
        ours = pid is None or pid == str(os.getpid())
        return cls(address, int(period) / 1e6 if ours and period.isdecimal() and int(period) else None)

    def _connect(self, address: str) -> None:
        path = f"\0{address[1:]}" if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.settimeout(_SEND_LIMIT_S)
        try:
            self._socket.connect(path)
        except OSError as error:
            _log.warning("the service manager can't be told anything at %s: %s", address, error.strerror or error)
            self.close()

    def ready(self, status: str) -> None:
        """What was started does its work now."""
        self._status = status
        self._tell("READY=1", f"STATUS={one_line(status)}")

    def status(self, status: str) -> None:
        """For ``systemctl status``. The same once more isn't sent."""
        if status != self._status:
            self._status = status
            self._tell(f"STATUS={one_line(status)}")

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def stopping(self, status: str) -> None:
        self._status = status
        self._tell("STOPPING=1", f"STATUS={one_line(status)}")

    @contextlib.contextmanager
    def patient(self) -> Iterator[None]:
        """Have the manager wait for a start or stop that takes long, as a migration does; LONGEST_EXTENSION_S at most.

        By a thread of its own, since such work may hold up everything else.
        """
        if self._socket is None:
            yield
            return
        done = threading.Event()
        asking = threading.Thread(target=self._ask, args=(done,), name="service manager", daemon=True)
        asking.start()
        try:
            yield
        finally:
            done.set()
            asking.join()

    def _ask(self, done: threading.Event) -> None:
        until = time.monotonic() + LONGEST_EXTENSION_S
        while time.monotonic() < until:
            self._tell(f"EXTEND_TIMEOUT_USEC={int(_EXTENSION_S * 1e6)}")
            if done.wait(_ASK_EVERY_S):
                return

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _tell(self, *lines: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.send("\n".join(lines).encode())
        except OSError as error:
            if not self._unheard:
                _log.warning("the service manager doesn't hear what it is told: %s", error.strerror or error)
            self._unheard = True
        else:
            self._unheard = False
