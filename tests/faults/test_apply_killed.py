"""The power fails in the middle of a change of configuration. APPLY_KILLS=200 for a long night."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hil.ledger_check.checker import Checker
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber

pytestmark = [pytest.mark.fault]

KILLS = int(os.environ.get("APPLY_KILLS", "8"))
SEED = int(os.environ.get("APPLY_SEED", "1"))
SINK = 'granularity = "tag"\nledger_interval_s = 0.2\nwindow = {window}'

GATEWAY = """
import asyncio, contextlib, sys
from pathlib import Path
import uvloop
from gateway.config import load
from gateway.runtime import Runtime

async def main():
    ways = [load(Path(path)) for path in sys.argv[1:]]
    async with Runtime(ways[0]) as runtime:
        print("started", flush=True)
        turn = 0
        while sys.stdin.readable():
            line = await asyncio.to_thread(sys.stdin.readline)
            if not line:
                break
            if line.strip() == "stop":
                return
            turn += 1
            print("applying", flush=True)
            await runtime.apply(ways[turn % len(ways)])
            print("applied", flush=True)

uvloop.run(main())
"""


class Process:
    """A gateway that goes from one configuration to the next whenever it is told to."""

    def __init__(self, *configurations: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", GATEWAY, *map(str, configurations)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    async def says(self, word: str) -> None:
        assert self._process.stdout is not None
        async with asyncio.timeout(30):
            line = await asyncio.to_thread(self._process.stdout.readline)
        assert line.strip() == word

    def tell(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")

    async def kill(self) -> None:
        self._process.send_signal(signal.SIGKILL)
        await self._ended()

    async def stop(self) -> None:
        self.tell("stop")
        await self._ended()
        assert self._process.returncode == 0

    async def _ended(self) -> None:
        async with asyncio.timeout(30):
            await asyncio.to_thread(self._process.wait)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.mark.timeout(60 + 10 * KILLS)
async def test_every_value_is_accounted_for_wherever_an_apply_is_cut_off(tmp_path: Path) -> None:
    """Devices, groups, a whole sink and its settings change; each kill comes at another moment of that."""
    dice = random.Random(SEED)
    with (
        Field(4) as field,
        Mosquitto(tmp_path / "here", extra=["max_inflight_messages 100"]) as broker,
        Mosquitto(tmp_path / "there") as other,
        Subscriber(broker.port) as subscriber,
    ):
        ports = [slave.port for slave in field.slaves]
        cloud = f'[[sink]]\nname = "cloud"\nhost = "127.0.0.1"\nport = {other.port}\n'
        ways: list[Path] = []
        for number, (devices, registers, window, more) in enumerate(
            ((2, 8, 100, ""), (4, 8, 100, cloud), (3, 9, 100, ""), (3, 9, 50, cloud))
        ):
            path = tmp_path / f"way{number}.toml"
            sink = SINK.format(window=window)
            text = configuration(
                tmp_path / "data", ports[:devices], broker.port, registers=registers, interval_ms=20, sink=sink
            )
            path.write_text(text + more)
            ways.append(path)
        for kill in range(KILLS):
            gateway = Process(*ways[kill % 4 :], *ways[: kill % 4])
            await gateway.says("started")
            for _ in range(dice.randint(0, 2)):
                gateway.tell("go")
                await gateway.says("applying")
                await gateway.says("applied")
            gateway.tell("go")
            await gateway.says("applying")
            await asyncio.sleep(dice.random() * 0.1)
            await gateway.kill()
        gateway = Process(ways[0], ways[1])
        await gateway.says("started")
        gateway.tell("go")
        await gateway.says("applying")
        await gateway.says("applied")
        checker = Checker(window=100, from_start=True)
        fed = 0

        def settled(messages: object) -> bool:
            nonlocal fed
            for message in subscriber.messages[fed:]:
                checker.feed(message.topic, message.payload, message.retained)
                fed += 1
            return checker.settled

        await gateway.stop()
        await subscriber.until(settled, "every value that isn't said to be lost")
        verdict = checker.verdict()
    assert verdict.passed, verdict.reasons
    assert (verdict.missing, verdict.dropped) == (0, 0), verdict.notes
    assert verdict.values > 40 * KILLS
