"""A prepared read: which messages a group needs, and how their fields become columns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from drivers.common.quoting import quoted
from drivers.serial.conversion import MAX_DEPTH, PLAIN, Convert, Fields, compile_tag
from drivers.serial.instrument import FieldRules
from drivers.serial.message import Kind
from drivers.serial.options import DeviceOptions, TagOptions
from gateway.driver import Point, PointError, PollGroup
from gateway.model import Batch, Quality, Tag, Value

_NAMED = 12
"""Names that an error lists."""


@dataclass(frozen=True, slots=True)
class Share:
    """The columns of a group that one message fills."""

    kind: Kind
    columns: tuple[int, ...]
    converts: tuple[Convert, ...]
    whole: bool
    """Whether these are all columns of the group, in order."""

    def batch(self, group: PollGroup, fields: Fields, read_ns: int, mono_ns: int) -> Batch:
        """What a frame says of these columns."""
        values: list[Value] = []
        qualities: list[int] = []
        for convert in self.converts:
            value, quality = convert(fields)
            values.append(value)
            qualities.append(quality)
        return Batch(
            group.layout,
            read_ns,
            mono_ns,
            values,
            qualities if any(qualities) else None,
            None if self.whole else self.columns,
            event=self.kind.options.event,
        )


class SerialPlan:
    """Implements :class:`gateway.driver.Plan`. Belongs to one device."""

    def __init__(self, group: PollGroup, options: DeviceOptions, kinds: Sequence[Kind]) -> None:
        self.group = group
        errors: list[PointError] = []
        wanted: dict[str, list[tuple[int, Convert]]] = {}
        self.base = [int(Quality.BAD_CONFIGURATION_ERROR)] * len(group.points)
        """The quality of each column as long as no message has filled it."""
        for column, (point, tag) in enumerate(zip(group.points, group.layout.tags, strict=True)):
            try:
                found = _located(point, tag, options, kinds, subscribed=group.subscribed)
            except ValueError as error:
                errors.append(PointError(point.path, str(error)))
                continue
            self.base[column] = int(Quality.BAD_WAITING_FOR_INITIAL_DATA if found else Quality.BAD_NOT_SUPPORTED)
            for kind, convert in found:
                wanted.setdefault(kind.name, []).append((column, convert))
        self.errors: Sequence[PointError] = tuple(errors)
        self.shares = tuple(
            Share(
                kind,
                tuple(column for column, _ in wanted[kind.name]),
                tuple(convert for _, convert in wanted[kind.name]),
                [column for column, _ in wanted[kind.name]] == list(range(len(group.points))),
            )
            for kind in kinds
            if kind.name in wanted
        )
        self.by_kind = {share.kind.name: share for share in self.shares}
        self.events = tuple(column for share in self.shares if share.kind.options.event for column in share.columns)
        """Columns of which nothing is current: what comes is an event."""
        self.talks = any(not share.kind.options.event for share in self.shares)
        """Whether lasting silence says something."""

    @property
    def asks(self) -> bool:
        return bool(self.shares)

    def describe(self) -> Sequence[str]:
        lines = []
        for share in self.shares:
            count = len(share.columns)
            tags = f"{count} tag{'' if count == 1 else 's'}"
            if self.group.subscribed:
                lines.append(f"listen for {share.kind.name} ({tags})")
            else:
                lines.append(f"{share.kind.describe()} ({tags})")
        return lines


def _located(
    point: Point, tag: Tag, options: DeviceOptions, kinds: Sequence[Kind], *, subscribed: bool
) -> list[tuple[Kind, Convert]]:
    """The messages that fill a point, and how. Raises ValueError, in one sentence with its mend."""
    wish = point.options
    if not isinstance(wish, TagOptions):
        raise TypeError(f"point {point.path!r} carries {type(wish).__name__}, not serial tag options")
    if point.count is not None:
        raise ValueError("a field of a frame is a single value: drop 'count'")
    if wish.command is not None and wish.command not in options.command:
        raise ValueError(f"there is no command {quoted(wish.command)}: {_choice(options.command, 'commands')}")
    if tag.writable and wish.command is None:
        raise ValueError("a writable tag needs a command that writes it: give command, or drop 'writable'")
    if wish.field is None:
        if not tag.writable:
            raise ValueError("a tag without a field is there to be written: add writable = true, or give field")
        return []
    name, rules = wish.field, options.field.get(wish.field, PLAIN)
    found = [kind for kind in kinds if wish.message in (None, kind.name) and has_field(kind, name, options.field)]
    if not found:
        raise ValueError(_not_there(name, wish.message, options, kinds))
    if subscribed:
        silent = found[0].name
        found = [kind for kind in found if kind.options.comes_by_itself]
        if not found:
            raise ValueError(
                f'message {quoted(silent)} comes on request only: write mode = "poll" and interval_ms in the group'
            )
    elif asked := next((kind for kind in found if kind.request), None):
        found = [asked]
    elif event := next((kind for kind in found if kind.options.event), None):
        raise ValueError(
            f"message {quoted(event.name)} is an event, which polling would miss: drop mode and interval_ms"
        )
    for kind in found:
        binary = (kind.options.bytes or {}).get(name)
        if binary is not None and binary.type is not point.type and not rules.format:
            raise ValueError(f'field {quoted(name)} is read as {binary.type}: write type = "{binary.type}"')
    if wish.sent_unit is not None and rules.unit_from is None:
        raise ValueError(f"field {quoted(name)} comes without a unit: drop 'sent_unit'")
    unit = wish.sent_unit or tag.unit
    return [
        (
            kind,
            compile_tag(
                name, options.field, partial(has_field, kind, rules=options.field), point.type, unit, options.encoding
            ),
        )
        for kind in found
    ]


def has_field(kind: Kind, name: str, rules: Mapping[str, FieldRules], depth: int = 0) -> bool:
    """Whether a message has everything that a field is made of."""
    if kind.fields is None:
        return True
    rule = rules.get(name, PLAIN)
    if depth > MAX_DEPTH:
        return False
    needed = [*(rule.of or (name,)), *filter(None, (rule.sign_from, rule.places_from, rule.unit_from))]
    if not all(
        source in kind.fields if source == name else has_field(kind, source, rules, depth + 1) for source in needed
    ):
        return False
    # Of the fields that say how good it is, a message has its own.
    return not rule.status or any(has_field(kind, source, rules, depth + 1) for source in rule.status)


def _not_there(field: str, message: str | None, options: DeviceOptions, kinds: Sequence[Kind]) -> str:
    if message is not None and message not in options.message:
        return f"there is no message {quoted(message)}: {_choice(options.message, 'messages')}"
    meant = [kind for kind in kinds if message in (None, kind.name)]
    known = dict.fromkeys(name for kind in meant for name in kind.fields or ())
    known |= dict.fromkeys(
        name for name in options.field if any(has_field(kind, name, options.field) for kind in meant)
    )
    where = f"message {quoted(message)} has" if message else "there is"
    return f"{where} no field {quoted(field)}: {_choice(known, 'fields')}"


def _choice(known: Iterable[str], what: str) -> str:
    names = list(known)
    if not names:
        return f"the device has no {what}, describe one"
    shown = ", ".join(names[:_NAMED])
    return f"use one of {shown}{f' and {len(names) - _NAMED} more' if len(names) > _NAMED else ''}"
