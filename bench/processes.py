"""Starting, asking, measuring and ending the processes of a run. Linux only: figures come from /proc."""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import orjson

ROOT_DIR = Path(__file__).resolve().parent.parent
ANSWER_S = 10.0
"""How long a child may take to answer; more means it is broken."""
STOP_S = 10.0
_CPUCLOCK_SCHED = 2
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


class BenchError(Exception):
    """The bench can't go on. The message is one sentence for a user."""


def _die_with_parent() -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process has used so far."""

    cpu_s: float
    """User and system time of all its threads, those that have ended too."""
    written: int
    """Bytes it caused to be sent to storage (write_bytes of /proc/PID/io)."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What a process holds, in MB (10^6 bytes)."""

    pss_mb: float
    """Pages it shares with other processes count in proportion; the bench's own share the interpreter with it."""
    rss_mb: float
    """Shared pages count in full: what it would hold, at most, on a machine of its own."""


class Child:
    """A process that ends with this one. What it says on stderr goes to `log`."""

    def __init__(self, arguments: Sequence[str], log: Path, *, talks: bool) -> None:
        self.name = log.stem
        self.log = log
        self.spawned_us = time.monotonic_ns() // 1000
        with log.open("wb") as errors:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                stdout=subprocess.PIPE if talks else errors,
                stderr=errors,
                cwd=ROOT_DIR,
                preexec_fn=_die_with_parent,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def check(self) -> None:
        """Raises BenchError if the process has ended by itself."""
        if (code := self._process.poll()) is not None:
            tail = self.log.read_text(errors="replace").strip().splitlines()[-3:]
            raise BenchError(f"{self.name} ended with status {code}: {' | '.join(tail) or 'it said nothing'}")

    def usage(self) -> Usage:
        # What /proc/PID/stat gives as utime + stime in ticks of 10 ms, this clock gives in ns (clock_getcpuclockid(3)).
        cpu_s = time.clock_gettime((~self.pid << 3) | _CPUCLOCK_SCHED)
        io = Path(f"/proc/{self.pid}/io").read_text()
        written = int(io.partition("\nwrite_bytes:")[2].split()[0])
        return Usage(cpu_s, written)

    def memory(self) -> Memory:
        rollup = Path(f"/proc/{self.pid}/smaps_rollup").read_text()
        pss, rss = (int(rollup.partition(f"\n{name}:")[2].split()[0]) * 1024 / 1e6 for name in ("Pss", "Rss"))
        return Memory(pss, rss)

    def stop(self) -> float:
        """End it: a closed stdin, then SIGTERM, then SIGKILL. Returns the seconds it took."""
        began = time.monotonic()
        if self._process.stdin is not None:
            self._process.stdin.close()
        else:
            self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        return time.monotonic() - began

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Helper(Child):
    """One of the bench's own modules, driven through `bench.control`."""

    def __init__(self, module: str, options: Sequence[str], log: Path) -> None:
        super().__init__([sys.executable, "-m", f"bench.{module}", *options], log, talks=True)
        self._buffer = b""
        try:
            self.ready: Mapping[str, Any] = self._answer()["ready"]
        except BaseException:
            self.stop()
            raise

    def ask(self, command: str, **options: object) -> dict[str, Any]:
        """Send one command and wait for its answer. Raises BenchError after `ANSWER_S`."""
        self._pipe(self._process.stdin).write(orjson.dumps({"cmd": command, **options}) + b"\n")
        self._pipe(self._process.stdin).flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        output = self._pipe(self._process.stdout).fileno()
        until = time.monotonic() + ANSWER_S
        while b"\n" not in self._buffer:
            readable, _, _ = select.select([output], [], [], max(0.0, until - time.monotonic()))
            if not readable:
                raise BenchError(f"{self.name} did not answer within {ANSWER_S:g} s; its log is {self.log}")
            chunk = os.read(output, 1 << 16)
            if not chunk:
                self._process.wait(STOP_S)
                self.check()
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        answer: dict[str, Any] = orjson.loads(line)
        return answer

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None, "helpers are started with pipes"
        return pipe


_BROKER = """\
listener {port} 127.0.0.1
allow_anonymous true
user {user}
persistence false
# The window towards every client, and the Receive Maximum announced to publishers.
max_inflight_messages 100
# 0: no limit. What the bench loses, the broker must not have lost.
max_queued_messages 0
max_queued_bytes 0
set_tcp_nodelay true
log_type error
log_type warning
"""


class Broker(Child):
    """A private mosquitto on a free loopback port."""

    def __init__(self, directory: Path) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
        if program is None:
            raise BenchError("mosquitto is not installed; install it with: apt install mosquitto")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        user = "root" if os.getuid() == 0 else "mosquitto"  # only root drops its rights, and then can't read the file
        configuration = directory / "mosquitto.conf"
        configuration.write_text(_BROKER.format(port=self.port, user=user))
        super().__init__([program, "-c", str(configuration)], directory / "mosquitto.log", talks=False)
        try:
            self._await_listening()
        except BaseException:
            self.stop()
            raise

    def _await_listening(self) -> None:
        until = time.monotonic() + ANSWER_S
        while True:
            self.check()
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if time.monotonic() > until:
                raise BenchError(f"mosquitto does not listen after {ANSWER_S:g} s; its log is {self.log}")
            time.sleep(0.01)


def filesystem(path: Path) -> str:
    """Type of the file system that holds `path`: ``ext4``, ``tmpfs``, …"""
    best, kind = "", ""
    resolved = str(path.resolve())
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        mount = left.split()[4]
        if len(mount) >= len(best) and (resolved == mount or resolved.startswith(mount.rstrip("/") + "/")):
            best, kind = mount, right.split()[0]
    return kind
