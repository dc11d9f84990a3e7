"""The local page as its users run it: ``tidegate web`` beside a gateway, and Chromium looking at it."""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

from gateway.actors import Role
from gateway.web.sessions import COOKIE, Sessions

_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0


class PageProcess:
    """`tidegate web` for the control socket of one gateway; ended with the context."""

    def __init__(self, directory: Path, socket: Path, *options: str) -> None:
        self.state = directory / "web"
        self.state.mkdir(mode=0o700, exist_ok=True)
        self.url = ""
        """Without a slash at its end."""
        self.socket = socket
        self._options = options
        self._log = directory / "web.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, "the page isn't running"
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def ended(self) -> bool:
        assert self._process is not None, "the page isn't running"
        return self._process.poll() is not None

    def sign_in(self, user: str = "ada", role: Role = Role.ADMIN) -> dict[str, str]:
        """A session as if `user` had signed in, as cookies. Before `start`: the page reads its sessions once."""
        assert self._process is None, "the page is running already"
        return {COOKIE: Sessions(self.state).begin(user, role, "127.0.0.1", "a test")}

    def start(self) -> PageProcess:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "gateway", "web", "--socket", str(self.socket)),
                    *("--state", str(self.state), "--listen", "127.0.0.1:0", *self._options),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "PYTHONWARNINGS": "error::ResourceWarning"},
            )
        assert self._process.stdout is not None
        deadline = time.monotonic() + _START_TIMEOUT_S
        line = b""
        while not line.endswith(b"\n"):
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            chunk = os.read(self._process.stdout.fileno(), 4096) if readable else b""
            assert chunk, f"the page didn't start:\n{self.log[-4000:]}"
            line += chunk
        self.url = line.split()[0].decode().rstrip("/")
        return self

    def stop(self) -> int:
        """Orderly end. Returns the exit code."""
        process, self._process = self._process, None
        assert process is not None, "the page isn't running"
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise AssertionError(f"the page didn't stop within {_STOP_TIMEOUT_S} s:\n{self.log[-4000:]}") from None
        finally:
            if process.stdout is not None:
                process.stdout.close()

    def pss_mb(self) -> float:
        """Its memory: pages of its own, and its share of those it shares with others."""
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
        assert found is not None
        return int(found[1]) / 1024

    def __enter__(self) -> PageProcess:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self.stop()


def find_chromium() -> str:
    """Raises RuntimeError."""
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise RuntimeError("chromium isn't installed: make packages-web")
    return path
