"""What has arrived at the subscriber: the last value of every tag, rates and latency.

Fed by one thread, read by another. Latency is the time from the moment the gateway had a device's answer
(`timestamp_ms`) to the arrival at the subscriber, both on this machine's clock; backfill isn't counted.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import orjson

from hil.plant.config import INTERVALS_MS
from hil.plant.maps import DEVICES
from hil.plant.registers import DeviceMap

GOOD_BELOW = 0x40000000
BAD_FROM = 0x80000000
_BUCKET_MS = 0.1
_BUCKETS = 20_000


@dataclass(slots=True)
class Cell:
    """One tag on the board."""

    path: str
    unit: str | None
    interval_s: float
    value: Any = None
    quality: int = 0
    timestamp_ms: int = 0
    """When the shown value was read; 0 before the first one."""
    usable: bool = False
    """True once a value that isn't bad has arrived."""

    @property
    def known(self) -> bool:
        return self.timestamp_ms > 0

    def age_s(self, now_ms: float) -> float:
        return max(0.0, (now_ms - self.timestamp_ms) / 1000.0)

    def stale(self, now_ms: float) -> bool:
        return self.age_s(now_ms) > 2.0 * self.interval_s + 1.0


@dataclass(slots=True)
class Asset:
    """One device on the board."""

    name: str
    area: str
    prefix: str
    cells: tuple[Cell, ...]
    state: str = ""
    """The last word of its ``_state``."""


class Latency:
    """A histogram in tenths of a millisecond up to two seconds."""

    def __init__(self) -> None:
        self._buckets = [0] * (_BUCKETS + 1)
        self.count = 0

    def add(self, milliseconds: float) -> None:
        self._buckets[min(max(int(milliseconds / _BUCKET_MS), 0), _BUCKETS)] += 1
        self.count += 1

    def percentile(self, share: float) -> float | None:
        """In milliseconds; None while there is nothing."""
        passed = 0
        for at, count in enumerate(self._buckets):
            passed += count
            if count and passed >= share * self.count:
                return round((at + 1) * _BUCKET_MS, 1)
        return None


@dataclass(slots=True)
class Totals:
    """What arrived since the start."""

    values: int = 0
    backfilled: int = 0
    messages: int = 0
    latency: Latency = field(default_factory=Latency)
    recent: Latency = field(default_factory=Latency)
    """Since the reader last took it."""


class Board:
    """Every tag of the plant, by asset."""

    def __init__(self, location: tuple[str, ...], root: str = "uns") -> None:
        self.assets = tuple(_asset(device, "/".join((root, "v1", *location))) for device in DEVICES)
        self.totals = Totals()
        self.measuring = True
        """Latency counts only while this is so: not during an outage, when waiting is what values should do."""
        self.offline = False
        """True once the gateway said goodbye."""
        self._tags = {f"{asset.prefix}/{cell.path}": cell for asset in self.assets for cell in asset.cells}
        self._groups = {asset.prefix: {cell.path: cell for cell in asset.cells} for asset in self.assets}
        self._states = {f"{asset.prefix}/_state": asset for asset in self.assets}

    @property
    def tags(self) -> int:
        return len(self._tags)

    @property
    def reached(self) -> int:
        """Tags of which a value that isn't bad has arrived."""
        return sum(cell.usable for cell in self._tags.values())

    def missing(self) -> list[str]:
        """The topics of the others."""
        return [topic for topic, cell in self._tags.items() if not cell.usable]

    def take(self, topic: str, payload: bytes, retain: bool) -> None:
        """One message. What is no value of a known tag is left alone; payloads are judged by the ledger checker."""
        cell = self._tags.get(topic)
        prefix, whole, _ = topic.partition("/_values/")
        if cell is None and not whole:
            self._take_state(topic, payload)
            return
        try:
            body = orjson.loads(payload)
            at_ms, hist = body["timestamp_ms"], body.get("hist", False)
            if cell is not None:
                updates = [(cell, body["value"], body["quality"])]
            else:
                cells, quality = self._groups[prefix], body.get("quality", {})
                updates = [(cells[path], value, quality.get(path, 0)) for path, value in body["values"].items()]
        except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
            return
        for at, value, code in updates:
            if at_ms >= at.timestamp_ms:
                at.value, at.quality, at.timestamp_ms = value, code, at_ms
            at.usable = at.usable or code < BAD_FROM
        if retain:
            return
        totals = self.totals
        totals.messages += 1
        totals.values += len(updates)
        if hist:
            totals.backfilled += len(updates)
        elif self.measuring:
            milliseconds = time.time() * 1000.0 - at_ms
            totals.latency.add(milliseconds)
            totals.recent.add(milliseconds)

    def _take_state(self, topic: str, payload: bytes) -> None:
        if not topic.endswith("/_state"):
            return
        try:
            state = str(orjson.loads(payload)["state"])
        except (orjson.JSONDecodeError, KeyError, TypeError):
            return
        asset = self._states.get(topic)
        if asset is not None:
            asset.state = state
        else:
            self.offline = state == "offline"


def _asset(device: DeviceMap, base: str) -> Asset:
    prefix = "/".join(level for level in (base, device.area, device.line, device.name) if level)
    cells = tuple(Cell(row.path, row.unit, INTERVALS_MS[row.group] / 1000.0) for row in device.rows)
    return Asset(device.name, "/".join(level for level in (device.area, device.line) if level), prefix, cells)
