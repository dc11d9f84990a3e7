"""The tags that a configuration has, as it writes them: nothing resolved, no default filled in."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway import registry
from gateway.config.document import Document
from gateway.config.names import Mendable
from gateway.config.places import KeyPath
from gateway.config.sheets.cells import value_of
from gateway.config.sheets.columns import nested, tag_columns
from gateway.driver import DriverKind
from gateway.grids import GridError
from gateway.grids.delimited import read_delimited

ReadCsv = Callable[[KeyPath, str], bytes | None]
"""(place of the group, name as in its `tags_csv`) → the file's bytes, or None if there is no such file."""


@dataclass(frozen=True, slots=True)
class PresentGroup:
    """One group and its tags, those of its CSV file first."""

    name: str
    position: int
    """In the `group` list of its owner."""
    tags: Sequence[Mapping[str, Any]]
    csv: str | None = None
    """The file that the first `from_csv` tags stand in."""
    from_csv: int = 0


@dataclass(frozen=True, slots=True)
class Owner:
    """A device or a template, with the groups that it has of its own."""

    section: str
    """``device`` or ``template``."""
    name: str
    position: int
    """In its section's list."""
    kind: DriverKind | None
    """None if its driver isn't known; its tags then are nobody's to check."""
    groups: Sequence[PresentGroup] = field(default=())

    def only(self, group: str) -> Owner:
        """The same with its groups of that name alone."""
        return replace(self, groups=[each for each in self.groups if each.name == group])


def owners_of(body: Mapping[str, Any], read_csv: ReadCsv) -> list[Owner]:
    """Every device and template of a parsed configuration that has a name. What is wrong with it is passed over: that
    is for the check to say."""
    drivers = {link.get("name"): link.get("driver") for link in _tables(body.get("link"))}
    kinds: dict[str, DriverKind | None] = {}
    owners = []
    for section in ("device", "template"):
        for position, table in enumerate(_tables(body.get(section))):
            name = table.get("name")
            driver = drivers.get(table.get("link")) if section == "device" else table.get("driver")
            if not isinstance(name, str):
                continue
            kind = _kind(driver, kinds)
            groups = [
                group
                for index, raw in enumerate(_tables(table.get("group")))
                if (group := _group(raw, (section, position, "group", index), kind, read_csv)) is not None
            ]
            owners.append(Owner(section, name, position, kind, groups))
    return owners


def csv_reader(document: Document) -> ReadCsv:
    """Reads the CSV files that a document's groups name, from where the document itself comes from."""

    def read(place: KeyPath, name: str) -> bytes | None:
        path = document.source_of(place).path.parent / name
        try:
            return document.files.read(path)
        except OSError:
            return None

    return read


def _group(raw: Mapping[str, Any], place: KeyPath, kind: DriverKind | None, read_csv: ReadCsv) -> PresentGroup | None:
    name, csv = raw.get("name"), raw.get("tags_csv")
    if not isinstance(name, str):
        return None
    filed = list(_tags_in_csv(read_csv(place, csv), kind)) if isinstance(csv, str) else []
    inline = _tables(raw.get("tag"))
    position = place[-1]
    assert isinstance(position, int)
    return PresentGroup(name, position, [*filed, *inline], csv if isinstance(csv, str) else None, len(filed))


def _tags_in_csv(data: bytes | None, kind: DriverKind | None) -> Iterator[dict[str, Any]]:
    try:
        grid = read_delimited(data or b"")
    except GridError:
        return
    columns = tag_columns(kind)
    for row in grid.rows:
        flat: dict[str, Any] = {}
        for heading, cell in zip(grid.header.cells, row.cells, strict=False):
            if (column := columns.get(str(heading))) is None or not isinstance(cell, str):
                continue
            try:
                value = cell.strip() if column.kind == "text" else value_of(cell, column)
            except Mendable:
                value = cell.strip()
            if value is not None:
                flat[column.name] = value
        if "name" in flat:
            yield nested(flat)


def _kind(driver: Any, known: dict[str, DriverKind | None]) -> DriverKind | None:
    if not isinstance(driver, str):
        return None
    if driver not in known:
        try:
            known[driver] = registry.load_driver(driver)
        except (KeyError, ImportError, TypeError, AttributeError):
            known[driver] = None
    return known[driver]


def _tables(value: Any) -> list[Mapping[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
