"""What is learnt about a device while it is read: what it hasn't got, and what it won't give in one go.

One memory serves all poll groups of a device, and outlives the gateway in a small file. That file is a help, not a
truth: what can't be read, or was learnt under another configuration, is forgotten, and all of it is tried again.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from drivers.common.blocks import Span
from drivers.modbus.address import DATA_TABLES, Table

_log = logging.getLogger(__name__)

RETRY_S = 10.0
"""When something that a device refused is first asked for again; doubled each time."""
DAY_S = 86_400.0
_RETRY_AFTER_START_S = 60.0
"""At most so long after a start, everything known to be missing is asked for once more."""
_SINGLES = 8
"""So many cuts after a single address, and never a longer read answered, are no borders but a device that gives one
value a read."""
_FORMAT = 1

Place: TypeAlias = tuple[Table, Span]


@dataclass(slots=True)
class Hole:
    """A place the device refuses to give."""

    code: int
    """The Modbus exception."""
    delay_s: float
    retry_at: float
    """Monotonic seconds."""


@dataclass(slots=True)
class Memory:
    """Starts with what the file has, if it is of the same `digest`."""

    file: Path | None = None
    """None: nothing is kept."""
    digest: str = ""
    """Stands for the configuration that what is learnt depends on."""
    version: int = field(default=0, init=False)
    """Changes whenever something is learnt or forgotten that a plan depends on."""
    holes: dict[Place, Hole] = field(default_factory=dict, init=False)
    cuts: dict[Table, set[int]] = field(init=False)
    """Addresses that no read may reach into from below: the device answers both sides, but not together."""
    limits: dict[Table, int] = field(default_factory=dict, init=False)
    """The most a table gives in one read, where that is less than was tried."""
    longest: Counter[Table] = field(default_factory=Counter, init=False)
    """The longest read of each table that was answered while something was found out: no limit is below it."""
    singles: Counter[Table] = field(default_factory=Counter, init=False)
    """Cuts of each table before which one address alone could be read."""
    forget_at: float = field(default=math.inf, init=False)
    """Monotonic seconds at which cuts and limits are to be found out anew."""

    def __post_init__(self) -> None:
        self.cuts = {table: set() for table in DATA_TABLES}
        if self.file is not None:
            self._load(self.file)

    def dig(self, place: Place, code: int) -> bool:
        """Remember that the device refuses this place, and when to ask again. True if that is news."""
        hole = self.holes.get(place)
        delay_s = RETRY_S if hole is None else min(2 * hole.delay_s, DAY_S)
        self.holes[place] = Hole(code, delay_s, time.monotonic() + delay_s)
        if hole is None:
            self.version += 1
        return hole is None

    def fill(self, place: Place) -> None:
        """The device gives it now."""
        del self.holes[place]
        self.version += 1

    def answered(self, table: Table, size: int) -> None:
        """A read of that size was."""
        self.longest[table] = max(self.longest[table], size)

    def cut(self, table: Table, address: int) -> None:
        self.cuts[table].add(address)
        self._learnt()

    def cut_single(self, table: Table, address: int) -> bool:
        """Cut where one address alone can be read before. True if that is so everywhere, and the limit is 1."""
        self.cut(table, address)
        self.singles[table] += 1
        if self.longest[table] > 1 or self.singles[table] < _SINGLES:
            return False
        self.cuts[table].clear()
        self.limit(table, 1)
        return True

    def limit(self, table: Table, size: int) -> None:
        self.limits[table] = size
        self._learnt()

    def _learnt(self) -> None:
        self.version += 1
        self.forget_at = min(self.forget_at, time.monotonic() + DAY_S)

    def review(self) -> None:
        """Forget cuts and limits a day after they were found: the next reads find out whether they still hold."""
        if self.forget_at <= time.monotonic():
            self.cuts = {table: set() for table in DATA_TABLES}
            self.limits.clear()
            self.longest.clear()
            self.singles.clear()
            self.forget_at = math.inf
            self.version += 1

    # -- the file

    def save(self) -> None:
        """Not synced: a power cut may cost what was learnt, not more."""
        if self.file is None:
            return
        body = {
            "format": _FORMAT,
            "digest": self.digest,
            "holes": [
                [table.prefix, span.address, span.count, hole.code, hole.delay_s]
                for (table, span), hole in self.holes.items()
            ],
            "cuts": {table.prefix: sorted(cuts) for table, cuts in self.cuts.items() if cuts},
            "limits": {table.prefix: size for table, size in self.limits.items()},
        }
        fresh = self.file.with_suffix(".new")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(body))
            os.replace(fresh, self.file)
        except OSError as error:
            _log.info("what was learnt about the device can't be kept in %s: %s", self.file, error.strerror)
            self.file = None

    def _load(self, file: Path) -> None:
        try:
            self._take(json.loads(file.read_text()))
        except FileNotFoundError:
            return
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            _log.info("%s can't be used, so what it holds is found out anew: %s", file, error)

    def _take(self, body: Any) -> None:
        if body["format"] != _FORMAT or body["digest"] != self.digest:
            return
        tables = {table.prefix: table for table in DATA_TABLES}
        now = time.monotonic()
        holes = {}
        for prefix, address, count, code, delay in body["holes"]:
            delay_s = min(max(float(delay), RETRY_S), DAY_S)
            place = tables[prefix], Span(int(address), int(count))
            holes[place] = Hole(int(code), delay_s, now + min(delay_s, _RETRY_AFTER_START_S))
        cuts = {tables[prefix]: {int(address) for address in some} for prefix, some in body["cuts"].items()}
        limits = {tables[prefix]: int(size) for prefix, size in body["limits"].items()}
        if not all(1 <= size <= 2000 for size in limits.values()):
            raise ValueError("a limit is out of range")
        self.holes, self.limits = holes, limits
        self.cuts |= cuts
        if cuts or limits:
            self.forget_at = now + DAY_S
