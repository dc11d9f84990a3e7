"""From a group's points to what is listened for and what is asked: once, before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drivers.ble.adverts import FORMATS, Field
from drivers.ble.gatt.codec import Codec, Encoding, codec
from drivers.ble.gatt.profiles import CHARACTERISTICS, short
from drivers.ble.hearing import COMMON
from drivers.ble.options import DeviceOptions, TagOptions
from gateway.driver import Point, PointError, PollGroup
from gateway.model import DataType, Quality

_BY_TYPE = {type_: Encoding(type_) for type_ in DataType if type_ in [*Encoding]} | {
    DataType.STRING: Encoding.UTF8,
    DataType.BYTES: Encoding.BYTES,
}
_FLOATS = (DataType.FLOAT16, DataType.FLOAT32, DataType.FLOAT64)


@dataclass(frozen=True, slots=True)
class Target:
    """A characteristic, by its long UUIDs."""

    characteristic: str
    service: str | None = None

    def __str__(self) -> str:
        of = f" of service {short(self.service)}" if self.service else ""
        return f"characteristic {short(self.characteristic)}{of}"


@dataclass(frozen=True, slots=True)
class Request:
    """One characteristic and every column that comes out of it."""

    target: Target
    notify: bool
    columns: tuple[int, ...]
    codecs: tuple[Codec, ...]


@dataclass(frozen=True)
class BlePlan:
    """Implements :class:`gateway.driver.Plan`. Belongs to one device."""

    group: PollGroup
    errors: Sequence[PointError]
    fields: Mapping[str, tuple[int, ...]]
    """Field of the adverts → the columns it fills. Without those that are events."""
    events: Mapping[str, tuple[int, ...]]
    """The same for those that are."""
    requests: tuple[Request, ...]
    base_qualities: tuple[int, ...]
    """0 for a column that can be planned."""

    @property
    def asks(self) -> bool:
        return bool(self.fields or self.events or self.requests)

    def describe(self) -> Sequence[str]:
        tags = sum(map(len, (*self.fields.values(), *self.events.values())))
        adverts = [f"listen for adverts ({_count(tags)})"] if tags else []
        return adverts + [f"read {request.target} ({_count(len(request.columns))})" for request in self.requests]


def plan(group: PollGroup, options: DeviceOptions) -> BlePlan:
    """Pure: not even the device's key is looked at."""
    errors: list[PointError] = []
    fields: dict[str, list[int]] = {}
    events: dict[str, list[int]] = {}
    parts: dict[Target, list[tuple[int, Codec, bool]]] = {}
    for column, point in enumerate(group.points):
        tag = point.options
        assert isinstance(tag, TagOptions)
        try:
            if tag.characteristic is None:
                assert tag.field is not None
                if group.layout.tags[column].writable:
                    raise ValueError(
                        f"field '{tag.field}' is heard in adverts, which nobody can write: drop 'writable'"
                    )
                found = _check_field(tag.field, point, options)
                if found.event and not group.subscribed:
                    raise ValueError(f"field '{tag.field}' is an event, which can't be polled: drop mode = \"poll\"")
                (events if found.event else fields).setdefault(tag.field, []).append(column)
            else:
                place = Target(tag.characteristic, tag.service)
                parts.setdefault(place, []).append((column, codec_of(point), tag.notify))
        except ValueError as error:
            errors.append(PointError(point.path, str(error)))
    wrong = {error.path for error in errors}
    return BlePlan(
        group,
        tuple(errors),
        {name: tuple(columns) for name, columns in fields.items()},
        {name: tuple(columns) for name, columns in events.items()},
        tuple(
            Request(
                target,
                all(notify for _, _, notify in rows),
                tuple(column for column, _, _ in rows),
                tuple(each for _, each, _ in rows),
            )
            for target, rows in parts.items()
        ),
        tuple(int(Quality.BAD_CONFIGURATION_ERROR) if point.path in wrong else 0 for point in group.points),
    )


def codec_of(point: Point) -> Codec:
    """How a point's characteristic holds it. Raises ValueError, in one sentence."""
    tag = point.options
    assert isinstance(tag, TagOptions)
    assert tag.characteristic is not None
    found: Codec
    _check_single(point)
    standard = CHARACTERISTICS.get(tag.characteristic)
    if tag.field is not None:
        parts = standard.parts if standard else {}
        if tag.field not in parts:
            has = f"it has {', '.join(parts)}" if parts else "it has none"
            raise ValueError(
                f"characteristic {short(tag.characteristic)} has no part '{tag.field}': {has}, or drop 'field'"
            )
        found = parts[tag.field]
    elif standard is not None and not tag.model_fields_set & {"encoding", "byte_order", "start", "length"}:
        found = standard.value
    else:
        encoding = tag.encoding or _BY_TYPE.get(point.type)
        if encoding is None:
            raise ValueError(f"how a {point.type} stands in a characteristic isn't known: give its 'encoding'")
        if tag.length is not None and encoding not in (Encoding.UTF8, Encoding.BYTES):
            raise ValueError(f"'length' is for encoding utf8 and bytes, {encoding} has a fixed one: drop it")
        found = codec(encoding, tag.byte_order, tag.start, tag.length)
    _check_type(f"characteristic {short(tag.characteristic)}", found.type, point.type)
    return found


def _check_field(name: str, point: Point, options: DeviceOptions) -> Field:
    """The field a point wants. Raises ValueError, in one sentence."""
    _check_single(point)
    if name in COMMON:
        _check_type(f"field '{name}'", COMMON[name].type, point.type)
        return COMMON[name]
    if options.format is None:
        raise ValueError(
            f"field '{name}' needs to be told how the device's adverts are to be read: "
            f"write format = 'ruuvi', or what else it is, into the device"
        )
    found = FORMATS[options.format].field(name)
    if found is None:
        known = ", ".join([*FORMATS[options.format].fields, *COMMON])
        raise ValueError(f"format {options.format} has no field '{name}': it has {known}")
    _check_type(f"field '{name}'", found.type, point.type)
    return found


def _check_single(point: Point) -> None:
    if point.count is not None:
        raise ValueError("Bluetooth tags are single values: drop 'count'")


def _check_type(what: str, has: DataType, wanted: DataType) -> None:
    """A value must come through unchanged."""
    if has is wanted:
        return
    if has.is_integer and wanted.is_integer:
        low, high = wanted.bounds
        fits = low <= has.bounds[0] and has.bounds[1] <= high
    else:
        fits = has in _FLOATS and wanted in _FLOATS and _FLOATS.index(has) < _FLOATS.index(wanted)
    if not fits:
        raise ValueError(f'{what} is {has}: it can\'t be had as {wanted}, write type = "{has}"')


def _count(tags: int) -> str:
    return f"{tags} tag{'s' if tags != 1 else ''}"
