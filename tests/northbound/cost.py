"""What publishing costs: this session against paho, and the sink as a whole. ``python -m tests.northbound.cost``

The figures of ADR 0003. QoS 1, one private Mosquitto on the loopback, CPU of this process.
"""

from __future__ import annotations

import asyncio
import tempfile
import threading
import time
from pathlib import Path

import uvloop
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from gateway.northbound import MqttSink
from gateway.northbound.mqtt import Flight, connect
from gateway.northbound.mqtt.packets import string
from tests.northbound.toy import ToyFeed, documents, mqtt_settings, records, wide_layout
from tests.support.mosquitto import Mosquitto

MESSAGES = 30_000
PAYLOAD = b"x" * 100
TOPICS = [f"uns/v1/acme/plant1/filler1/t{i}" for i in range(125)]
DEVICES, TAGS, SECONDS = 50, 125, 4


class _Flight(Flight):
    def __init__(self) -> None:
        super().__init__(MESSAGES)
        self.landed = asyncio.Event()

    def done(self) -> None:
        self.landed.set()


async def session(port: int) -> float:
    """CPU µs per message of the bare session."""
    flight = _Flight()
    topics = [string(TOPICS[i % len(TOPICS)]) for i in range(MESSAGES)]
    payloads = [PAYLOAD] * MESSAGES
    at = 0

    def pump() -> None:
        nonlocal at
        at = opened.send(flight, topics, payloads, at, retain=False)
        opened.flush()

    opened = await connect(mqtt_settings(port), pump)
    began = time.process_time()
    pump()
    await flight.landed.wait()
    cost = (time.process_time() - began) / MESSAGES * 1e6
    await opened.close()
    return cost


def paho(port: int, window: int) -> float:
    """CPU µs per message of paho, its loop in its thread as it is meant to be."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(window)
    up, done = threading.Event(), threading.Event()
    left = MESSAGES

    def on_publish(*_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            done.set()

    client.on_connect = lambda *_: up.set()
    client.on_publish = on_publish
    client.connect("127.0.0.1", port)
    client.loop_start()
    up.wait(5)
    began = time.process_time()
    for i in range(MESSAGES):
        client.publish(TOPICS[i % len(TOPICS)], PAYLOAD, 1)
    done.wait(60)
    cost = (time.process_time() - began) / MESSAGES * 1e6
    client.disconnect()
    client.loop_stop()
    return cost


async def sink(port: int, granularity: str) -> tuple[float, float, float]:
    """CPU µs per value of the whole sink at 50 records of 125 values a second; latency p50 and p99 in ms."""
    layouts = [wide_layout(TAGS, f"device{i}") for i in range(DEVICES)]
    feed = ToyFeed()
    settings = mqtt_settings(port, granularity=granularity)
    one = MqttSink(settings, documents(settings, *layouts), 7, dict)
    task = asyncio.create_task(one.run(feed))
    work = [records(of, SECONDS) for of in layouts]
    feed.put(work[0].pop(0))
    await feed.until_empty()
    loop = asyncio.get_running_loop()
    began, start = time.process_time(), loop.time()
    for number, batch in enumerate(taken for second in zip(*work, strict=False) for taken in second):
        await asyncio.sleep(max(0.0, start + number / DEVICES - loop.time()))
        feed.put(batch)
    await feed.until_empty()
    cost = (time.process_time() - began) / sum(len(taken.batch) for taken in feed.settled) * 1e6
    status = one.status()
    await one.stop()
    task.cancel()
    return cost, status["latency_p50_ms"], status["latency_p99_ms"]


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        for window in (20, 100):
            extra = ["log_type error", f"max_inflight_messages {window}"]
            with Mosquitto(Path(directory, str(window)), extra=extra) as broker:
                print(f"window {window}, CPU µs per message of 100 bytes, best of 3 rounds")  # noqa: T201
                print(f"  paho 2.2          {min(paho(broker.port, window) for _ in range(3)):6.1f}")  # noqa: T201
                print(f"  session, asyncio  {min(asyncio.run(session(broker.port)) for _ in range(3)):6.1f}")  # noqa: T201
                print(f"  session, uvloop   {min(uvloop.run(session(broker.port)) for _ in range(3)):6.1f}")  # noqa: T201
                for granularity in ("tag", "asset"):
                    cost, p50, p99 = uvloop.run(sink(broker.port, granularity))
                    print(f"  sink, {granularity:5} {cost:6.1f} µs a value; p50 {p50} ms, p99 {p99} ms")  # noqa: T201


if __name__ == "__main__":
    main()
