"""A configuration's tags as a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.config.sheets.cells import cell_of
from gateway.config.sheets.columns import Column, flattened, tag_columns
from gateway.config.sheets.present import Owner
from gateway.grids import Cell

_ALWAYS = ("name", "type", "scale", "unit", "description")


def table_of(owners: Iterable[Owner], *, every_column: bool = False) -> tuple[list[str], list[list[Cell]]]:
    """(header, rows) of all tags of these owners. Only columns that are used, unless `every_column`; the address of a
    tag and what most tags have are always there."""
    listed = list(owners)
    columns: dict[str, Column] = {}
    for owner in listed:
        for name, column in tag_columns(owner.kind).items():
            columns.setdefault(name, column)
    keys = {owner.kind.address_key for owner in listed if owner.kind}
    rows = [(owner, group.name, flattened(tag)) for owner in listed for group in owner.groups for tag in group.tags]
    used = {key for _, _, tag in rows for key in tag}
    for key in sorted(used - columns.keys()):
        columns[key] = Column(key, "text")  # of a driver that isn't installed here, or a mistake: not to be lost
    chosen = [
        column for name, column in columns.items() if every_column or name in used or name in _ALWAYS or name in keys
    ]
    places = [section for section in ("device", "template") if any(owner.section == section for owner in listed)]
    header = [*(places or ["device"]), "group", *(column.name for column in chosen)]
    return header, [_row(owner, group, tag, places or ["device"], chosen) for owner, group, tag in rows]


def _row(
    owner: Owner, group: str, tag: dict[str, object], places: Sequence[str], columns: Sequence[Column]
) -> list[Cell]:
    text = Column("name", "text")
    where = [cell_of(owner.name, text) if owner.section == section else None for section in places]
    return [*where, cell_of(group, text), *(cell_of(tag.get(column.name), column) for column in columns)]
