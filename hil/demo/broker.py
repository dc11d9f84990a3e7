"""A private Mosquitto on a free port, usually of the loopback. Why Mosquitto: docs/adr/0006-demo-broker.md."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import time
from pathlib import Path

from hil.demo.child import Child, ChildFailed
from hil.free_port import free_port

HOST = "127.0.0.1"
WINDOW = 200
"""Receive Maximum, and messages in flight to a subscriber."""
_START_TIMEOUT_S = 10.0
_ATTEMPTS = 3


class BrokerMissing(Exception):
    """Mosquitto isn't installed."""


def find_mosquitto() -> str:
    """Its path; Debian keeps it out of an ordinary user's PATH. Raises BrokerMissing."""
    path = shutil.which(
        "mosquitto", path=os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"])
    )
    if path is None:
        raise BrokerMissing
    return path


class Broker:
    """Stops and starts again on the same port, with its sessions and retained messages as they were."""

    def __init__(self, directory: Path, host: str = HOST) -> None:
        self.host = host
        self._executable = find_mosquitto()
        self._directory = directory / "mosquitto"
        self._directory.mkdir()
        self._child: Child | None = None
        self.port = 0

    @property
    def running(self) -> bool:
        return self._child is not None

    def start(self) -> None:
        """Returns once it takes connections. Raises ChildFailed."""
        # Between finding a port and using it somebody else may take it, so the first start tries a few.
        for _ in range(_ATTEMPTS if not self.port else 1):
            port = self.port or free_port(self.host)
            try:
                self._launch(port)
            except ChildFailed as error:
                failure = error
                continue
            self.port = port
            return
        raise failure

    def stop(self) -> None:
        """It writes its sessions and retained messages down first. Idempotent."""
        if self._child is not None:
            self._child.stop()
            self._child = None

    def check(self) -> None:
        """Raises ChildFailed if it ended without being told to."""
        if self._child is not None:
            self._child.check()

    def _launch(self, port: int) -> None:
        config = self._directory / "mosquitto.conf"
        config.write_text(
            "\n".join(
                (
                    f"listener {port} {self.host}",
                    "allow_anonymous true",
                    f"user {pwd.getpwuid(os.getuid()).pw_name}",  # as root it would become another user otherwise
                    "set_tcp_nodelay true",
                    f"max_inflight_messages {WINDOW}",
                    "max_queued_messages 1000000",  # a subscriber that is away for a while misses nothing
                    "persistence true",
                    f"persistence_location {self._directory}/",
                    "autosave_interval 0",
                    "sys_interval 0",
                    "log_dest stderr",
                    "log_type error",
                    "log_type warning",
                    "",
                )
            )
        )
        child = Child("broker", [self._executable, "-c", str(config)], self._directory / "log")
        give_up = time.monotonic() + _START_TIMEOUT_S
        while not _answers(self.host, port):
            try:
                child.check()
                if time.monotonic() > give_up:
                    raise ChildFailed(f"the broker takes no connection on port {port} after {_START_TIMEOUT_S:g} s")
            except ChildFailed:
                child.stop()
                raise
            time.sleep(0.02)
        self._child = child


def _answers(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), timeout=1.0).close()
    except OSError:
        return False
    return True
