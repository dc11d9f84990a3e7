"""A Debian with systemd as its first process, booted in namespaces of its own in a few seconds. Needs root.

The root file system is what ``make packages-systemd`` keeps; a machine writes to memory only.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType
from typing import TypeVar

_PATH = "PATH=/usr/sbin:/usr/bin"
_BOOT_S = 60.0

T = TypeVar("T")


def root_file_system() -> Path:
    """The one that is kept. Raises AssertionError if it isn't there."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = sorted((home / "tidegate" / "systemd").glob("trixie-*"))
    assert found, "there is no Debian to boot: make packages-systemd"
    return found[-1]


def _unified_hierarchy() -> Path:
    """Where this machine has its cgroup2. Raises AssertionError."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, *_ = line.split()
        if kind == "cgroup2":
            return Path(place)
    raise AssertionError("this machine has no cgroup2 mounted, and systemd needs one")


class Machine:
    """Booted with the context, and gone with it."""

    def __init__(self, root: Path, work: Path) -> None:
        self._root = root
        self._work = work
        self._group = _unified_hierarchy() / f"tidegate-test-{os.getpid()}-{work.name}"
        self._log = work / "console.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._first = 0

    def __enter__(self) -> Machine:
        self._group.mkdir()
        inside = self._work / "machine"
        inside.mkdir()
        boot = Path(__file__).with_name("machine.sh")
        # The shell joins the group, so that everything it starts is in it and the namespace's root is there.
        joined = f'echo $$ > {self._group}/cgroup.procs; exec "$@"'
        unshared = ["unshare", "--pid", "--mount", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", joined, "sh", *unshared, "--propagation", "private", "sh", boot, self._root, inside],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            self._first = self.until(self._init, "its first process", _BOOT_S)
            self.until(lambda: self.run("systemctl", "is-system-running", check=False) in ("running", "degraded"), "up")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def run(self, *command: str | Path, check: bool = True) -> str:
        """What a command inside says, both streams together, without the last newline."""
        done = self.attempt(*command)
        assert done.returncode == 0 or not check, f"{command} ended with {done.returncode}:\n{done.stdout}"
        return done.stdout.rstrip("\n")

    def attempt(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """The same, however it ends."""
        return subprocess.run(
            ["nsenter", f"--target={self._first}", "--all", "env", "-i", _PATH, "LC_ALL=C.UTF-8", *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=400,
        )

    def place(self, path: str) -> Path:
        """A path inside, seen from outside."""
        return Path(f"/proc/{self._first}/root") / path.lstrip("/")

    def put(self, source: Path, to: str) -> str:
        """Copy a file or a folder into it. Returns where it is there."""
        target = self.place(to)
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, symlinks=True)
        else:
            shutil.copy(source, target)
        return to

    def write(self, path: str, text: str) -> str:
        target = self.place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return path

    def shown(self, unit: str, what: str) -> str:
        """A property of a unit, ``systemctl show``."""
        return self.run("systemctl", "show", "--property", what, "--value", unit)

    def until(self, found: Callable[[], T], what: str, timeout_s: float = 30.0) -> T:
        """What `found` gives as soon as that is true. Fails with the log if it isn't in time."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            assert self._process is not None
            assert self._process.poll() is None, f"the machine is gone:\n{self._console()}"
            if value := found():
                return value
            time.sleep(0.05)
        journal = self.run("journalctl", "--no-pager", "--lines=60", check=False) if self._first else ""
        raise AssertionError(f"not within {timeout_s} s: {what}\n{self._console()}\n{journal}")

    def _init(self) -> int:
        """The first process of the new namespace, once it is systemd; 0: not yet."""
        assert self._process is not None
        for child in _children(self._process.pid):
            if Path(f"/proc/{child}/comm").read_text() == "systemd\n":
                return child
        return 0

    def _console(self) -> str:
        return self._log.read_text(errors="replace")[-4000:]

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for child in _children(process.pid):
            os.kill(child, signal.SIGKILL)  # and with the first process the kernel ends all others
        process.kill()
        process.wait()
        self._forget_group()

    def _forget_group(self) -> None:
        """The kernel takes a moment to bury all of them."""
        deadline = time.monotonic() + 10
        for group in [*sorted(self._group.rglob("*/"), reverse=True), self._group]:
            while True:
                try:
                    group.rmdir()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)


def _children(pid: int) -> Iterator[int]:
    try:
        yield from map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
    except FileNotFoundError:
        return
