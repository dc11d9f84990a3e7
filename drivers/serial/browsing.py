"""What an instrument has to offer: the fields of its messages, each as the tag that would take it, and its commands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from drivers.serial.conversion import PLAIN, Fields, ImpossibleTag, compile_tag, unit_said
from drivers.serial.instrument import FieldRules
from drivers.serial.message import Kind
from drivers.serial.options import DeviceOptions
from drivers.serial.plan import has_field
from gateway.driver import Item
from gateway.model import DataType, Value

COMMANDS = "command"
"""The folder of what can be written."""
_MEASURED = re.compile(rb" *[+-]? *(?:[0-9]+\.[0-9]+|0|[1-9][0-9]{0,5}) *")
"""A text that is surely a number. One with zeros in front or many digits may as well be a code."""
_NO_LEVEL = re.compile(r"[^A-Za-z0-9-]+")


def messages(
    options: DeviceOptions, kinds: Sequence[Kind], heard: Mapping[str, Fields], *, deep: bool
) -> Iterator[Item]:
    """Every message as a folder and, if `deep`, the fields in it. `heard`: what some of them said last."""
    for kind in kinds:
        yield Item("", _level(kind.name), "folder", name=kind.name, description=kind.describe())
        if deep:
            yield from _fields(options, kind, kinds, heard.get(kind.name, {}))


def commands(options: DeviceOptions, *, deep: bool) -> Iterator[Item]:
    """What can be written, by the names that a tag's `command` takes."""
    if options.command:
        yield Item("", COMMANDS, "folder", name="commands")
    for name, command in options.command.items() if deep else ():
        yield Item("", f"{COMMANDS}/{_level(name)}", "method", name=name, description=f"sends '{command.send}'")


def _fields(options: DeviceOptions, kind: Kind, kinds: Sequence[Kind], said: Fields) -> Iterator[Item]:
    names = dict.fromkeys((*(kind.fields or said), *(name for name in options.field if name not in said)))
    for name in names:
        if not has_field(kind, name, options.field) or (kind.fields is None and not _is_said(name, said, options)):
            continue
        rules = options.field.get(name, PLAIN)
        unit = unit_said(rules, options.field, said)
        type_ = _type(kind, name, rules, said)
        elsewhere = any(other is not kind and has_field(other, name, options.field) for other in kinds)
        yield Item(
            address=name,
            path=f"{_level(kind.name)}/{_level(name)}",
            kind="value",
            type=type_,
            name=name,
            unit=unit,
            value=_value(options, kind, name, type_, unit, said),
            options={"message": kind.name} if elsewhere else {},
        )


def _is_said(name: str, said: Fields, options: DeviceOptions) -> bool:
    """Whether a message that shows only by its frames what is in it had everything that the field is made of."""
    return all(source in said for source in options.field.get(name, PLAIN).of or (name,))


def _type(kind: Kind, name: str, rules: FieldRules, said: Fields) -> DataType:
    binary = (kind.options.bytes or {}).get(name)
    if rules.format is not None:
        return DataType.DATETIME
    if binary is not None:
        return binary.type
    if {"true", "false"} & rules.model_fields_set or (rules.bit is not None and rules.bits == 1):
        return DataType.BOOL
    if rules.bit is not None:
        return DataType.UINT8
    if rules.convert or rules.unit_from or rules.places_from or rules.sign_from:
        return DataType.FLOAT64
    raw = said.get(name)
    measured = not kind.options.event and isinstance(raw, bytes) and not rules.of and _MEASURED.fullmatch(raw)
    return DataType.FLOAT64 if measured else DataType.STRING


def _value(options: DeviceOptions, kind: Kind, name: str, type_: DataType, unit: str | None, said: Fields) -> Value:
    has = partial(has_field, kind, rules=options.field)
    try:
        return compile_tag(name, options.field, has, type_, unit, options.encoding)(said)[0] if said else None
    except ImpossibleTag:
        return None


def _level(name: str) -> str:
    """A name as a level of a path."""
    return _NO_LEVEL.sub("_", name).strip("_")[:64] or "field"
