"""A subprocess of the demo: a session of its own, its output in a file, ended with the demo whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from hil.demo import tether

_TAIL_LINES = 8


def tethered(command: Sequence[str]) -> list[str]:
    """The command, tied to this process: see :mod:`hil.demo.tether`. To be started by the main thread."""
    return [sys.executable, "-I", "-S", tether.__file__, str(os.getpid()), *command]


class ChildFailed(Exception):
    """A subprocess ended by itself. The message is one sentence, followed by its last lines."""


class Child:
    """Started at once. Create it in the main thread: the kernel ties it to the thread that made it."""

    def __init__(self, name: str, command: Sequence[str], log: Path, *, pipe: bool = False) -> None:
        """`pipe`: its standard output is to be read from `output`, not logged."""
        self.name = name
        self._log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                tethered(command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if pipe else sink,
                stderr=sink,
                start_new_session=True,  # Ctrl-C is for the demo alone, which then ends its children in order
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def check(self) -> None:
        """Raises ChildFailed if it has ended."""
        code = self._process.poll()
        if code is not None:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            tail = "\n".join(f"    {line}" for line in self.tail())
            raise ChildFailed(f"the {self.name} {how}; its last words:\n{tail}")

    def read_line(self) -> str:
        """One line of its standard output. Raises ChildFailed if it ended instead."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait()
            self.check()
        return line.decode()

    def tail(self) -> list[str]:
        return self._log.read_text("utf-8", "replace").splitlines()[-_TAIL_LINES:]

    def stop(self, timeout_s: float = 5.0) -> None:
        """Ask it to end, and insist after `timeout_s`. Idempotent."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
