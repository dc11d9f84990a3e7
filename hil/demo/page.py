"""The demo's local page: the process that serves it, where it is, and the code that makes its first admin."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from hil.demo.broker import HOST
from hil.demo.child import Child

PORT = 8443
"""Taken if it is free: the same address every time is easier to come back to."""


class LocalPage:
    """Started at once. What it has to say is known as soon as it is there: `look` now and then."""

    def __init__(self, directory: Path, data: Path) -> None:
        self.url: str | None = None
        self.claim_code: str | None = None
        """None: not known yet, or somebody has claimed the gateway."""
        self._log = directory / "page.log"
        self._code = data / "claim-code"
        command = [sys.executable, "-m", "gateway", "web", "--log-level", "warning"]
        command += ["--socket", str(data / "control.sock"), "--state", str(directory / "web")]
        self._child = Child("page", [*command, "--listen", f"{HOST}:{PORT if _is_free(PORT) else 0}"], self._log)
        self.stop = self._child.stop
        self.check = self._child.check

    def look(self) -> None:
        if self.url is None:
            self.url = next((line for line in self._log.read_text("utf-8").splitlines() if line[:5] == "https"), None)
        try:
            self.claim_code = self._code.read_text("ascii").strip() or None
        except OSError:
            self.claim_code = None

    @property
    def sentence(self) -> str | None:
        """How to open it; None: it isn't there yet."""
        if self.url is None:
            return None
        return f"{self.url} " + (f"claim code {self.claim_code}" if self.claim_code else "claimed")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
