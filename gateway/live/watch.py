"""What somebody who watches values is told: first everything, then what changed.

A watch compares what is with what it told last, whenever it is asked. Nothing waits for a slow watcher: what he misses
in between is merged in what he is told next.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.live.current import State
from gateway.live.directory import Group, Selection, topic_of
from gateway.live.live import Live
from gateway.live.plain import honest, is_simple, short
from gateway.model import is_good, quality_name


@dataclass(slots=True)
class _Told:
    """One group, and what was told of it."""

    number: int
    """Its place in the table of groups."""
    group: Group
    columns: Sequence[int]
    indices: Mapping[int, int]
    """Column → place in the table of tags."""
    special: frozenset[int]
    """Columns whose values need a look before they are JSON."""
    state: State


class Watch:
    """One watcher. Call :meth:`snapshot` first, and again whenever :attr:`outdated`."""

    def __init__(self, live: Live, selection: Selection) -> None:
        self._live = live
        self._selection = selection
        self._generation = 0
        self._told: list[_Told] = []
        self._names: set[int] = set()
        self._shown: set[int] = set()
        """Of a watch for errors: tags that were told to be in error."""

    @property
    def outdated(self) -> bool:
        """Whether tags may have other numbers by now."""
        return self._generation != self._live.generation

    @property
    def generation(self) -> int:
        return self._generation

    def snapshot(self, **more: Any) -> bytes:
        """JSON: the table of tags, and all of them as they are now. `more`: further members."""
        live, directory = self._live, self._live.directory
        self._generation = live.generation
        self._told, self._names, self._shown = [], set(), set()
        now_ns = live.mono_ns()
        sink = directory.sinks[0] if directory.sinks else None
        groups: list[dict[str, Any]] = []
        table: dict[str, list[Any]] = {"path": [], "unit": [], "type": [], "group": [], "topic": [], "writable": []}
        for group, columns in directory.chosen(self._selection):
            layout, poll = group.layout, group.settings.poll
            special = frozenset(i for i, tag in enumerate(layout.tags) if not is_simple(tag))
            indices = {column: len(table["path"]) + at for at, column in enumerate(columns)}
            self._told.append(_Told(len(groups), group, columns, indices, special, group.current.state()))
            for column in columns:
                tag = layout.tags[column]
                table["path"].append(tag.path)
                table["unit"].append(tag.unit)
                table["type"].append(tag.type.value if tag.count is None else f"{tag.type.value}[{tag.count or ''}]")
                table["group"].append(len(groups))
                table["topic"].append(None if sink is None else topic_of(layout, tag, sink))
                table["writable"].append(int(tag.writable))
            groups.append(
                {
                    "device": group.device.name,
                    "group": poll.name,
                    "link": group.link.name,
                    "driver": group.link.kind.name,
                    "location": layout.location,
                    "interval_ms": None if poll.subscribed else round(poll.interval_s * 1000),
                }
            )
        changes = _Changes(now_ns)
        for told in self._told:
            self._add(changes, told, told.columns, told.state)
        return _dumps(
            {
                **more,
                "t": live.wall_ns() // 1_000_000,
                "generation": self._generation,
                "groups": groups,
                "tags": table,
                **self._said(changes),
            }
        )

    def tick(self) -> bytes:
        """JSON: what changed since the last snapshot or tick."""
        changes = _Changes(self._live.mono_ns())
        for told in self._told:
            current = told.group.current
            if current.version == told.state.version:
                continue
            old, new = told.state, current.state()
            told.state = new
            self._add(changes, told, _changed(told.columns, old, new), new)
        return _dumps({"t": self._live.wall_ns() // 1_000_000, **self._said(changes)})

    def _add(self, changes: _Changes, told: _Told, columns: Sequence[int], state: State) -> None:
        values, times, only_errors = state.values, state.times, self._selection.errors
        if times is None:
            changes.heard.append((told.number, changes.age_ms(state.mono_ns)))
        for column in columns:
            index = told.indices[column]
            value: Any = values[column]
            if column in told.special:
                value = short(value)
            elif isinstance(value, float) and not math.isfinite(value):
                value = None
            quality = honest(value, state.quality(column))
            if only_errors:
                if not is_good(quality):
                    self._shown.add(index)
                elif index in self._shown:
                    self._shown.discard(index)
                else:
                    continue
            changes.add(index, value, quality, None if times is None else times[column])

    def _said(self, changes: _Changes) -> dict[str, Any]:
        names = set(changes.qualities) - self._names
        self._names |= names
        return changes.said({str(code): quality_name(code) for code in names})


class _Changes:
    """What one message says, in columns."""

    def __init__(self, now_ns: int) -> None:
        self._now_ns = now_ns
        self.indices: list[int] = []
        self.values: list[Any] = []
        self.qualities: list[int] = []
        self.ages: list[int | None] = []
        self.heard: list[tuple[int, int]] = []
        self._aged = False

    def age_ms(self, mono_ns: int) -> int:
        return max(0, (self._now_ns - mono_ns) // 1_000_000)

    def add(self, index: int, value: Any, quality: int, heard_ns: int | None) -> None:
        self.indices.append(index)
        self.values.append(value)
        self.qualities.append(quality)
        if heard_ns is None:
            self.ages.append(None)
        else:
            self._aged = True
            self.ages.append(self.age_ms(heard_ns) if heard_ns >= 0 else -1)

    def said(self, names: dict[str, str]) -> dict[str, Any]:
        body: dict[str, Any] = {"i": self.indices, "v": self.values}
        if any(self.qualities):
            body["q"] = self.qualities
        if self._aged:
            body["a"] = self.ages
        if self.heard:
            body["g"] = [index for index, _ in self.heard]
            body["ga"] = [age for _, age in self.heard]
        if names:
            body["names"] = names
        return body


def _changed(columns: Sequence[int], old: State, new: State) -> list[int]:
    """Those of `columns` that are otherwise now, or that were heard of by themselves."""
    values, before = new.values, old.values
    differ = [i for i in columns if values[i] is not before[i] and values[i] != before[i]]
    if new.qualities != old.qualities or new.times is not None:
        more = {i for i in columns if new.quality(i) != old.quality(i)}
        if new.times is not None:
            times = new.times
            more |= {i for i in columns if times[i] > old.heard_ns(i)}
        if more:
            return sorted(more.union(differ))
    return differ


def _dumps(body: Any) -> bytes:
    return orjson.dumps(body, default=lambda value: None)
