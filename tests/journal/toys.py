"""A plant of toy batches, a toy sink, and a journal settings shorthand."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from gateway.journal import Journal
from gateway.journal.feed import JournalFeed
from gateway.model import Batch, DataType, Layout, Record, Tag, Value
from gateway.ops.clock import Clock
from gateway.settings import JournalSettings


def layout(source: str = "filler1", count: int = 3, type_: DataType = DataType.UINT16) -> Layout:
    return Layout(source, "fast", ("acme", "plant1", source), tuple(Tag(f"t{i}", type_) for i in range(count)))


def batch(of: Layout, values: Sequence[Value] | None = None, *, mono_ns: int | None = None) -> Batch:
    mono = time.monotonic_ns() if mono_ns is None else mono_ns
    return Batch(of, time.time_ns(), mono, list(range(len(of.tags))) if values is None else values)


def settings(folder: Path, **changes: object) -> JournalSettings:
    return JournalSettings(**{"path": folder / "journal.db", "min_free_bytes": 0, "ballast_bytes": 0, **changes})  # type: ignore[arg-type]


async def opened(folder: Path, sinks: Sequence[str] = ("plant",), **changes: object) -> Journal:
    journal = Journal(settings(folder, **changes), Clock("trusted"), sinks)
    await journal.start()
    return journal


def take_all(feed: JournalFeed) -> list[Record]:
    taken = []
    while (record := feed.take()) is not None:
        taken.append(record)
    return taken
