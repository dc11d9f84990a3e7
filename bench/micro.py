"""``python -m bench.micro``: what the parts of the hot path cost for a block of 125 values, beside the bare minimum.

The bare minimum is the code one would write if nothing could go wrong. Each figure is the best of several rounds.
"""

from __future__ import annotations

import asyncio
import random
import struct
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import uvloop
from rich.console import Console
from rich.table import Table

from bench.floor import Publisher
from bench.mqtt import text
from bench.workloads import Workload, configuration
from drivers.modbus.plan import ReadPlan
from gateway.config import load
from gateway.journal import Journal
from gateway.model import Batch, Record
from gateway.northbound.mqtt import Flight, Session
from gateway.northbound.uns import Encoder
from gateway.ops.clock import Clock
from gateway.pipeline import Stage
from gateway.settings import GatewaySettings

_BLOCK = Workload("micro", devices=1, registers=125, interval_ms=1000)
_REPEATS, _ROUNDS = 1000, 7
_CONNACK = b"\x20\x03\x00\x00\x00"


class _Nowhere(asyncio.Transport):
    """Takes every write for done."""

    def write(self, data: object) -> None:
        return None

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        return None

    def abort(self) -> None:
        return None


class _Publishes(Flight):
    """Publishes nobody waits for."""

    def done(self) -> None:
        return None


def _best_us(call: Callable[[], object], repeats: int = _REPEATS) -> float:
    best = float("inf")
    for _ in range(_ROUNDS):
        began = time.perf_counter_ns()
        for _ in range(repeats):
            call()
        best = min(best, (time.perf_counter_ns() - began) / repeats / 1000)
    return best


class Parts:
    """The product's parts, as a user configures them, and their bare counterparts: each gives (product, bare) in µs."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        link = settings.links[0]
        self._group = link.devices[0].groups[0]
        driver = link.kind.open_device(
            link.kind.open_bus(link.name, link.options, link.site), "micro", link.devices[0].options
        )
        plan = driver.plan(self._group.poll)
        assert isinstance(plan, ReadPlan)
        self._plan: ReadPlan[Any] = plan
        self._data = (1 << 40).to_bytes(8, "big") + random.Random(1).randbytes(2 * _BLOCK.registers - 8)
        self._unpack = struct.Struct(f">Q{_BLOCK.values - 1}H").unpack
        self._values = self._unpack(self._data)
        self._batch = Batch(self._group.poll.layout, time.time_ns(), time.monotonic_ns(), self._values)
        self._record = Record(1, 1, 1, self._batch)

    def decode(self) -> tuple[float, float]:
        plan, data, unpack = self._plan, self._data, self._unpack
        (request,) = plan.requests
        return _best_us(lambda: plan.assemble([request.decode(data)], 1, 1)), _best_us(lambda: unpack(data))

    def pipeline(self) -> tuple[float, float]:
        stage, batch = Stage(self._group), self._batch

        def product() -> None:
            stage.process(batch)
            stage.accept()

        return _best_us(product), _best_us(lambda: None)

    def encode_asset(self) -> tuple[float, float]:
        paths, values = _BLOCK.paths, self._values

        def bare() -> bytes:
            body = {"timestamp_ms": 1, "seq": 1, "boot": 1, "values": dict(zip(paths, values, strict=True))}
            return orjson.dumps(body)

        return self._encode("asset"), _best_us(bare)

    def encode_tag(self) -> tuple[float, float]:
        values = self._values

        def bare() -> list[bytes]:
            return [
                orjson.dumps({"timestamp_ms": 1, "value": value, "quality": 0, "seq": seq, "boot": 1})
                for seq, value in enumerate(values)
            ]

        return self._encode("tag"), _best_us(bare)

    def _encode(self, granularity: str) -> float:
        encoder = Encoder(root="uns", granularity=granularity, profile="full", retain=True)
        record = self._record
        return _best_us(lambda: encoder.encode(record))

    async def publish(self, count: int) -> tuple[float, float]:
        """Packets of `count` messages built, and their acknowledgements taken."""
        size = 100
        session = Session(replace(self._settings.sinks[0], window=count), lambda: None)
        session.connection_made(_Nowhere())
        # The one step that `connect` would do over a real socket.
        handshake = asyncio.ensure_future(session._establish(b""))
        await asyncio.sleep(0)
        session.data_received(_CONNACK)
        await handshake
        publisher = Publisher(asyncio.get_running_loop().create_future())
        publisher.connection_made(_Nowhere())
        topics, payloads = [text("uns/v1/acme/plant1/dev000/r4")] * count, [bytes(size)] * count
        ours, bare_ids = _packet_ids(max(1024, 2 * count) - 1), _packet_ids(65535)

        def product() -> None:
            session.send(_Publishes(count), topics, payloads, 0, retain=True)
            session.flush()
            session.data_received(b"".join([b"\x40\x02" + next(ours) for _ in range(count)]))

        def bare() -> None:
            for topic, payload in zip(topics, payloads, strict=True):
                publisher.publish(topic, payload)
            publisher.flush()
            publisher.data_received(b"".join([b"\x40\x02" + next(bare_ids) for _ in range(count)]))

        figures = _best_us(product), _best_us(bare)
        session.abort(ConnectionError("measured"))
        return figures

    async def journal(self, directory: Path) -> tuple[float, float]:
        """Append, take and settle, the broker being quicker than the disk."""
        journal = Journal(replace(self._settings.journal, path=directory / "journal.db"), Clock("trusted"), ["broker"])
        await journal.start()
        feed = journal.feed("broker")
        feed.on_ready(lambda: None)
        batch = self._batch
        queue: deque[tuple[int, Batch]] = deque()

        def product() -> None:
            journal.append(batch)
            record = feed.take()
            assert record is not None
            feed.settle(record)

        def bare() -> None:
            queue.append((1, batch))
            queue.popleft()

        try:
            return _best_us(product), _best_us(bare)
        finally:
            await journal.close()


def _packet_ids(count: int) -> Iterator[bytes]:
    while True:
        for number in range(1, count + 1):
            yield number.to_bytes(2, "big")


@contextmanager
def _settings() -> Iterator[tuple[GatewaySettings, Path]]:
    with tempfile.TemporaryDirectory(prefix="tidegate-micro-") as name:
        directory = Path(name)
        path = directory / "tidegate.toml"
        path.write_text(configuration(_BLOCK, [502], 1883, directory / "data"))
        yield load(path), directory


async def _main() -> None:
    table = Table(title="µs per block of 125 registers", title_justify="left")
    table.add_column("part")
    for heading in ("gateway", "bare", "ratio"):
        table.add_column(heading, justify="right")
    with _settings() as (settings, directory):
        parts = Parts(settings)
        measured = {
            "decode and assemble": parts.decode(),
            "pipeline without rules": parts.pipeline(),
            "journal: append, take, settle": await parts.journal(directory),
            "encode, asset": parts.encode_asset(),
            "encode, tag": parts.encode_tag(),
            "publish and acknowledge 1 message": await parts.publish(1),
            "publish and acknowledge 100 messages": await parts.publish(100),
        }
    for part, (product, bare) in measured.items():
        table.add_row(part, f"{product:.2f}", f"{bare:.2f}", f"{product / bare:.1f}")
    Console(highlight=False).print(table)


if __name__ == "__main__":
    uvloop.run(_main())
