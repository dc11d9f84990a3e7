"""Every type, single and as an array, from the driver's batch to the broker's bytes, by memory and by disk."""

from __future__ import annotations

import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.driver import Point, PollGroup
from gateway.model import Batch, DataType, Layout, Quality, Record, Scalar, Tag, Value
from gateway.northbound.uns import Encoder
from gateway.pipeline import Stage
from gateway.settings import GroupSettings, TagRules
from tests.journal.toys import HandJournal

COUNTS = (None, 0, 2)
TAGS = tuple(
    Tag(f"{kind}/{'one' if count is None else count}", kind, count=count)
    for kind in DataType
    if kind is not DataType.FLOAT16
    for count in COUNTS
    if count is None or kind not in (DataType.BYTES, DataType.JSON)
)
LAYOUT = Layout("filler1", "fast", ("acme", "plant1", "filler1"), TAGS)
GROUP = GroupSettings(
    PollGroup("fast", LAYOUT, tuple(Point(tag.path, tag.type, None, tag.count) for tag in TAGS), 1.0),
    tuple(TagRules(tag.type, tag.type, count=tag.count) for tag in TAGS),
)
SOURCE_NS = 1_600_000_000_000_000_000

TEXTS: dict[DataType, st.SearchStrategy[Scalar]] = {
    DataType.STRING: st.text(max_size=8),
    DataType.BYTES: st.binary(max_size=8).map(bytes.hex),
    DataType.DATETIME: st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    DataType.JSON: st.dictionaries(
        st.text(max_size=4), st.none() | st.integers() | st.text(max_size=4), max_size=3
    ).map(json.dumps),
}


def scalars(kind: DataType) -> st.SearchStrategy[Scalar]:
    if kind is DataType.BOOL:
        return st.booleans()
    if kind.is_integer:
        return st.integers(*kind.bounds)
    if kind.is_float:
        return st.floats(width=32 if kind is DataType.FLOAT32 else 64)
    return TEXTS[kind]


def values(tag: Tag) -> st.SearchStrategy[Value]:
    one = scalars(tag.type)
    if tag.count is None:
        return one
    return st.lists(one | st.none(), min_size=tag.count, max_size=tag.count or 4).map(tuple)


def is_usable(element: Scalar | None) -> bool:
    return element is not None and not (isinstance(element, float) and not math.isfinite(element))


def as_json(kind: DataType, element: Scalar | None) -> Any:
    if not is_usable(element):
        return None
    if kind is DataType.JSON:
        return json.loads(str(element))
    return str(element) if isinstance(element, int) and abs(element) > 2**53 else element


def expected(tag: Tag, wire: Value, quality: int) -> tuple[Any, int]:
    """What the contract of the namespace says of a value read with this quality."""
    if quality >= 0x80000000:
        return None, quality
    if not isinstance(wire, tuple):
        usable = is_usable(wire)
        failure = (
            Quality.BAD_SENSOR_FAILURE if isinstance(wire, float) and math.isnan(wire) else Quality.BAD_OUT_OF_RANGE
        )
        return as_json(tag.type, wire), quality if usable else failure
    elements = [as_json(tag.type, element) for element in wire]
    if None not in elements:
        return elements, quality
    if any(element is not None for element in elements):
        return elements, quality or Quality.UNCERTAIN_SUB_NORMAL
    return None, expected(tag, wire[0], 0)[1] if wire[0] is not None else Quality.BAD


def delivered(records: Sequence[Record], granularity: str) -> dict[str, tuple[Any, int, int]]:
    """Path → (value, quality, time in ms) of every message."""
    encoder = Encoder(root="uns", granularity=granularity, profile="full", retain=True)
    found: dict[str, tuple[Any, int, int]] = {}
    for record in records:
        messages = encoder.encode(record)
        for topic, payload in zip(messages.topics, messages.payloads, strict=False):
            body = json.loads(payload)
            at_ms = body["timestamp_ms"]
            if granularity == "tag":
                path = topic[2:].decode().removeprefix("uns/v1/acme/plant1/filler1/")
                found[path] = body["value"], body["quality"], body.get("source_ms", at_ms)
            else:
                codes, times = body.get("quality", {}), body.get("source_ms", {})
                for path, value in body["values"].items():
                    found[path] = value, codes.get(path, 0), times.get(path, at_ms)
    return found


def through_the_disk(batch: Batch) -> list[Record]:
    """Stored, and found again by the next run of the gateway."""
    with tempfile.TemporaryDirectory() as folder:
        hand = HandJournal(Path(folder) / "j")
        hand.journal.append(batch)
        hand.settle_down()
        hand.kill()
        hand.open()
        records = hand.drain(hand.journal.feed("plant"))
        hand.store.close()
        return records


@settings(max_examples=40)
@given(st.data(), st.booleans(), st.booleans())
def test_every_type_and_count_arrives_as_it_was_read(data: st.DataObject, stored: bool, history: bool) -> None:
    wire = [data.draw(values(tag)) for tag in TAGS]
    code = st.sampled_from([0, 0, 0, Quality.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE, Quality.BAD_TIMEOUT])
    codes = [data.draw(code) for _ in TAGS]
    times = [SOURCE_NS + i % 3 * 1_000_000 for i in range(len(TAGS))]
    published = Stage(GROUP).process(Batch(LAYOUT, SOURCE_NS + 10**12, 5, wire, codes, source_ns=times))
    assert published is not None
    published = replace(published, history=history)
    records = through_the_disk(published) if stored else [Record(1, 1, 1, published)]
    for granularity in ("tag", "asset"):
        got = delivered(records, granularity)
        assert list(got) == [tag.path for tag in TAGS]
        for tag, value, quality, at_ns in zip(TAGS, wire, codes, times, strict=True):
            assert got[tag.path] == (*expected(tag, value, quality), at_ns // 1_000_000), tag
