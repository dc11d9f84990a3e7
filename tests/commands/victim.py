"""Desks in processes of their own that die at a chosen step: ``python -m tests.commands.victim DIRECTORY``.

Reads lines ``STEP ID``; for each a new process opens the desk, writes once by that id, and a line comes back: the
record as JSON, or ``null`` if it was killed. The processes are forked, so that it takes no time to make one.

STEP counts what reaches beyond the process: every write to a file, every sync, and before and after the device takes
the value. The device is a file to which each value that is sent is appended.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

from gateway.actors import Actor, Role
from gateway.audit import AuditLog
from gateway.commands import WriteDesk, WriteRequest
from gateway.model import Value
from tests.commands.field import SETPOINT, FakeField


class Countdown:
    """Kills this process at the chosen step."""

    def __init__(self, step: int) -> None:
        self.left = step

    def step(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any) -> Any:
            self.step()
            result = function(*arguments)
            self.step()
            return result

        return called


class Device(FakeField):
    """Keeps what it was sent in a file."""

    def __init__(self, path: Path, countdown: Countdown) -> None:
        super().__init__()
        self._path = path
        self._countdown = countdown

    async def write(
        self,
        device: str,
        path: str,
        value: Value,
        *,
        expected: Value = None,
        expires: float | None = None,
        sending: Callable[[], None],
    ) -> Value:
        self._countdown.step()
        sending()
        self._countdown.step()
        with self._path.open("ab", buffering=0) as file:
            file.write(b"%b\n" % orjson.dumps(value))
        self._countdown.step()
        return value


async def main(directory: Path, step: int, write_id: str) -> None:
    countdown = Countdown(step)
    os.write, os.fsync = countdown.around(os.write), countdown.around(os.fsync)  # type: ignore[assignment]
    device = Device(directory / "device", countdown)
    async with (
        AuditLog(directory / "audit") as audit,
        WriteDesk(directory / "writes", lambda: SETPOINT, device, audit) as desk,
    ):
        request = WriteRequest("d/setpoint", 7, write_id)
        record = await desk.write(Actor("olga", Role.OPERATOR, "page"), request)
    countdown.left = 0  # from here on nothing happens that matters
    sys.stdout.write(orjson.dumps(record.to_json()).decode() + "\n")
    sys.stdout.flush()


def serve(directory: Path) -> None:
    for line in sys.stdin:
        step, write_id = line.split()
        child = os.fork()
        if child == 0:
            asyncio.run(main(directory, int(step), write_id))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.waitstatus_to_exitcode(status) == -signal.SIGKILL:
            sys.stdout.write("null\n")
            sys.stdout.flush()
        elif status:
            sys.exit(f"the desk ended with {status}")


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
