"""The Unified Namespace encoder: from a record to MQTT messages, prepared once per layout.

Columns go through orjson as a whole; what is known beforehand (topics, names, units) is bytes already. The contract of
topics and payloads is ``docs/explanation/unified-namespace.md``.

Laws: a value is never changed silently. An integer of a 64-bit tag beyond ±2^53 becomes a string of its digits; what
JSON can't say (NaN, infinities, text that isn't Unicode, a structure that isn't JSON) becomes null with a bad quality,
or an uncertain one where it is an element of an array; strings stay strings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import orjson

from gateway.model import Batch, DataType, Layout, Quality, Record, Value, is_bad, is_good
from gateway.northbound.mqtt.packets import MAX_STRING, string

VERSION = "v1"
"""Of this contract; it is a level of every topic."""

JSON_SAFE = 1 << 53
"""Integers of at most this size are exact in every JSON reader (RFC 8259 §6)."""

_CACHED_LAYOUTS = 4096

_Sayable: TypeAlias = Value | orjson.Fragment
"""What orjson takes: a value, or JSON as it stands."""


class Unpublishable(Exception):
    """A layout's topics can't be MQTT topics. The message says why."""


@dataclass(frozen=True, slots=True)
class Messages:
    """What one record becomes. Message *i* is ``topics[i]`` with ``payloads[i]``."""

    topics: Sequence[bytes]
    """Length-prefixed, as they stand in a packet."""
    payloads: Sequence[bytes]
    retain: bool
    spans: Sequence[range] | None
    """Positions in the batch that message *i* carries; None means message *i* carries value *i*."""

    def positions(self, indexes: Sequence[int]) -> list[int]:
        """Positions in the batch of what the messages `indexes` carry, ascending."""
        if self.spans is None:
            return sorted(indexes)
        return sorted(position for index in indexes for position in self.spans[index])


def asset_topic(root: str, location: Sequence[str]) -> str:
    """``{root}/v1/{location…}``: what every topic of an asset, or of the gateway itself, begins with."""
    return "/".join((root, VERSION, *location))


def retained_topics(layout: Layout, root: str, granularity: str) -> Sequence[str]:
    """The topics that the live values of a layout are published under."""
    base = asset_topic(root, layout.location)
    if granularity == "asset":
        return [f"{base}/_values/{layout.group}"]
    return [f"{base}/{tag.path}" for tag in layout.tags]


def topic_problem(topic: str) -> str | None:
    """Why this can't be the topic of a publish (MQTT 5.0 §4.7), or None."""
    if (size := len(topic.encode(errors="replace"))) > MAX_STRING:
        return f"the topic {topic[:60]}… has {size} bytes, more than the {MAX_STRING} MQTT allows: shorten its levels"
    if any(character in topic for character in "+#\0"):
        return f"the topic {topic!r} contains +, # or NUL, which MQTT forbids: rename the tag or its location"
    return None


class Encoder:
    """Encodes records at one granularity and profile. Keeps what it prepared per layout."""

    def __init__(self, *, root: str, granularity: str, profile: str, retain: bool) -> None:
        """`granularity` is ``tag`` or ``asset``, `profile` ``full``, ``umh`` or ``value``."""
        self._root = root
        self._kind = _KINDS[granularity]
        self._profile = profile
        self._retain = retain
        self._prepared: dict[str, _Prepared] = {}

    def encode(self, record: Record) -> Messages:
        """The record's messages in order; none for an empty one. Raises Unpublishable.

        Only live values are retained: one that was stored first, or is of the past, must never replace a newer one, and
        an event isn't what holds until the next.
        """
        layout = record.batch.layout
        prepared = self._prepared.get(layout.digest)
        if prepared is None:
            if len(self._prepared) >= _CACHED_LAYOUTS:
                self._prepared.clear()
            prepared = self._prepared[layout.digest] = self._kind(layout, self._root, self._profile)
        if record.batch.history:
            return _of_the_past(prepared, record)
        return prepared.encode(record, self._retain and not record.backfill and not record.batch.event)


class _Prepared:
    """What is known about a layout before its first record."""

    def __init__(self, layout: Layout, root: str, profile: str) -> None:
        self._profile = profile
        tags = tuple(enumerate(layout.tags))
        arrays = [(i, tag) for i, tag in tags if tag.count is not None]
        self._wide = frozenset(i for i, tag in tags if tag.type.exceeds_json and tag.count is None)
        self._structures = frozenset(i for i, tag in tags if tag.type is DataType.JSON and tag.count is None)
        self._arrays = frozenset(i for i, _ in arrays)
        self._wide_arrays = frozenset(i for i, tag in arrays if tag.type.exceeds_json)

    def encode(self, record: Record, retain: bool) -> Messages:
        raise NotImplementedError

    def _ready(self, batch: Batch) -> tuple[Sequence[_Sayable], Sequence[int] | None]:
        """Values and qualities, as orjson is to take them."""
        values, codes = batch.values, batch.qualities
        if self._wide:
            values = self._widened(batch)
        if self._structures or self._arrays:
            return self._unfolded(batch, list(values), [0] * len(values) if codes is None else list(codes))
        return values, codes

    def _widened(self, batch: Batch) -> Sequence[Value]:
        """The values with integers that JSON readers would round as strings of their digits."""
        values = batch.values
        beyond = [position for position in _positions(batch, self._wide) if _is_beyond(values[position])]
        if not beyond:
            return values
        widened = list(values)
        for position in beyond:
            widened[position] = str(values[position])
        return widened

    def _unfolded(self, batch: Batch, out: list[_Sayable], codes: list[int]) -> tuple[list[_Sayable], list[int] | None]:
        """Structures as the JSON they are, arrays with elements that JSON readers understand."""
        for position in _positions(batch, self._structures):
            if out[position] is not None:
                out[position], code = _embedded(out[position])
                codes[position] = code or codes[position]
        for position in _positions(batch, self._wide_arrays):
            if isinstance(value := out[position], tuple):
                out[position] = tuple(str(element) if _is_beyond(element) else element for element in value)
        for position in _positions(batch, self._arrays):
            value = out[position]
            if isinstance(value, tuple) and is_good(codes[position]) and any(map(_is_null, value)):
                codes[position] = Quality.UNCERTAIN_SUB_NORMAL
        return out, codes if any(codes) else None


class _TagMessages(_Prepared):
    """One message per value."""

    def __init__(self, layout: Layout, root: str, profile: str) -> None:
        super().__init__(layout, root, profile)
        self._topics = [_topic(topic) for topic in retained_topics(layout, root, "tag")]
        self._units = [b"" if tag.unit is None else b',"unit":' + orjson.dumps(tag.unit) for tag in layout.tags]
        self._good = [b',"quality":0' + unit + b',"seq":' for unit in self._units]
        # A row of numbers and booleans can be split at its commas after it was encoded as a whole.
        self._splits = not layout.bulky

    def encode(self, record: Record, retain: bool) -> Messages:
        batch = record.batch
        count = len(batch.values)
        topics: Sequence[bytes] = self._topics
        if batch.columns is not None:
            topics = [topics[column] for column in batch.columns]
        if not count:
            return Messages((), (), retain, None)
        texts, codes = self._texts(batch)
        if self._profile == "value":
            payloads = texts
        elif self._profile == "umh":
            head = b'{"timestamp_ms":%d,"value":' % (batch.read_ns // 1_000_000)
            payloads = [b"%b%b}" % (head, text) for text in texts]
        else:
            payloads = self._full(record, texts, codes)
        if record.only is None:
            return Messages(topics, payloads, retain, None)
        only = record.only
        return Messages(
            [topics[position] for position in only],
            [payloads[position] for position in only],
            retain,
            [range(position, position + 1) for position in only],
        )

    def _full(self, record: Record, texts: list[bytes], codes: Sequence[int] | None) -> list[bytes]:
        batch = record.batch
        count = len(texts)
        time_ms = batch.read_ns // 1_000_000
        head = b'{"timestamp_ms":%d,"value":' % time_ms
        numbers = orjson.dumps(list(range(record.seq, record.seq + count)))[1:-1].split(b",")
        tail = b',"boot":%d%b' % (record.boot, _flags(record))
        middles: Sequence[bytes] = self._good
        columns = batch.columns
        if codes is not None:
            units = self._units if columns is None else [self._units[column] for column in columns]
            middles = [b',"quality":%d%b,"seq":' % pair for pair in zip(codes, units, strict=True)]
        elif columns is not None:
            middles = [middles[column] for column in columns]
        if batch.source_ns is None:
            tail += b"}"
            return [
                b"".join((head, text, middle, number, tail))
                for text, middle, number in zip(texts, middles, numbers, strict=True)
            ]
        tails = [
            tail + (b"}" if ns is None or ns // 1_000_000 == time_ms else b',"source_ms":%d}' % (ns // 1_000_000))
            for ns in batch.source_ns
        ]
        return [b"".join((head, *parts)) for parts in zip(texts, middles, numbers, tails, strict=True)]

    def _texts(self, batch: Batch) -> tuple[list[bytes], Sequence[int] | None]:
        """Each value as JSON, and the qualities, None if all are good."""
        values, codes = self._ready(batch)
        try:
            body = orjson.dumps(values) if self._splits else b""
            texts = body[1:-1].split(b",")
            if len(texts) != len(values) or not self._splits:
                texts = [orjson.dumps(value) for value in values]
            elif codes is None and b"null" not in body:
                return texts, None
        except TypeError:
            values, codes = _sayable(values, codes)
            texts = [orjson.dumps(value) for value in values]
        return texts, _honest([text == b"null" for text in texts], codes)


class _AssetMessages(_Prepared):
    """One message per poll of a group."""

    def __init__(self, layout: Layout, root: str, profile: str) -> None:
        super().__init__(layout, root, profile)
        self._topics = tuple(_topic(topic) for topic in retained_topics(layout, root, "asset"))
        self._paths = [tag.path for tag in layout.tags]

    def encode(self, record: Record, retain: bool) -> Messages:
        count = len(record.batch.values)
        if not count or (record.only is not None and not record.only):
            return Messages((), (), retain, None)
        if record.only is None:
            return Messages(self._topics, (self._payload(record),), retain, (range(count),))
        # Sequence numbers in one message are contiguous, so what is left of a record goes out run by run.
        spans = _runs(record.only)
        payloads = [self._payload(_part(record, span)) for span in spans]
        return Messages(self._topics * len(spans), payloads, retain, spans)

    def _payload(self, record: Record) -> bytes:
        batch = record.batch
        paths = self._paths
        if batch.columns is not None:
            paths = [paths[column] for column in batch.columns]
        values, codes = self._ready(batch)
        try:
            body = orjson.dumps(dict(zip(paths, values, strict=True)))
        except TypeError:
            values, codes = _sayable(values, codes)
            body = orjson.dumps(dict(zip(paths, values, strict=True)))
        if self._profile == "value":
            return body
        time_ms = batch.read_ns // 1_000_000
        if self._profile == "umh":
            return b'{"timestamp_ms":%d,%b' % (time_ms, body[1:])
        quality = b""
        if codes is not None or b"null" in body:
            codes = _honest([_is_null(value) for value in values], codes)
            if codes is not None and any(codes):
                poor = {path: code for path, code in zip(paths, codes, strict=True) if code}
                quality = b',"quality":' + orjson.dumps(poor)
        tail = _flags(record)
        if batch.source_ns is not None:
            times = {path: ns // 1_000_000 for path, ns in zip(paths, batch.source_ns, strict=True) if ns is not None}
            if differing := {path: ms for path, ms in times.items() if ms != time_ms}:
                tail += b',"source_ms":' + orjson.dumps(differing)
        return b'{"timestamp_ms":%d,"seq":%d,"boot":%d,"values":%b%b%b}' % (
            *(time_ms, record.seq, record.boot),
            *(body, quality, tail),
        )


_KINDS: dict[str, type[_Prepared]] = {"tag": _TagMessages, "asset": _AssetMessages}


def _topic(text: str) -> bytes:
    if problem := topic_problem(text):
        raise Unpublishable(problem)
    return string(text)


def _flags(record: Record) -> bytes:
    batch = record.batch
    late = record.backfill or batch.history
    return (b',"hist":true' if late else b"") + (b"" if batch.trusted else b',"clock":"untrusted"')


def _positions(batch: Batch, columns: frozenset[int]) -> Sequence[int] | frozenset[int]:
    """Where in the batch values of these columns stand."""
    if batch.columns is None or not columns:
        return columns
    return [position for position, column in enumerate(batch.columns) if column in columns]


def _is_beyond(value: Value) -> bool:
    return isinstance(value, int) and not -JSON_SAFE <= value <= JSON_SAFE


def _is_null(value: _Sayable) -> bool:
    return value is None or (isinstance(value, float) and not math.isfinite(value))


def _embedded(value: _Sayable) -> tuple[_Sayable, int]:
    """(JSON text as a part of more JSON, 0), or None with a bad quality if it is no JSON, or only ``null``."""
    if not isinstance(value, str):
        return None, Quality.BAD_DECODING_ERROR
    try:
        found = orjson.loads(value)
    except orjson.JSONDecodeError:
        return None, Quality.BAD_DECODING_ERROR
    return (None, Quality.BAD) if found is None else (orjson.Fragment(value), 0)


def _honest(nulls: Sequence[bool], codes: Sequence[int] | None) -> Sequence[int] | None:
    """Qualities under which every null is bad; None if all are good."""
    if codes is None:
        return [Quality.BAD if null else 0 for null in nulls] if any(nulls) else None
    return [Quality.BAD if null and not is_bad(code) else code for null, code in zip(nulls, codes, strict=True)]


def _sayable(values: Sequence[_Sayable], codes: Sequence[int] | None) -> tuple[list[_Sayable], list[int]]:
    """What JSON can't say becomes null with BadDecodingError; the rest stays."""
    said: list[_Sayable] = []
    qualities = list(codes) if codes is not None else [0] * len(values)
    for position, value in enumerate(values):
        try:
            orjson.dumps(value)
        except TypeError:
            said.append(None)
            qualities[position] = Quality.BAD_DECODING_ERROR
        else:
            said.append(value)
    return said, qualities


def _runs(positions: Sequence[int]) -> list[range]:
    """Ascending positions as contiguous ranges."""
    runs: list[range] = []
    for position in sorted(positions):
        if runs and runs[-1].stop == position:
            runs[-1] = range(runs[-1].start, position + 1)
        else:
            runs.append(range(position, position + 1))
    return runs


def _of_the_past(prepared: _Prepared, record: Record) -> Messages:
    """Messages under the time of their values instead of the batch's: neighbours of one time are a batch of their own.

    Nothing of the past is retained: it isn't what is so now.
    """
    topics: list[bytes] = []
    payloads: list[bytes] = []
    spans: list[range] = []
    for span in _moments(record):
        part = _part(record, span)
        batch = part.batch
        if batch.source_ns is not None and (ns := batch.source_ns[0]) is not None:
            part.batch = replace(batch, read_ns=ns, source_ns=None, trusted=True)
        messages = prepared.encode(part, retain=False)
        topics += messages.topics
        payloads += messages.payloads
        spans += [range(position, position + 1) for position in span] if messages.spans is None else [span]
    return Messages(topics, payloads, False, spans)


def _moments(record: Record) -> Iterator[range]:
    """What of a record is to be delivered, as runs of contiguous values of one time."""
    times = record.batch.source_ns
    for run in _runs(range(len(record.batch.values)) if record.only is None else record.only):
        start = run.start
        for position in range(run.start + 1, run.stop + 1):
            if position == run.stop or (times is not None and times[position] != times[start]):
                yield range(start, position)
                start = position


def _part(record: Record, span: range) -> Record:
    """The contiguous values at `span` as a record of their own."""
    batch, cut = record.batch, slice(span.start, span.stop)
    columns = range(len(batch.values)) if batch.columns is None else batch.columns
    part = Batch(
        layout=batch.layout,
        read_ns=batch.read_ns,
        mono_ns=batch.mono_ns,
        values=batch.values[cut],
        qualities=batch.qualities[cut] if batch.qualities is not None else None,
        columns=columns[cut],
        source_ns=batch.source_ns[cut] if batch.source_ns is not None else None,
        trusted=batch.trusted,
        history=batch.history,
        event=batch.event,
    )
    return Record(record.id, record.boot, record.seq + span.start, part, record.backfill)
