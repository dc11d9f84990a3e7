"""A protocol peer that runs on Node.js, in a process of its own: it shares no code with what is tested.

A peer is a folder ``tests/peers/NAME`` with ``package.json``, ``package-lock.json`` and a script; what the lock file
names is installed by ``make packages-test`` into a cache outside the checkout. The script prints one line
``ready {json}`` when it serves, then answers every line of JSON on its standard input with one line of JSON, and ends
when its input ends::

    with NodePeer("opcua", "server.js") as peer:
        peer.ready["url"]
        peer.ask(set="temperature", value=21.5)
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Any

PEERS = Path(__file__).parents[1] / "peers"
START_TIMEOUT_S = 60.0
"""Node compiles some megabytes of script first, on a machine that may be busy."""
ANSWER_TIMEOUT_S = 20.0


def modules(name: str) -> Path:
    """Where the packages of a peer are installed. The Makefile's rule `packages-peers` makes the same name."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256((PEERS / name / "package-lock.json").read_bytes()).hexdigest()[:16]
    return cache / "tidegate" / "peers" / f"{name}-{digest}" / "node_modules"


class NodePeer:
    """The peer as seen from the test process. A context manager; its calls block."""

    def __init__(self, name: str, script: str = "server.js", **options: Any) -> None:
        """`options` reach the script as one JSON object, its first argument."""
        self.ready: dict[str, Any] = {}
        """What the script said when it was ready."""
        self._name = name
        self._script = script
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._unread = b""

    @property
    def pid(self) -> int:
        assert self._process is not None, "the peer isn't running"
        return self._process.pid

    def start(self) -> NodePeer:
        """Start, and return when it is ready. Raises RuntimeError with the script's own words."""
        node, packages = shutil.which("node"), modules(self._name)
        if node is None or not packages.is_dir():
            raise RuntimeError(f"the {self._name} peer isn't installed: make packages-test")
        self._unread = b""
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop
        self._process = subprocess.Popen(
            [node, str(PEERS / self._name / self._script), json.dumps(self._options)],
            env={**os.environ, "NODE_PATH": str(packages)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            bufsize=0,
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (line := self._line(deadline)).startswith(b"ready "):
            pass
        self.ready = json.loads(line.removeprefix(b"ready "))
        return self

    def stop(self) -> None:
        """End it at once, as a power cut would. Safe to repeat."""
        process, self._process = self._process, None
        errors, self._errors = self._errors, None
        if process is not None:
            process.kill()
            process.communicate()
        if errors is not None:
            errors.close()

    def ask(self, **command: Any) -> dict[str, Any]:
        """Send one command and wait for its answer. Raises RuntimeError if the script ended or answers an error."""
        assert self._process is not None, "the peer isn't running"
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        answer: dict[str, Any] = json.loads(self._line(time.monotonic() + ANSWER_TIMEOUT_S))
        if "error" in answer:
            raise RuntimeError(f"the {self._name} peer refused {command}: {answer['error']}")
        return answer

    def __enter__(self) -> NodePeer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _line(self, deadline: float) -> bytes:
        """The next line of its output, without its end."""
        assert self._process is not None
        assert self._process.stdout is not None
        while b"\n" not in self._unread:
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, deadline - time.monotonic()))
            chunk = self._process.stdout.read(65536) if readable else b""
            if not chunk:
                said = self._said()
                self.stop()
                raise RuntimeError(f"the {self._name} peer {'ended' if readable else 'is silent'}:\n{said}")
            self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _said(self) -> str:
        assert self._errors is not None
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace")[-4000:]
