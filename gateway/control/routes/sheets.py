"""Tags as tables: all of them to be edited in a spreadsheet, a table to be tried, and names for many at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway import grids
from gateway.actors import Role
from gateway.config import ConfigErrors
from gateway.config.document import Document, read
from gateway.config.edit import Edit, EditError, edit
from gateway.config.names import Mendable
from gateway.config.rename import MAX_PATTERN, Found, rename
from gateway.config.sheets.importing import Trial, try_import
from gateway.config.sheets.present import Owner, csv_reader, owners_of
from gateway.config.sheets.reading import CellProblem, Target
from gateway.config.sheets.writing import table_of
from gateway.config.tree import Tree
from gateway.control.operation import Answer, Body, Call, Flag, Operation, Query, Refusal
from gateway.control.routes.draft import OneEdit

Name = Annotated[str, Field(max_length=255)]
MAX_SHEET = 16 << 20
_MAX_ITEMS = 100_000
_MAX_FIRST = 1000


class Chosen(Query):
    device: list[Name] = Field(default=[], max_length=1000, description="Only tags of these devices.")
    template: list[Name] = Field(default=[], max_length=1000, description="Only tags of these templates.")
    group: Name | None = Field(default=None, description="Only tags of groups of this name.")
    every_column: Flag = Field(default=False, description="Also columns that no tag uses.")


class Table(TypedDict):
    header: list[str]
    rows: list[list[Any]]
    """A cell is text, a number, true, false or null."""


class SheetBody(Body):
    rows: list[list[Any]] = Field(
        description="Rows as `[number, cell, …]`, the header first; the number is the row's in its spreadsheet. A cell "
        'is text, a number, true, false, null, or `{"kind": "date", "shown": "2024-02-01"}` (also `formula`, `error`).',
    )
    typed: bool = Field(default=False, description="Whether the source knew numbers from texts, as a workbook does.")
    section: Literal["device", "template"] = Field(default="device", description="What `owner` is.")
    owner: Name | None = Field(default=None, description="Where rows belong that don't say so.")
    group: Name | None = Field(default=None, description="The group of rows that don't say so.")
    remove: bool = Field(default=False, description="Take out what isn't in the table, of the groups it is about.")
    whole: bool = Field(default=False, description="It is about every group of `owner`, named in it or not.")
    first: list[OneEdit] = Field(
        default=[],
        max_length=_MAX_FIRST,
        description="Edits that come before the table, such as a group that is made. They aren't among the answer's.",
    )


class SheetProblem(TypedDict):
    row: int | None
    column: str | None
    message: str
    mend: str
    where: str


class SheetChange(TypedDict):
    action: str
    section: str
    owner: str
    group: str
    name: str
    set: dict[str, Any]
    unset: list[str]
    to_group: str | None
    row: int | None


class SheetEdit(TypedDict):
    op: str
    path: list[str]
    value: Any


class SheetTrial(TypedDict):
    rows: int
    added: int
    changed: int
    removed: int
    unchanged: int
    renamed: list[list[str]]
    """[owner, old name, new name]"""
    absent: list[list[str]]
    """[section, owner, group, name] of tags that the table hasn't got; they stay."""
    problems: list[SheetProblem]
    changes: list[SheetChange]
    edits: list[SheetEdit]
    """What makes it so, for the draft; none if there is a problem."""


class FoundItem(Body):
    path: Annotated[str, Field(max_length=2000)]
    original: Annotated[str, Field(max_length=2000)] = ""
    address: Annotated[str, Field(max_length=2000)] = ""
    type: Annotated[str, Field(max_length=100)] = ""


class RenameBody(Body):
    pattern: Annotated[str, Field(max_length=4 * MAX_PATTERN)] = Field(description="Such as `{parent}/{name|snake}`.")
    items: list[FoundItem] = Field(max_length=_MAX_ITEMS)
    taken: list[Annotated[str, Field(max_length=2000)]] = Field(
        default=[], max_length=_MAX_ITEMS, description="Paths that the device has already."
    )


class RenamedItem(TypedDict):
    path: str
    problem: str | None


def operations(main: Path, tree: Callable[[], Awaitable[Tree]]) -> list[Operation[Any, Any]]:
    """`main`: where the main file stands. `tree`: the draft, or what is in place where there is none."""

    async def document(first: Sequence[OneEdit] = ()) -> Document:
        edits = [Edit(each.op, tuple(each.path), each.value, each.file) for each in first]
        begun = await tree()
        try:
            return await asyncio.to_thread(lambda: read(main, edit(begun, edits)))
        except EditError as error:
            raise Refusal(409, "edit-impossible", error.message, error.hint) from None
        except ConfigErrors as errors:
            message = f"the configuration can't be read: {errors.problems[0].message}"
            raise Refusal(409, "config-unreadable", message, "mend it first") from None

    async def get_sheet(call: Call[Chosen, None]) -> Table:
        header, rows = await asyncio.to_thread(_table, await document(), call.query)
        return {"header": header, "rows": rows}

    async def try_sheet(call: Call[Any, SheetBody]) -> SheetTrial:
        return await asyncio.to_thread(_try, await document(call.body.first), call.body)

    async def preview_names(call: Call[Any, RenameBody]) -> list[RenamedItem]:
        items = [Found(each.path, each.original, each.address, each.type) for each in call.body.items]
        try:
            renamed = await asyncio.to_thread(rename, call.body.pattern, items, call.body.taken)
        except Mendable as error:
            raise Refusal(422, "bad-pattern", f"the pattern {error}", error.hint) from None
        return [{"path": each.path, "problem": each.problem} for each in renamed]

    return [
        Operation(
            "GET",
            "/v1/sheet",
            "get_sheet",
            Role.VIEWER,
            "Give the configured tags as a table, nothing lost: what `try_sheet` takes back.",
            get_sheet,
            Answer(Table),
            query=Chosen,
            refusals=(409,),
        ),
        Operation(
            "POST",
            "/v1/sheet/try",
            "try_sheet",
            Role.ENGINEER,
            "Try a table of tags: what it would change, and what is wrong, by row and column. Writes nothing.",
            try_sheet,
            Answer(SheetTrial),
            body=SheetBody,
            max_body=MAX_SHEET,
            refusals=(409,),
        ),
        Operation(
            "POST",
            "/v1/sheet/names",
            "preview_names",
            Role.ENGINEER,
            "Make names for found items by a pattern. Writes nothing.",
            preview_names,
            Answer(list[RenamedItem]),
            body=RenameBody,
            max_body=MAX_SHEET,
        ),
    ]


def _table(document: Document, query: Chosen) -> tuple[list[str], list[list[Any]]]:
    owners = owners_of(document.body, csv_reader(document))
    for section, names in (("device", query.device), ("template", query.template)):
        known = {owner.name for owner in owners if owner.section == section}
        for name in names:
            if name not in known:
                raise Refusal(404, f"no-such-{section}", f"there is no {section} {name}", "see /v1/sheet without it")
    chosen = [owner for owner in owners if _wanted(owner, query)]
    if query.group is not None:
        chosen = [owner.only(query.group) for owner in chosen]
    header, rows = table_of(chosen, every_column=query.every_column)
    return header, [[*row] for row in rows]


def _wanted(owner: Owner, query: Chosen) -> bool:
    if not query.device and not query.template:
        return True
    return owner.name in (query.device if owner.section == "device" else query.template)


def _try(document: Document, body: SheetBody) -> SheetTrial:
    try:
        grid = grids.from_json({"rows": body.rows, "typed": body.typed})
    except grids.GridError as error:
        raise Refusal(422, "bad-table", str(error), error.hint) from None
    trial = try_import(
        grid, document, Target(body.section, body.owner, body.group), remove=body.remove, whole=body.whole
    )
    return trial_body(trial)


def trial_body(trial: Trial) -> SheetTrial:
    """A trial as the API answers it."""
    return {
        "rows": trial.rows,
        "added": trial.count("add"),
        "changed": trial.count("change"),
        "removed": trial.count("remove"),
        "unchanged": trial.difference.unchanged,
        "renamed": [[*each] for each in trial.renamed],
        "absent": [[*each] for each in trial.difference.absent],
        "problems": [_problem(each) for each in trial.problems],
        "changes": [
            {
                "action": each.action,
                "section": each.section,
                "owner": each.owner,
                "group": each.group,
                "name": each.name,
                "set": dict(each.set),
                "unset": [*each.unset],
                "to_group": each.to_group,
                "row": each.row,
            }
            for each in trial.difference.operations
        ],
        "edits": [_edit(each) for each in trial.edits],
    }


def _problem(each: CellProblem) -> SheetProblem:
    return {
        "row": each.row,
        "column": each.column,
        "message": each.message,
        "mend": each.hint,
        "where": each.where,
    }


def _edit(each: Edit) -> SheetEdit:
    value: Mapping[str, Any] | Any = each.value
    return {"op": each.op, "path": [*each.path], "value": value}
