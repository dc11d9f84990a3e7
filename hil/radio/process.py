"""The radio world in a process of its own, steered by lines of JSON: ``[method, argument, …]`` in, its result out.

Methods are those of :class:`hil.radio.world.World` and, after ``sensor.``, of its first sensor.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import subprocess
import sys
from types import TracebackType
from typing import Any

from hil.radio.world import World


async def serve() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    world = World()
    while line := await reader.readline():
        name, *arguments = json.loads(line)
        if name == "renew":
            await world.stop()
            world = World(*arguments)
            await world.start()
            sensor = await world.add_sensor()
            _say(world.port)
            continue
        subject: Any = sensor if name.startswith("sensor.") else world
        found = getattr(subject, name.removeprefix("sensor."))
        if callable(found):
            found = found(*(bytes.fromhex(each[4:]) if str(each).startswith("hex:") else each for each in arguments))
        if inspect.isawaitable(found):
            found = await found
        _say(found if isinstance(found, int | str | float) else None)
    await world.stop()


def _say(body: Any) -> None:
    sys.stdout.write(json.dumps(body) + "\n")
    sys.stdout.flush()


class WorldProcess:
    """Runs :func:`serve` beside the tests. :meth:`renew` makes the world anew, with one sensor in it."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> WorldProcess:
        command = [sys.executable, "-m", "hil.radio.process"]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdin.close()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    async def renew(self) -> None:
        self.port = await self.do("renew")

    async def do(self, method: str, *arguments: Any) -> Any:
        """Call `method` there."""
        return await asyncio.to_thread(self.ask, method, *arguments)

    def ask(self, method: str, *arguments: Any) -> Any:
        """The same, for those without a loop."""
        coded = [f"hex:{each.hex()}" if isinstance(each, bytes) else each for each in arguments]
        line = json.dumps([method, *coded])
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(line.encode() + b"\n")
        process.stdin.flush()
        answer = process.stdout.readline()
        assert answer, "the radio world ended by itself"
        return json.loads(answer)


if __name__ == "__main__":
    asyncio.run(serve())
