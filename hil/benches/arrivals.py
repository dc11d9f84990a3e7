"""What has arrived at the broker, topic by topic."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

BAD = 0x80000000
"""OPC UA status codes of the bad severity start here."""


class NotArrived(Exception):
    """What was waited for didn't arrive. One sentence."""


@dataclass(frozen=True, slots=True)
class Value:
    """The newest of a topic that came live, and when."""

    topic: str
    value: Any
    quality: int
    timestamp_ms: int
    """When it was read, by the box's clock."""
    boot: int
    body: dict[str, Any]
    came_s: float
    """``time.time()`` of its arrival."""


class Arrivals:
    """Fed by a subscriber's thread, read by tests. Of every message whatever `root` it is under."""

    def __init__(self) -> None:
        self._latest: dict[str, Value] = {}
        self._newest_ms: dict[tuple[int, str], int] = {}
        """Boot and topic → when the value was read that was read last."""
        self._first_of_boot: dict[int, Value] = {}
        self._backfill: list[Value] | None = None
        self.values = 0
        self.backfilled = 0
        self.said_offline = 0
        """How often the broker told that a gateway, or a device, was gone."""
        self._arrived = threading.Condition(threading.RLock())

    def take(self, topic: str, payload: bytes, retain: bool) -> None:
        """One message; of what is no value only who is gone is of interest."""
        if not retain and topic.endswith("/_state") and b'"offline"' in payload:
            with self._arrived:
                self.said_offline += 1
                self._arrived.notify_all()
        if retain or not payload or topic.rpartition("/")[2].startswith("_"):
            return
        body = orjson.loads(payload)
        hist = bool(body.get("hist", False))
        came_s = time.time()
        value = Value(topic, body["value"], body["quality"], body["timestamp_ms"], body["boot"], body, came_s)
        with self._arrived:
            self.values += 1
            self.backfilled += hist
            if hist and self._backfill is not None:
                self._backfill.append(value)
            if not hist:
                self._latest[topic] = value
                self._first_of_boot.setdefault(value.boot, value)
            key = (value.boot, topic)
            self._newest_ms[key] = max(value.timestamp_ms, self._newest_ms.get(key, 0))
            self._arrived.notify_all()

    def forget(self) -> None:
        """Nothing has arrived so far."""
        with self._arrived:
            self._latest.clear()

    def watch_backfill(self) -> None:
        """Keep every value that comes late from now on."""
        with self._arrived:
            self._backfill = []

    def backfill(self) -> list[Value]:
        """Those kept since, which isn't gone on with."""
        with self._arrived:
            kept, self._backfill = self._backfill, None
            return kept or []

    def of(self, prefix: str) -> list[Value]:
        """The newest live values of a device's topics."""
        with self._arrived:
            return [value for topic, value in self._latest.items() if f"/{prefix}/" in topic]

    def newest_ms(self, boot: int, prefix: str) -> int:
        """When the last value was read that came of a device and a boot, however late it came. Raises LookupError."""
        with self._arrived:
            read = [ms for (of, topic), ms in self._newest_ms.items() if of == boot and f"/{prefix}/" in topic]
        if not read:
            raise LookupError(f"no value of {prefix} came of boot {boot}")
        return max(read)

    def first(self, boot: int) -> Value | None:
        """The first live value of a boot that arrived."""
        with self._arrived:
            return self._first_of_boot.get(boot)

    def wait(self, done: Callable[[], bool], timeout_s: float, what: str) -> None:
        """Until `done`, which is asked again at every arrival. Raises NotArrived."""
        end = time.monotonic() + timeout_s
        with self._arrived:
            while not done():
                left = end - time.monotonic()
                if left <= 0:
                    raise NotArrived(f"not within {timeout_s:.0f} s at the broker: {what}")
                self._arrived.wait(min(left, 1.0))

    def wait_for_good(self, prefix: str, count: int, timeout_s: float) -> list[Value]:
        """Until so many topics of a device have a good live value. Raises NotArrived, which says what there is."""
        try:
            self.wait(lambda: len(self.good(prefix)) >= count, timeout_s, f"{count} good values of {prefix}")
        except NotArrived as error:
            there = ", ".join(
                f"{value.topic.rpartition(prefix)[2]}={value.value!r} ({value.quality:#x})" for value in self.of(prefix)
            )
            raise NotArrived(f"{error}; there are: {there or 'none'}") from None
        return self.good(prefix)

    def good(self, prefix: str) -> list[Value]:
        """Those of :meth:`of` that aren't bad."""
        return [value for value in self.of(prefix) if value.quality < BAD]
