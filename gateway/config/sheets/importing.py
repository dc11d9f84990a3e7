"""An import of tags, tried without writing anything: what it would change, and what is wrong, by row and column.

What it would make is checked as a whole configuration is: references, topics, scaling, and whether the driver can read
it. So an import without a problem is one that can be applied.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.config.build import Builder
from gateway.config.context import Context
from gateway.config.document import Document, Source
from gateway.config.edit import Edit
from gateway.config.places import Key, KeyPath, Place
from gateway.config.report import Report
from gateway.config.sheets.columns import flattened, nested
from gateway.config.sheets.difference import Difference, TagOperation, difference
from gateway.config.sheets.present import Owner, csv_reader, owners_of
from gateway.config.sheets.reading import CellProblem, Target, read_tags
from gateway.grids import Grid

MAX_SHOWN = 500
"""Problems that are reported; more are counted."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The outcome of an import that was tried."""

    difference: Difference
    edits: Sequence[Edit]
    """What makes it so; none if there is a problem."""
    problems: Sequence[CellProblem]
    """In the order of rows. If there is one, nothing may be applied."""
    rows: int

    def count(self, action: str) -> int:
        """How many tags it adds, changes or removes."""
        return sum(operation.action == action for operation in self.difference.operations)

    @property
    def renamed(self) -> list[tuple[str, str, str]]:
        """(owner, old name, new name)"""
        return [(each.owner, each.name, each.renames) for each in self.difference.operations if each.renames]


def try_import(grid: Grid, document: Document, target: Target, *, remove: bool = False, whole: bool = False) -> Trial:
    """Try an import into a configuration. `remove`: take out what isn't in the table, of the groups it is about.
    `whole`: it is about every group of the target."""
    owners = owners_of(document.body, csv_reader(document))
    problems: list[CellProblem] = []
    tags = read_tags(grid, owners, target, problems)
    about = (target.section, target.owner) if whole and target.owner is not None else None
    result = difference(tags, owners, problems, remove=remove, whole=about)
    if not problems:
        problems += _checked(document, owners, result)
    problems.sort(key=lambda problem: problem.row or 0)
    return Trial(result, [] if problems else edits_of(owners, result.operations), problems, len(grid.rows))


def edits_of(owners: Sequence[Owner], operations: Sequence[TagOperation]) -> list[Edit]:
    """The same as edits of a configuration. A tag that takes the name of another, or goes to another group, is taken
    out and put in anew, so that no name is there twice in between."""
    known = {
        (owner.section, owner.name, str(tag.get("name"))): tag
        for owner in owners
        for group in owner.groups
        for tag in group.tags
    }
    edits: list[Edit] = []
    added: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for each in operations:
        tags = (each.section, each.owner, "group", each.group, "tag")
        if each.action == "add":
            added.setdefault(tags, []).append(nested(each.set))
            continue
        if each.action == "remove":
            edits.append(Edit("remove", (*tags, each.name)))
            continue
        new = _changed(known[each.section, each.owner, each.name], each)
        if each.to_group is None and (each.section, each.owner, each.renames) not in known:
            edits.append(Edit("set", (*tags, each.name), new))
            continue
        edits.append(Edit("remove", (*tags, each.name)))
        added.setdefault((*tags[:3], each.to_group or each.group, "tag"), []).append(new)
    return [*edits, *(Edit("add", path, new) for path, new in added.items())]


def changed(
    body: Mapping[str, Any], owners: Sequence[Owner], operations: Sequence[TagOperation]
) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """(the configuration after these operations, the row behind each tag that has one, by its place). What stands in a
    CSV file and is touched stands inline in the result: it is for checking, not for writing."""
    new = copy.deepcopy(dict(body))
    rows: dict[KeyPath, int] = {}
    by_owner: dict[tuple[str, str], list[TagOperation]] = {}
    for operation in operations:
        by_owner.setdefault((operation.section, operation.owner), []).append(operation)
    for owner in owners:
        todo = by_owner.get((owner.section, owner.name))
        if not todo:
            continue
        groups: dict[str, list[tuple[dict[str, Any], int | None]]] = {
            group.name: [(dict(tag), None) for tag in group.tags] for group in owner.groups
        }
        for operation in todo:
            _apply(groups, operation)
        for group in owner.groups:
            place = (owner.section, owner.position, "group", group.position)
            table = new[owner.section][owner.position]["group"][group.position]
            table.pop("tags_csv", None)
            table["tag"] = [tag for tag, _ in groups[group.name]]
            for index, (_, row) in enumerate(groups[group.name]):
                if row is not None:
                    rows[*place, "tag", index] = row
    return new, rows


def _apply(groups: dict[str, list[tuple[dict[str, Any], int | None]]], operation: TagOperation) -> None:
    tags = groups[operation.group]
    if operation.action == "add":
        tags.append((nested(operation.set), operation.row))
        return
    at = next(index for index, (tag, row) in enumerate(tags) if row is None and tag.get("name") == operation.name)
    if operation.action == "remove":
        del tags[at]
        return
    changed_tag = (_changed(tags[at][0], operation), operation.row)
    if operation.to_group is None:
        tags[at] = changed_tag
    else:
        del tags[at]
        groups[operation.to_group].append(changed_tag)


def _changed(tag: Mapping[str, Any], operation: TagOperation) -> dict[str, Any]:
    flat = {key: value for key, value in flattened(tag).items() if key not in operation.unset}
    return nested(flat | dict(operation.set))


class _SheetReport(Report):
    """A report whose places are rows of a table, where they are."""

    def __init__(self, document: Document, rows: Mapping[KeyPath, int]) -> None:
        super().__init__(document)
        self._rows = rows

    def where(self, place: Place) -> str:
        row = _row_of(place, self._rows)
        return super().where(place) if row is None else f"row {row}"


def _checked(document: Document, owners: Sequence[Owner], result: Difference) -> list[CellProblem]:
    """What a check of the outcome finds in the rows, and what it finds elsewhere that wasn't wrong before."""
    new, rows = changed(document.body, owners, result.operations)
    before = {message for _, message, _ in _findings(document, document.body, {})}
    problems = []
    for place, message, hint in _findings(document, new, rows):
        row = _row_of(place, rows)
        if row is not None:
            keys = [key for key in place.path[6:] if isinstance(key, str)] if isinstance(place, Key) else []
            problems.append(CellProblem(row, keys[-1] if keys else None, _in_a_cell(message), hint))
        elif message not in before:
            problems.append(CellProblem(None, None, message, hint))
    return problems[:MAX_SHOWN]


class _Merged(Document):
    """A document of one body that stands in no file; what its groups name is read as in another document."""

    def __init__(self, like: Document, body: Mapping[str, Any]) -> None:
        super().__init__([Source(like.sources[0].path, "", dict(body))], like.files)
        self._like = like

    def source_of(self, path: KeyPath) -> Source:
        return self._like.source_of(path)


def _findings(
    document: Document, body: Mapping[str, Any], rows: Mapping[KeyPath, int]
) -> list[tuple[Place | None, str, str]]:
    merged = _Merged(document, body)
    report = _SheetReport(merged, rows)
    Builder(Context(merged, report, check_secrets=False, unfinished=True)).build()
    return [(place, message, hint or "mend it") for place, message, hint in report.found()]


def _row_of(place: Place | None, rows: Mapping[KeyPath, int]) -> int | None:
    return rows.get(place.path[:6]) if isinstance(place, Key) else None


def _in_a_cell(message: str) -> str:
    """``device.group.tag.scale is …`` → ``scale is …``: in a table a key is a column."""
    for section in ("device", "template"):
        message = message.removeprefix(f"{section}.group.tag.report.").removeprefix(f"{section}.group.tag.")
    return message
