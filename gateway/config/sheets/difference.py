"""What a table changes about the tags there are: the fewest operations that make the one out of the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from gateway.config.names import quote
from gateway.config.sheets.columns import flattened
from gateway.config.sheets.present import Owner
from gateway.config.sheets.reading import CellProblem, SheetTag
from gateway.config.words import meant_or_all

Action: TypeAlias = Literal["add", "change", "remove"]


@dataclass(frozen=True, slots=True)
class TagOperation:
    """One tag made, changed or taken out. `change` also renames (`set` has a name) and moves (`to_group`)."""

    action: Action
    section: str
    """``device`` or ``template``."""
    owner: str
    group: str
    """Where the tag is, or is to be made."""
    name: str
    """What it is called now; of a new one, what it is to be called."""
    set: Mapping[str, Any] = field(default_factory=dict)
    """Flat keys and their new values; those of `report` stand beside the others."""
    unset: Sequence[str] = ()
    """Flat keys to take out."""
    to_group: str | None = None
    row: int | None = None
    """The row that asks for it."""

    @property
    def renames(self) -> str | None:
        """The new name, if it gets one."""
        new = self.set.get("name") if self.action == "change" else None
        return str(new) if new is not None else None


@dataclass(frozen=True, slots=True)
class Difference:
    """What an import does."""

    operations: Sequence[TagOperation]
    unchanged: int
    absent: Sequence[tuple[str, str, str, str]]
    """(section, owner, group, name) of tags in the groups of the table that it hasn't got. They stay, unless removing
    was asked for."""


@dataclass(frozen=True, slots=True)
class _Present:
    group: str
    flat: Mapping[str, Any]


def difference(
    tags: Sequence[SheetTag],
    owners: Sequence[Owner],
    problems: list[CellProblem],
    *,
    remove: bool = False,
    whole: tuple[str, str] | None = None,
) -> Difference:
    """Compare. A row belongs to the tag of its name; else, if exactly one tag that has no row has its source name or
    stands where it does, it is that one under a new name. `whole`: (section, name) of an owner all of whose groups the
    table is about, also those that it doesn't name."""
    operations: list[TagOperation] = []
    absent: list[tuple[str, str, str, str]] = []
    unchanged = 0
    by_owner: dict[tuple[str, str], list[SheetTag]] = {}
    for tag in tags:
        by_owner.setdefault((tag.section, tag.owner), []).append(tag)
    known = {(owner.section, owner.name): owner for owner in owners}
    if whole in known:
        by_owner.setdefault(whole, [])
    for key, rows in by_owner.items():
        owner = known[key]
        present = {
            str(tag["name"]): _Present(group.name, flattened(tag))
            for group in owner.groups
            for tag in group.tags
            if isinstance(tag.get("name"), str)
        }
        partners = _partners(rows, present, owner)
        touched = {row.group for row in rows if row.group} | {present[name].group for name in partners.values()}
        if key == whole:
            touched |= {group.name for group in owner.groups}
        for row in rows:
            old = partners.get(row.row)
            group = _group(row, present.get(old) if old else None, owner, problems)
            if group is None:
                continue
            if old is None:
                given = {name: value for name, value in row.keys.items() if value is not None}
                operations.append(
                    TagOperation("add", owner.section, owner.name, group, str(row.keys["name"]), given, row=row.row)
                )
                continue
            change = _change(row, old, present[old], group, owner)
            unchanged += change is None
            operations += [change] if change else []
        taken = set(partners.values())
        for name, old_tag in present.items():
            if name in taken or old_tag.group not in touched:
                continue
            if remove:
                operations.append(TagOperation("remove", owner.section, owner.name, old_tag.group, name))
            else:
                absent.append((owner.section, owner.name, old_tag.group, name))
    return Difference(operations, unchanged, absent)


def _partners(rows: Sequence[SheetTag], present: Mapping[str, _Present], owner: Owner) -> dict[int, str]:
    """Row number → the name of the tag that it is."""
    partners = {row.row: name for row in rows if (name := str(row.keys["name"])) in present}
    address = owner.kind.address_key if owner.kind else "address"
    for keys in (("original_name",), (address, "type"), (address,)):
        free = {name: tag.flat for name, tag in present.items() if name not in partners.values()}
        wanted = [row for row in rows if row.row not in partners]
        before: dict[tuple[str, ...], list[str]] = {}
        after: dict[tuple[str, ...], list[int]] = {}
        for name, flat in free.items():
            if (identity := _identity(flat, keys)) is not None:
                before.setdefault(identity, []).append(name)
        for row in wanted:
            if (identity := _identity(row.keys, keys)) is not None:
                after.setdefault(identity, []).append(row.row)
        for identity, numbers in after.items():
            names = before.get(identity, [])
            if len(numbers) == len(names) == 1:
                partners[numbers[0]] = names[0]
    return partners


def _identity(flat: Mapping[str, Any], keys: Sequence[str]) -> tuple[str, ...] | None:
    values = [flat.get(key) for key in keys]
    return None if None in values else tuple(map(str, values))


def _group(row: SheetTag, present: _Present | None, owner: Owner, problems: list[CellProblem]) -> str | None:
    names = [group.name for group in owner.groups]
    if row.group is None:
        if present is not None:
            return present.group
        if len(names) == 1:
            return names[0]
        message = f"{quote(owner.name)} has {len(names)} groups, and the row names none"
        problems.append(CellProblem(row.row, "group", message, meant_or_all("", names, "group")))
        return None
    if row.group in names:
        return row.group
    message = f"{quote(owner.name)} has no group {quote(row.group)}"
    hint = meant_or_all(row.group, names, "group") + "; a new group needs its interval, so add it first"
    problems.append(CellProblem(row.row, "group", message, hint))
    return None


def _change(row: SheetTag, name: str, present: _Present, group: str, owner: Owner) -> TagOperation | None:
    new = {
        key: value for key, value in row.keys.items() if value is not None and not _same(value, present.flat.get(key))
    }
    unset = [key for key, value in row.keys.items() if value is None and key in present.flat]
    to_group = group if group != present.group else None
    if not new and not unset and to_group is None:
        return None
    return TagOperation(
        "change", owner.section, owner.name, present.group, name, new, unset, to_group=to_group, row=row.row
    )


def _same(one: Any, other: Any) -> bool:
    """Equal as TOML has it, but for a whole number written with a point: a workbook has no such thing."""
    if isinstance(one, bool) != isinstance(other, bool):
        return False
    return bool(one == other)
