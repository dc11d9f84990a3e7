"""Kills, outages and half-open connections in random order, then the reckoning. TORTURE_ROUNDS=500 for a long night."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.proxy import Proxy
from tests.support.subscriber import Message, Subscriber

pytestmark = [pytest.mark.fault]

ROUNDS = int(os.environ.get("TORTURE_ROUNDS", "20"))
SEED = int(os.environ.get("TORTURE_SEED", "1"))
DEVICES = 3
INTERVAL_S = 0.02
DEADLINE_S = 0.25
WINDOW = 100


def settled(status: dict[str, object]) -> bool:
    sources = status["ledger"]["plant"]["sources"]  # type: ignore[index]
    return not any(numbers["pending"] for entry in sources.values() for numbers in entry["boots"].values())


@pytest.mark.timeout(60 + 5 * ROUNDS)
async def test_nothing_is_lost_but_what_a_kill_may_cost(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    kills: list[float] = []
    stops: list[float] = []
    cuts = 0
    with (
        Field(DEVICES) as field,
        Mosquitto(tmp_path, extra=["max_inflight_messages 100"]) as broker,
        Subscriber(broker.port) as subscriber,
    ):
        async with Proxy(broker.host, broker.port) as proxy:
            text = configuration(
                tmp_path / "data",
                [slave.port for slave in field.slaves],
                proxy.port,
                interval_ms=int(INTERVAL_S * 1000),
                sink='granularity = "asset"\nack_timeout_s = 1',
            )
            with GatewayProcess(tmp_path, text) as gateway:
                for _ in range(ROUNDS):
                    action = dice.choice(["kill", "cut", "freeze", "drop", "resume", "resume", "restart"])
                    if action == "kill":
                        kills.append(time.monotonic())
                        await asyncio.to_thread(gateway.kill)
                        gateway.start()
                    elif action == "restart":
                        now = time.monotonic()
                        code = await asyncio.to_thread(gateway.stop)
                        # A signal may meet a process that is still importing and can't say goodbye yet.
                        assert code in (0, -signal.SIGTERM), gateway.log[-4000:]
                        (stops if code == 0 else kills).append(now)
                        gateway.start()
                    elif action == "resume":
                        await proxy.resume()
                    else:
                        cuts += 1
                        result = getattr(proxy, action)()
                        if asyncio.iscoroutine(result):
                            await result
                    await polls(field, dice.randint(5, 60))
                await proxy.resume()
                await gateway.until(settled, "the backlog to drain", 30.0)
                assert await asyncio.to_thread(gateway.stop) == 0
            await subscriber.until(lambda _: proxy.connections == 0, "the proxy to be done")
        messages = list(subscriber.messages)
    for device, slave in enumerate(field.slaves):
        reckon(messages, f"/dev{device}/_values/main", slave.answered, kills, stops, cuts)


async def polls(field: Field, count: int) -> None:
    """Until the field has answered `count` more reads, or the gateway has had ample time to ask."""
    wanted = len(field.slaves[0].answered) + count
    deadline = time.monotonic() + 10
    while len(field.slaves[0].answered) < wanted:
        assert time.monotonic() < deadline, "the gateway stopped polling"
        await asyncio.sleep(0.005)


def reckon(
    messages: list[Message], suffix: str, answered: list[float], kills: list[float], stops: list[float], cuts: int
) -> None:
    bodies = [m.json for m in messages if m.topic.endswith(suffix) and not m.retained]
    arrived = Counter(body["values"]["count"] for body in bodies)
    arrived.pop(None, None)
    lost = [number for number in range(1, len(answered) + 1) if number not in arrived]
    inexcusable = [
        number
        for number in lost
        if not any(-0.05 <= kill - answered[number - 1] <= DEADLINE_S + 2 * INTERVAL_S for kill in kills)
    ]
    events = sorted([(round(at, 3), "kill") for at in kills] + [(round(at, 3), "stop") for at in stops])
    when = [(number, round(answered[number - 1], 3)) for number in inexcusable]
    assert not inexcusable, f"{suffix} lost reads {when} of {len(answered)}; {events}"
    repeated = sum(count - 1 for count in arrived.values())
    assert repeated <= WINDOW * (len(kills) + cuts), f"{suffix} repeated {repeated} reads"
    streams: dict[tuple[int, bool], list[int]] = {}
    for body in bodies:
        streams.setdefault((body["boot"], body.get("hist", False)), []).append(body["seq"])
    for (boot, late), stream in streams.items():
        if not late:
            assert stream == sorted(stream), f"{suffix}: live values of boot {boot} came out of order"
        # A backfill that was cut begins again before the cut: in order between one cut and the next.
        descents = sum(after < before for before, after in itertools.pairwise(stream))
        assert descents <= len(kills) + cuts + len(streams), f"{suffix}: backfill of boot {boot} came out of order"
