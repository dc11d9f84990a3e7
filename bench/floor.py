"""The floor: the least Python that polls Modbus TCP, decodes, encodes and publishes at QoS 1.

No model, no journal, no qualities, no reconnect, no configuration: what a gateway costs above this is what it gives.
It publishes what the gateway publishes, so that broker and subscriber have the same work in both cases.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import struct
import time
from collections import deque
from collections.abc import Callable
from itertools import cycle
from typing import cast

import orjson
import uvloop

from bench import mqtt
from bench.workloads import CLOCK_REGISTERS, GROUP, LOCATION, ROOT, Workload, device_name

WINDOW = 100
"""Publishes in flight, the broker's limit too."""
_PUBLISH = bytes((mqtt.PUBLISH | mqtt.RETAIN_QOS1,))


class Publisher(asyncio.Protocol):
    """A QoS 1 publisher with a window. What doesn't fit the window waits in memory."""

    def __init__(self, connected: asyncio.Future[None]) -> None:
        self._connected = connected
        self._reader = mqtt.Reader()
        self._free = WINDOW
        self._ids = cycle(number.to_bytes(2, "big") + b"\x00" for number in range(1, 65536))
        self._waiting: deque[bytes] = deque()
        self._idle: list[Callable[[], None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(mqtt.connect("bench-floor"))

    def data_received(self, chunk: bytes) -> None:
        for first, _, _ in self._reader.feed(chunk):
            if first == mqtt.PUBACK:
                self._free += 1
            elif first == mqtt.CONNACK:
                self._connected.set_result(None)
        self._flush()

    def publish(self, topic: bytes, payload: bytes) -> None:
        """`topic` has its length in front."""
        length = mqtt.varint(len(topic) + 3 + len(payload))
        self._waiting.append(b"".join((_PUBLISH, length, topic, next(self._ids), payload)))

    def flush(self, idle: Callable[[], None] | None = None) -> None:
        """Send what the window allows; call `idle` when nothing waits any more."""
        if idle is not None:
            self._idle.append(idle)
        self._flush()

    def _flush(self) -> None:
        count = min(self._free, len(self._waiting))
        if count:
            self._free -= count
            self._transport.write(b"".join([self._waiting.popleft() for _ in range(count)]))
        if self._idle and not self._waiting:
            idle, self._idle = self._idle, []
            for resume in idle:
                resume()


class Poller(asyncio.Protocol):
    """One device: one request on the wire at a time, polls on a fixed grid."""

    def __init__(self, workload: Workload, name: str, phase_s: float, publisher: Publisher) -> None:
        self._loop = asyncio.get_running_loop()
        self._publisher = publisher
        self._interval_s = workload.interval_ms / 1000
        self._due = self._loop.time() + phase_s
        self._requests = [struct.pack(">HHHBBHH", 1, 0, 6, 1, 3, address, count) for address, count in workload.reads]
        self._sizes = [9 + 2 * count for _, count in workload.reads]
        self._unpack = struct.Struct(f">Q{workload.registers - CLOCK_REGISTERS}H").unpack
        self._paths = workload.paths
        self._seq = 1
        prefix = "/".join((ROOT, "v1", *LOCATION, name))
        self._topic = mqtt.text(f"{prefix}/_values/{GROUP}")
        self._topics = [mqtt.text(f"{prefix}/{path}") for path in workload.paths]
        self._emit = self._emit_asset if workload.granularity == "asset" else self._emit_tags
        self._body = b""
        self._blocks: list[bytes] = []
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._interval_s:
            self._loop.call_at(self._due, self._tick)
        else:
            self._start()

    def _tick(self) -> None:
        self._due += self._interval_s
        self._loop.call_at(self._due, self._tick)
        if not self._busy:
            self._start()

    def _start(self) -> None:
        self._busy = True
        self._transport.write(self._requests[0])

    def data_received(self, chunk: bytes) -> None:
        body = self._body + chunk if self._body else chunk
        if len(body) < self._sizes[len(self._blocks)]:
            self._body = body
            return
        self._body = b""
        self._blocks.append(body[9:])
        if len(self._blocks) < len(self._requests):
            self._transport.write(self._requests[len(self._blocks)])
            return
        values = self._unpack(b"".join(self._blocks))
        self._blocks.clear()
        self._emit(values)
        self._seq += len(values)
        if self._interval_s:
            self._busy = False
            self._publisher.flush()
        else:
            self._publisher.flush(self._start)

    def _emit_asset(self, values: tuple[int, ...]) -> None:
        self._publisher.publish(
            self._topic,
            orjson.dumps(
                {
                    "timestamp_ms": time.time_ns() // 1_000_000,
                    "seq": self._seq,
                    "boot": 1,
                    "values": dict(zip(self._paths, values, strict=True)),
                }
            ),
        )

    def _emit_tags(self, values: tuple[int, ...]) -> None:
        now = time.time_ns() // 1_000_000
        for seq, topic, value in zip(range(self._seq, self._seq + len(values)), self._topics, values, strict=True):
            body = {"timestamp_ms": now, "value": value, "quality": 0, "seq": seq, "boot": 1}
            self._publisher.publish(topic, orjson.dumps(body))


async def _main(workload: Workload, ports: list[int], broker: int) -> None:
    loop = asyncio.get_running_loop()
    connected: asyncio.Future[None] = loop.create_future()
    _, publisher = await loop.create_connection(lambda: Publisher(connected), "127.0.0.1", broker)
    await connected
    for index, port in enumerate(ports):
        poller = Poller(workload, device_name(index), index / len(ports) * workload.interval_ms / 1000, publisher)
        await loop.create_connection(lambda poller=poller: poller, "127.0.0.1", port)  # type: ignore[misc]
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ports", type=lambda text: [int(port) for port in text.split(",")], required=True)
    parser.add_argument("--broker", type=int, required=True)
    parser.add_argument("--registers", type=int, required=True)
    parser.add_argument("--interval-ms", type=int, required=True)
    parser.add_argument("--granularity", choices=("asset", "tag"), required=True)
    options = parser.parse_args()
    measured = Workload("floor", len(options.ports), options.registers, options.interval_ms, options.granularity)
    uvloop.run(_main(measured, options.ports, options.broker))
