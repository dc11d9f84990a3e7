"""The bench's subscriber: counts values, measures their age, and proves from the sequence numbers that none is missing.

It subscribes at QoS 1 and never disconnects. Ages are taken from the tag ``t`` (see `bench.workloads`): this process's
CLOCK_MONOTONIC at arrival minus the simulator's at its answer.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, cast

import orjson
import uvloop

from bench import mqtt
from bench.control import Message, serve
from bench.coverage import Coverage
from bench.workloads import LOCATION, ROOT

_BAD = 0x80000000
_PREFIX = "/".join((ROOT, "v1", *LOCATION, ""))


def now_us() -> int:
    return time.monotonic_ns() // 1000


def percentile(ordered: Sequence[int], share: float) -> int | None:
    """Nearest-rank percentile of values in ascending order."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


class Source:
    """What came from one device."""

    __slots__ = ("arrivals", "backfill", "coverage", "stamps")

    def __init__(self) -> None:
        self.coverage: dict[int, Coverage] = {}
        """By boot of the gateway."""
        self.stamps = array("q")
        """The tag ``t`` of every poll, in order of arrival; µs."""
        self.arrivals = array("q")
        self.backfill = bytearray()

    def take(self, stamp: int, arrival: int, *, backfill: bool) -> None:
        self.stamps.append(stamp)
        self.arrivals.append(arrival)
        self.backfill.append(backfill)


class Subscriber(asyncio.Protocol):
    """The session with the broker and all that is known from it."""

    def __init__(self, topic: str, subscribed: asyncio.Future[None]) -> None:
        self._topic = topic
        self._subscribed = subscribed
        self._reader = mqtt.Reader()
        self._routes: dict[bytes, tuple[Source, bool, bool] | None] = {}
        self.sources: dict[str, Source] = {}
        self.messages = 0
        self.values = 0
        """Values of good or uncertain quality."""
        self.bad_values = 0
        self.octets = 0
        self.first_us: int | None = None
        self.opened_us: int | None = None
        self.backlog_us: int | None = None
        self.live_us: int | None = None
        self.live_lag_us = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(mqtt.connect("bench-sink"))

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._subscribed.done():
            self._subscribed.set_exception(exc or ConnectionError("the broker closed the subscriber's connection"))

    def data_received(self, chunk: bytes) -> None:
        reader = self._reader
        acknowledgements = bytearray()
        for first, start, end in reader.feed(chunk):
            kind = first & 0xF0
            if kind == mqtt.PUBLISH:
                data = reader.data
                at = start + 2 + int.from_bytes(data[start : start + 2], "big")
                topic = data[start + 2 : at]
                if first & 0x06:
                    acknowledgements += b"\x40\x02" + data[at : at + 2]
                    at += 2
                at += data[at] + 1  # no property of ours is longer than 127 octets
                self._take(topic, data[at:end])
            elif kind == mqtt.CONNACK:
                self._transport.write(mqtt.subscribe(self._topic))
            elif kind == mqtt.SUBACK:
                self._subscribed.set_result(None)
        if acknowledgements:
            self._transport.write(bytes(acknowledgements))

    def _take(self, topic: bytes, payload: bytes) -> None:
        try:
            route = self._routes[topic]
        except KeyError:
            route = self._routes[topic] = self._route(topic.decode())
        if route is None or not payload:
            return
        source, asset, clock = route
        body = orjson.loads(payload)
        backfill = "hist" in body
        if asset:
            values = body["values"]
            count = len(values)
            bad = sum(code >= _BAD for code in body["quality"].values()) if "quality" in body else 0
            stamp = values.get("t")
        else:
            count = 1
            bad = int(body["quality"] >= _BAD)
            stamp = body["value"] if clock else None
        self.messages += 1
        self.octets += len(payload)
        self.bad_values += bad
        if count > bad:
            self.values += count - bad
            if self.first_us is None:
                self.first_us = now_us()
        boot = body["boot"]
        coverage = source.coverage.get(boot)
        if coverage is None:
            coverage = source.coverage[boot] = Coverage()
        coverage.add(body["seq"], count, backfill)
        if stamp is not None:
            now = now_us()
            source.take(stamp, now, backfill=backfill)
            if self.opened_us is not None:
                self._follow_outage(stamp, now, backfill, self.opened_us)

    def _follow_outage(self, stamp: int, now: int, backfill: bool, opened: int) -> None:
        if backfill or stamp < opened:
            self.backlog_us = now
        if not backfill:
            self.live_lag_us = max(self.live_lag_us, now - stamp)
            if self.live_us is None:
                self.live_us = now

    def _route(self, topic: str) -> tuple[Source, bool, bool] | None:
        """(source, asset granularity, is the tag ``t``) of a value topic; None for any other topic."""
        if not topic.startswith(_PREFIX):
            return None
        device, _, tail = topic.removeprefix(_PREFIX).partition("/")
        asset = tail.startswith("_values/")
        if not tail or (tail.startswith("_") and not asset):
            return None
        return self.sources.setdefault(device, Source()), asset, tail == "t"


def _counts(subscriber: Subscriber) -> Mapping[str, Any]:
    coverages = [coverage for source in subscriber.sources.values() for coverage in source.coverage.values()]
    return {
        "now_us": now_us(),
        "values": subscriber.values,
        "bad_values": subscriber.bad_values,
        "messages": subscriber.messages,
        "octets": subscriber.octets,
        "first_us": subscriber.first_us,
        "sources": len(subscriber.sources),
        "missing": sum(coverage.missing for coverage in coverages),
        "duplicates": sum(coverage.duplicates for coverage in coverages),
        "disordered": sum(coverage.disordered for coverage in coverages),
        "published": sum(coverage.last for coverage in coverages),
        "backlog_us": subscriber.backlog_us,
        "live_us": subscriber.live_us,
        "live_lag_us": subscriber.live_lag_us,
        "newest_us": min((max(source.stamps, default=0) for source in subscriber.sources.values()), default=0),
    }


def window(subscriber: Subscriber, start: int, end: int, interval: int) -> Mapping[str, Any]:
    """What was read between `start` and `end` (µs), by the simulator's stamp.

    The grid of each device is laid from half an interval before its first sample in the window, so that jitter at
    the window's edges neither adds nor takes a poll.
    """
    ages: list[int] = []
    lateness: list[int] = []
    polls = 0
    for source in subscriber.sources.values():
        for stamp, arrival, late in zip(source.stamps, source.arrivals, source.backfill, strict=True):
            if start <= stamp < end and not late:
                ages.append(arrival - stamp)
        stamps = sorted(source.stamps)
        at = bisect_left(stamps, start)
        if at == len(stamps):
            continue
        if not interval:
            polls += bisect_left(stamps, end) - at
            continue
        origin = stamps[at] - interval // 2
        inside = stamps[at : bisect_left(stamps, origin + (end - start) // interval * interval)]
        polls += len(inside)
        phases = [(stamp - origin) % interval for stamp in inside]
        earliest = min(phases)
        lateness += [phase - earliest for phase in phases]
    ages.sort()
    lateness.sort()
    return {
        "polls": polls,
        "age_p50_us": percentile(ages, 0.50),
        "age_p99_us": percentile(ages, 0.99),
        "age_max_us": ages[-1] if ages else None,
        "late_p50_us": percentile(lateness, 0.50),
        "late_p99_us": percentile(lateness, 0.99),
        "late_max_us": lateness[-1] if lateness else None,
    }


async def _main(port: int) -> None:
    loop = asyncio.get_running_loop()
    subscribed: asyncio.Future[None] = loop.create_future()
    _, subscriber = await loop.create_connection(lambda: Subscriber(f"{ROOT}/#", subscribed), "127.0.0.1", port)
    await asyncio.wait_for(subscribed, 5)

    def opened(_: Message) -> Mapping[str, Any]:
        subscriber.opened_us = now_us()
        return {"now_us": subscriber.opened_us}

    await serve(
        {
            "counts": lambda _: _counts(subscriber),
            "window": lambda request: window(subscriber, **request),
            "opened": opened,
        },
        {},
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_main(parser.parse_args().port))
