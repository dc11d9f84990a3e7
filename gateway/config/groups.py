"""Groups and their tags, inline or from CSV files, with what the runtime needs of them.

A template's tags are validated once; devices that use it share the same tuples of points, tags and rules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import orjson

from gateway.actors import Role
from gateway.config.context import Context, Raw, split
from gateway.config.csvtags import read_rows
from gateway.config.names import quote
from gateway.config.places import Cell, Key, Place
from gateway.config.problems import Problem
from gateway.config.scaling import Finding, Scaling, array_findings, published_type, report_findings, write_findings
from gateway.config.schema import CSV_TABLES, GroupTable, ReportTable, TagTable, TagWriteTable
from gateway.config.topics import check_paths
from gateway.driver import DriverKind, Point
from gateway.model import Tag
from gateway.settings import ReportPolicy, TagRules, WriteRules

SUBSCRIBED_INTERVAL_S = 1.0
"""How often a device is asked to look at what is subscribed to, where nothing is said."""

_NESTED = {f"{prefix}{key}": (name, key) for name, (prefix, table) in CSV_TABLES.items() for key in table.model_fields}
"""Column → the table of a tag that it belongs to, and its key there."""
_TAG_COLUMNS = (*(key for key in TagTable.model_fields if key not in CSV_TABLES), *_NESTED)


@dataclass(frozen=True, slots=True, eq=False)
class Tags:
    """The tags of a group, checked: column *i* is `tags[i]`, `points[i]`, `rules[i]`, and stands at `place_of(i)`."""

    tags: tuple[Tag, ...]
    points: tuple[Point, ...]
    rules: tuple[TagRules, ...]
    place_of: Callable[[int], Place]


@dataclass(frozen=True, slots=True)
class Group:
    """A group as written: in a device that overrides a template's, interval or tags may be None."""

    name: str
    interval_s: float | None
    mode: str | None
    stale_s: float | None
    tags: Tags | None
    place: Place


@dataclass(frozen=True, slots=True)
class CompleteGroup:
    """A group with everything it needs."""

    name: str
    interval_s: float
    subscribed: bool
    stale_s: float | None
    tags: Tags


class GroupReader:
    """Reads the groups of templates and devices. What is wrong goes into the report."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._report = context.report
        self._checker = context.checker
        self._csv: dict[tuple[Path, str | None], Tags] = {}
        self._inline: dict[tuple[DriverKind | None, Path, bytes], Tags] = {}
        self._paths_checked: set[tuple[Tags, ...]] = set()

    def read(self, raws: Any, place: Place, kind: DriverKind | None) -> dict[str, Group]:
        """The groups of a device or template, by name."""
        names: dict[str, Place] = {}
        groups: dict[str, Group] = {}
        for raw, spot in self._checker.array(raws, place):
            table = self._checker.table(GroupTable, {**raw, "tag": []}, spot)
            rows: list[Tags] = []
            if table is not None and table.tags_csv is not None:
                rows.append(self._csv_tags(table.tags_csv, spot, kind))
            if raw.get("tag", []) != []:
                rows.append(self._inline_tags(raw["tag"], spot.child("tag"), kind))
            if table is None or not self._context.unique(names, table.name, spot, "group"):
                continue
            groups[table.name] = Group(
                table.name, _seconds(table.interval_ms), table.mode, _seconds(table.stale_ms), _join(rows), spot
            )
        return groups

    def override(self, base: dict[str, Group], own: dict[str, Group]) -> dict[str, Group]:
        """A template's groups with the device's on top: what a device's group leaves out comes from the template's."""
        groups = dict(base)
        spellings = {name.lower(): name for name in base}
        for name, group in own.items():
            if spellings.get(name.lower(), name) != name:
                message = (
                    f"the group {quote(name)} differs only in case from the template's {quote(spellings[name.lower()])}"
                )
                self._report.add(group.place.child("name"), message, "spell it the same way, or give it another name")
            elif (known := base.get(name)) is not None:
                group = Group(
                    name,
                    known.interval_s if group.interval_s is None else group.interval_s,
                    group.mode or known.mode,
                    known.stale_s if group.stale_s is None else group.stale_s,
                    known.tags if group.tags is None else group.tags,
                    group.place,
                )
            groups[name] = group
        return groups

    def complete(self, group: Group, kind: DriverKind | None) -> CompleteGroup | None:
        """The group if it has an interval and tags, else None and problems."""
        can_subscribe = kind is not None and kind.subscribes
        subscribed = group.mode == "subscribe" or (group.mode is None and can_subscribe)
        if kind is not None and subscribed and not can_subscribe:
            message = f"the driver {quote(kind.name)} can't subscribe, it polls"
            self._report.add(group.place.child("mode"), message, "take mode out")
        if group.stale_s is not None and not subscribed:
            message = "stale_ms is for groups that are subscribed to, a polled one notices at its next poll"
            self._report.add(group.place.child("stale_ms"), message, "take stale_ms out")
        interval_s = group.interval_s
        if interval_s is None and subscribed:
            interval_s = SUBSCRIBED_INTERVAL_S
        if interval_s is None:
            self._report.add(group.place, f"{group.place.label}.interval_ms is missing", "add interval_ms = 1000")
        if group.tags is None and not self._context.unfinished:
            message = f"the group {quote(group.name)} has no tags"
            self._report.add(group.place, message, f'add [[{group.place.label}.tag]] tables, or tags_csv = "FILE"')
        if interval_s is None or group.tags is None:
            return None
        stale_s = group.stale_s if group.stale_s is not None or kind is None else kind.stale_s
        return CompleteGroup(group.name, interval_s, subscribed, stale_s or None, group.tags)

    def _inline_tags(self, raws: Any, place: Place, kind: DriverKind | None) -> Tags:
        """Tags of `tag` tables. Devices with the very same ones share them as if they had a template."""
        tables = self._checker.array(raws, place)

        def place_of(index: int) -> Place:
            return tables[index][1]

        try:
            body = orjson.dumps(raws, option=orjson.OPT_PASSTHROUGH_DATETIME)
            key = (kind, self._context.directory(place), body)
        except TypeError:
            return self._tags([raw for raw, _ in tables], place_of, kind)
        if known := self._inline.get(key):
            return replace(known, place_of=place_of)
        tags = self._tags([raw for raw, _ in tables], place_of, kind)
        if len(tags.tags) == len(tables):
            self._inline[key] = tags
        return tags

    def _csv_tags(self, name: str, group: Place, kind: DriverKind | None) -> Tags:
        assert isinstance(group, Key)
        path = self._context.path(name, self._context.document.source_of(group.path).path.parent)
        key = (path, kind.name if kind else None)
        if key not in self._csv:
            self._csv[key] = self._read_csv(path, name, group, kind)
        return self._csv[key]

    def _read_csv(self, path: Path, name: str, group: Place, kind: DriverKind | None) -> Tags:
        empty = Tags((), (), (), lambda index: Cell(path, index))
        files = self._context.document.files
        if self._context.unfinished and not (files.exists(path) and files.read(path)):
            return empty  # it may be about to be filled with what a device is asked for just now
        if not files.exists(path):
            message = f"the file {quote(name)} doesn't exist (looked for {path})"
            self._report.add(group.child("tags_csv"), message, "create it, or mend the path")
            return empty
        own = kind.tag_options.model_fields if kind else {}
        required = [name for name, info in (TagTable.model_fields | own).items() if info.is_required()]
        problems: list[Problem] = []
        rows = read_rows(path, (*_TAG_COLUMNS, *own), required, problems, files.read)
        self._report.add_problems(problems)
        if rows is None or kind is None:
            return empty
        if not rows.rows and not problems:
            self._report.add_problems([Problem(path, None, "the file has no tags", "add a row for each tag")])
        raws = []
        for row in rows.rows:
            raw: dict[str, Any] = {}
            for column, cell in row.items():
                if column in _NESTED:
                    name, key = _NESTED[column]
                    raw.setdefault(name, {})[key] = cell
                else:
                    raw[column] = cell
            raws.append(raw)
        lines = rows.lines
        return self._tags(raws, lambda index: Cell(path, lines[index]), kind, strings=True)

    def _tags(
        self, raws: Sequence[Raw], places: Callable[[int], Place], kind: DriverKind | None, *, strings: bool = False
    ) -> Tags:
        """Validate tags. One that has a problem is left out of the result."""
        tags: list[Tag] = []
        points: list[Point] = []
        rules: list[TagRules] = []
        kept: list[int] = []
        directory = self._context.directory(places(0)) if raws else Path()
        for index, raw in enumerate(raws):
            common, own = split(raw, TagTable)
            table = self._checker.table(TagTable, common, places(index), strings=strings)
            options = None
            if kind is not None:
                options = self._context.options(
                    kind.tag_options, own, places(index), TagTable.model_fields, directory, strings=strings
                )
            if table is None:
                continue
            scaling = Scaling(table.type, table.scale, table.offset, table.output, table.low, table.high, table.clamp)
            published, findings = published_type(scaling)
            findings = (*findings, *array_findings(table.type, table.count))
            policy = None
            if table.report is not None:
                findings = (*findings, *_report_findings(table, table.report))
                policy = _policy(table.report)
            if table.write is not None:
                findings = (*findings, *_write_findings(table, table.write))
            for finding in findings:
                self._report.add(
                    places(index).child(*finding.key), f"tag {quote(table.name)}: {finding.message}", finding.hint
                )
            if findings or options is None:
                continue
            kept.append(index)
            points.append(Point(table.name, table.type, options, table.count))
            tags.append(
                Tag(
                    table.name,
                    published,
                    table.unit,
                    table.low,
                    table.high,
                    table.description,
                    table.writable,
                    table.original_name,
                    table.count,
                )
            )
            rules.append(
                TagRules(
                    table.type,
                    published,
                    table.scale,
                    table.offset,
                    table.low,
                    table.high,
                    table.clamp,
                    policy,
                    table.count,
                    None if table.write is None else _write_rules(table.write),
                )
            )
        return Tags(tuple(tags), tuple(points), tuple(rules), lambda index: places(kept[index]))

    def check_paths(self, groups: Sequence[Tags]) -> None:
        """Once for every combination of groups: devices of one template share theirs."""
        if tuple(groups) not in self._paths_checked:
            self._paths_checked.add(tuple(groups))
            check_paths(self._report, groups)


def _seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


def _join(parts: Sequence[Tags]) -> Tags | None:
    """Tags of a CSV file followed by inline ones; None if the group has neither."""
    if len(parts) < 2:
        return parts[0] if parts else None
    first, second = parts
    size = len(first.tags)
    return Tags(
        first.tags + second.tags,
        first.points + second.points,
        first.rules + second.rules,
        lambda index: first.place_of(index) if index < size else second.place_of(index - size),
    )


@cache
def _policy(table: ReportTable) -> ReportPolicy:
    return ReportPolicy(
        deadband=table.deadband,
        deadband_percent=table.deadband_percent,
        min_interval_s=table.min_interval_ms / 1000,
        max_interval_s=None if table.max_interval_ms is None else table.max_interval_ms / 1000,
    )


@cache
def _write_rules(table: TagWriteTable) -> WriteRules:
    return WriteRules(
        low=table.min,
        high=table.max,
        step=table.step,
        min_interval_s=_seconds(table.min_interval_ms),
        role=None if table.role is None else Role(table.role),
        require_reason=table.require_reason,
    )


def _write_findings(table: TagTable, write: TagWriteTable) -> list[Finding]:
    return write_findings(
        table.type,
        table.writable,
        table.low if write.min is None else write.min,
        table.high if write.max is None else write.max,
        {key: value for key in ("min", "max", "step") if (value := getattr(write, key)) is not None},
    )


def _report_findings(table: TagTable, report: ReportTable) -> list[Finding]:
    return report_findings(
        table.type,
        table.low,
        table.high,
        report.deadband,
        report.deadband_percent,
        report.min_interval_ms,
        report.max_interval_ms,
    )
