"""The encoder's laws: payloads are JSON that reads back as the values that went in, under the contract's topics."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import DataType, Layout, Quality, Record, Scalar, Tag, Value, is_bad
from gateway.northbound.uns import Encoder, Messages, Unpublishable, topic_problem
from tests.northbound.toy import READ_NS, layout, record

TIME_MS = READ_NS // 1_000_000


def encoder(granularity: str = "tag", profile: str = "full", retain: bool = True) -> Encoder:
    return Encoder(root="uns", granularity=granularity, profile=profile, retain=retain)


def topics(messages: Messages) -> list[str]:
    for topic in messages.topics[: len(messages.payloads)]:
        assert int.from_bytes(topic[:2], "big") == len(topic) - 2
    return [topic[2:].decode() for topic in messages.topics[: len(messages.payloads)]]


def bodies(messages: Messages) -> list[Any]:
    return [json.loads(payload) for payload in messages.payloads]


PAIR = layout(Tag("motor/speed", DataType.FLOAT64, "Hz"), Tag("state", DataType.STRING))


def test_tag_full() -> None:
    messages = encoder().encode(record(PAIR, [71.5, "007"], seq=1842))
    assert topics(messages) == ["uns/v1/acme/plant1/filler1/motor/speed", "uns/v1/acme/plant1/filler1/state"]
    assert list(messages.payloads) == [
        b'{"timestamp_ms":1733904005123,"value":71.5,"quality":0,"unit":"Hz","seq":1842,"boot":7}',
        b'{"timestamp_ms":1733904005123,"value":"007","quality":0,"seq":1843,"boot":7}',
    ]
    assert messages.retain


def test_asset_full() -> None:
    messages = encoder("asset").encode(record(PAIR, [71.5, "007"], seq=1001))
    assert topics(messages) == ["uns/v1/acme/plant1/filler1/_values/fast"]
    assert list(messages.payloads) == [
        b'{"timestamp_ms":1733904005123,"seq":1001,"boot":7,"values":{"motor/speed":71.5,"state":"007"}}'
    ]


@pytest.mark.parametrize(
    ("granularity", "profile", "expected"),
    [
        ("tag", "umh", [{"timestamp_ms": TIME_MS, "value": 71.5}, {"timestamp_ms": TIME_MS, "value": None}]),
        ("tag", "value", [71.5, None]),
        ("asset", "umh", [{"timestamp_ms": TIME_MS, "motor/speed": 71.5, "state": None}]),
        ("asset", "value", [{"motor/speed": 71.5, "state": None}]),
    ],
)
def test_lesser_profiles(granularity: str, profile: str, expected: list[Any]) -> None:
    taken = record(PAIR, [71.5, None], qualities=[0, Quality.BAD_TIMEOUT], trusted=False, backfill=True)
    assert bodies(encoder(granularity, profile).encode(taken)) == expected


def test_flags_appear_only_when_they_apply() -> None:
    taken = record(PAIR, [1.0, "a"], trusted=False, backfill=True, source_ns=[READ_NS + 5, 4_000_000])
    tag = encoder().encode(taken)
    assert not tag.retain
    common = {"timestamp_ms": TIME_MS, "quality": 0, "boot": 7, "hist": True, "clock": "untrusted"}
    assert bodies(tag) == [
        {**common, "value": 1.0, "unit": "Hz", "seq": 1},
        {**common, "value": "a", "seq": 2, "source_ms": 4},
    ]
    (asset,) = bodies(encoder("asset").encode(taken))
    assert asset == {
        "timestamp_ms": TIME_MS,
        "seq": 1,
        "boot": 7,
        "values": {"motor/speed": 1.0, "state": "a"},
        "hist": True,
        "clock": "untrusted",
        "source_ms": {"state": 4},
    }


def test_retain_is_for_live_values_where_configured() -> None:
    assert not encoder(retain=False).encode(record(PAIR, [1.0, "a"])).retain
    assert not encoder().encode(record(PAIR, [1.0, "a"], backfill=True)).retain


def test_only_what_is_left_is_encoded_with_its_own_numbers() -> None:
    of = layout(*(Tag(f"t{i}", DataType.UINT16) for i in range(6)))
    taken = record(of, [10, 11, 12, 13, 14], columns=[0, 1, 3, 4, 5], seq=100)
    taken.only = [0, 1, 4]
    tag = encoder().encode(taken)
    assert [topic.rpartition("/")[2] for topic in topics(tag)] == ["t0", "t1", "t5"]
    assert [(body["seq"], body["value"]) for body in bodies(tag)] == [(100, 10), (101, 11), (104, 14)]
    assert tag.positions([0, 2]) == [0, 4]
    asset = encoder("asset").encode(taken)
    assert [(body["seq"], body["values"]) for body in bodies(asset)] == [(100, {"t0": 10, "t1": 11}), (104, {"t5": 14})]
    assert asset.positions([1, 0]) == [0, 1, 4]
    taken.only = []
    assert not encoder().encode(taken).payloads
    assert not encoder("asset").encode(taken).payloads


def test_an_empty_batch_has_no_messages() -> None:
    assert not encoder().encode(record(PAIR, [], columns=[])).payloads
    assert not encoder("asset").encode(record(PAIR, [], columns=[])).payloads


@pytest.mark.parametrize("granularity", ["tag", "asset"])
def test_what_json_cannot_say_becomes_null_and_bad(granularity: str) -> None:
    of = layout(*(Tag(f"t{i}", DataType.FLOAT64) for i in range(4)), Tag("t4", DataType.STRING))
    got = bodies(encoder(granularity).encode(record(of, [math.nan, math.inf, None, 1.5, "\udc80"])))
    if granularity == "tag":
        values, codes = [body["value"] for body in got], [body["quality"] for body in got]
    else:
        values = list(got[0]["values"].values())
        codes = [got[0]["quality"].get(path, 0) for path in got[0]["values"]]
    assert values == [None, None, None, 1.5, None]
    assert codes == [Quality.BAD, Quality.BAD, Quality.BAD, 0, Quality.BAD_DECODING_ERROR]


def test_text_in_a_layout_without_any_is_not_torn_at_its_commas() -> None:
    """A driver's defect must not shift values between tags."""
    of = layout(Tag("a", DataType.UINT16), Tag("b", DataType.UINT16))
    assert [body["value"] for body in bodies(encoder().encode(record(of, ["1,2", 3])))] == ["1,2", 3]


@pytest.mark.parametrize(("length", "fine"), [(65_535, True), (65_536, False)])
def test_topics_have_a_length_limit(length: int, fine: bool) -> None:
    of = layout(Tag("x" * (length - len("uns/v1/acme/plant1/filler1/")), DataType.UINT16))
    if fine:
        assert len(topics(encoder().encode(record(of, [1])))[0]) == length
    else:
        with pytest.raises(Unpublishable, match="65536 bytes, more than the 65535"):
            encoder().encode(record(of, [1]))


@pytest.mark.parametrize("path", ["a+b", "a#", "a\0"])
def test_topics_have_forbidden_characters(path: str) -> None:
    assert "MQTT forbids" in str(topic_problem(path))
    with pytest.raises(Unpublishable, match="MQTT forbids"):
        encoder().encode(record(layout(Tag(path, DataType.UINT16)), [1]))


def structures(values: Sequence[Value]) -> Layout:
    return layout(*(Tag(f"t{i}", DataType.JSON) for i in range(len(values))))


@pytest.mark.parametrize("granularity", ["tag", "asset"])
def test_structures_are_embedded_as_they_stand(granularity: str) -> None:
    texts = ['{"id":9007199254740993,"x":[1.50,null]}', "[]", '"a,b"', " 7 ", "1e2"]
    (body, *_) = encoder(granularity).encode(record(structures(texts), texts)).payloads
    expected = texts[0].encode()
    assert (b'"value":%b,' if granularity == "tag" else b'{"t0":%b,"t1":[]') % expected in body
    for payload in encoder(granularity).encode(record(structures(texts), texts)).payloads:
        assert "quality" not in json.loads(payload) or json.loads(payload)["quality"] == 0


@pytest.mark.parametrize("granularity", ["tag", "asset"])
def test_what_is_no_structure_becomes_null_and_bad(granularity: str) -> None:
    texts = ["{", "NaN", '{"a":1}garbage', '"\udc80"', " null ", "", None, 7]
    bad = Quality.BAD_DECODING_ERROR
    got = bodies(encoder(granularity).encode(record(structures(texts), texts)))
    if granularity == "tag":
        values, codes = [body["value"] for body in got], [body["quality"] for body in got]
    else:
        values, codes = list(got[0]["values"].values()), list(got[0]["quality"].values())
    assert values == [None] * 8
    assert codes == [bad, bad, bad, bad, Quality.BAD, bad, Quality.BAD, bad]


def test_arrays_are_json_arrays() -> None:
    of = layout(
        Tag("wave", DataType.FLOAT32, "m/s2", count=3),
        Tag("total", DataType.UINT64, count=0),
        Tag("names", DataType.STRING, count=0),
        Tag("speed", DataType.UINT16),
    )
    values: list[Value] = [(0.5, math.nan, None), (2**53, 2**53 + 1), ("007", "a,b", "null"), 5]
    got = bodies(encoder().encode(record(of, values)))
    assert [(body["value"], body["quality"]) for body in got] == [
        ([0.5, None, None], Quality.UNCERTAIN_SUB_NORMAL),
        ([9007199254740992, "9007199254740993"], 0),
        (["007", "a,b", "null"], 0),
        (5, 0),
    ]
    (body,) = bodies(encoder("asset").encode(record(of, values[1:], columns=[1, 2, 3])))
    assert body["values"] == {"total": [2**53, str(2**53 + 1)], "names": ["007", "a,b", "null"], "speed": 5}
    assert "quality" not in body


def test_an_array_in_a_layout_without_any_is_not_torn_at_its_commas() -> None:
    of = layout(Tag("a", DataType.UINT16), Tag("b", DataType.UINT16))
    assert [body["value"] for body in bodies(encoder().encode(record(of, [(1, 2), 3])))] == [[1, 2], 3]


OLD_NS = 1_600_000_000_000_000_000


@pytest.mark.parametrize("profile", ["full", "umh"])
def test_a_value_of_the_past_has_its_own_time(profile: str) -> None:
    of = layout(*(Tag(f"t{i}", DataType.UINT16) for i in range(5)))
    times = [OLD_NS, OLD_NS, OLD_NS + 1_000_000, None, OLD_NS]
    taken = record(of, [10, 11, 12, 13, 14], seq=100, source_ns=times, history=True, trusted=False)
    taken.only = [0, 1, 2, 4]
    old_ms = OLD_NS // 1_000_000
    tag = encoder(profile=profile).encode(taken)
    asset = encoder("asset", profile).encode(taken)
    assert not tag.retain
    assert not asset.retain
    assert [topic.rpartition("/")[2] for topic in topics(tag)] == ["t0", "t1", "t2", "t4"]
    assert [body["timestamp_ms"] for body in bodies(tag)] == [old_ms, old_ms, old_ms + 1, old_ms]
    assert [body["timestamp_ms"] for body in bodies(asset)] == [old_ms, old_ms + 1, old_ms]
    assert [tag.positions([i]) for i in range(4)] == [[0], [1], [2], [4]]
    assert [asset.positions([i]) for i in range(3)] == [[0, 1], [2], [4]]
    if profile == "full":
        common = {"timestamp_ms": old_ms, "boot": 7, "hist": True}
        assert bodies(tag)[1] == {**common, "value": 11, "quality": 0, "seq": 101}
        assert bodies(asset)[0] == {**common, "seq": 100, "values": {"t0": 10, "t1": 11}}


@pytest.mark.parametrize("granularity", ["tag", "asset"])
def test_an_event_is_not_retained(granularity: str) -> None:
    assert encoder(granularity).encode(record(PAIR, [1.0, "a"])).retain
    assert not encoder(granularity).encode(record(PAIR, [1.0, "a"], event=True)).retain


def test_a_value_of_the_past_without_a_time_keeps_the_gateways() -> None:
    taken = record(PAIR, [1.0, "a"], source_ns=[None, None], history=True, trusted=False)
    (body, _) = bodies(encoder().encode(taken))
    assert (body["timestamp_ms"], body["hist"], body["clock"]) == (TIME_MS, True, "untrusted")


_JSON_TEXT = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner | st.none(), max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
).map(json.dumps)
_VALUES: dict[DataType, st.SearchStrategy[Scalar]] = {
    DataType.BOOL: st.booleans(),
    DataType.INT16: st.integers(-(2**15), 2**15 - 1),
    DataType.INT64: st.integers(-(2**63), 2**63 - 1),
    DataType.UINT64: st.integers(0, 2**64 - 1),
    DataType.FLOAT64: st.floats(),
    DataType.STRING: st.text(st.characters(exclude_categories=[])),
    DataType.BYTES: st.binary(max_size=4).map(bytes.hex),
    DataType.DATETIME: st.datetimes().map(lambda moment: f"{moment.isoformat()}Z"),
    DataType.JSON: _JSON_TEXT,
}
_CODES = st.sampled_from([0, 0, 0, 0x00960000, 0x408F0000, 0x800A0000])


def _value(tag: Tag) -> st.SearchStrategy[Value]:
    one = _VALUES[tag.type]
    return one if tag.count is None else st.lists(st.none() | one, max_size=3).map(tuple)


@st.composite
def _records(draw: st.DrawFn) -> Record:
    types = draw(st.lists(st.sampled_from(list(_VALUES)), min_size=1, max_size=8))
    of = layout(
        *(
            Tag(f"t{i}", kind, draw(st.none() | st.just('a"b')), count=draw(st.sampled_from([None, None, 0])))
            for i, kind in enumerate(types)
        )
    )
    columns = draw(st.none() | st.lists(st.sampled_from(range(len(types))), unique=True).map(sorted))
    chosen = range(len(types)) if columns is None else columns
    values = [draw(st.none() | _value(of.tags[column])) for column in chosen]
    codes = draw(st.none() | st.lists(_CODES, min_size=len(values), max_size=len(values)))
    times = draw(st.none() | st.lists(st.none() | st.integers(0, 2**61), min_size=len(values), max_size=len(values)))
    taken = record(of, values, seq=draw(st.integers(1, 2**40)), columns=columns, qualities=codes, source_ns=times)
    taken.only = (
        draw(st.none() | st.lists(st.sampled_from(range(len(values))), unique=True).map(sorted)) if values else None
    )
    return taken


def faithful(got: Any, code: int, sent: Value, kind: DataType, sent_code: int) -> None:
    """`got` is `sent` as the contract says it, and its quality doesn't flatter it."""
    if isinstance(sent, tuple):
        faithful_array(got, code, sent, kind, sent_code)
        return
    unsayable = isinstance(sent, str) and any(0xD800 <= ord(character) < 0xE000 for character in sent)
    if kind is DataType.JSON and sent is not None:
        assert isinstance(sent, str)
        assert (got, code) == (json.loads(sent), sent_code)
        return
    if sent is None or unsayable or (isinstance(sent, float) and not math.isfinite(sent)):
        assert got is None
        assert is_bad(code)
        assert code == sent_code or not is_bad(sent_code) or unsayable
        return
    assert code == sent_code
    if isinstance(sent, int) and not isinstance(sent, bool) and abs(sent) > 2**53 and kind.exceeds_json:
        assert got == str(sent)
    else:
        assert got == sent
        assert type(got) is type(sent)
        if isinstance(sent, float):
            assert str(got) == str(sent), "also the sign of zero"


def faithful_array(got: Any, code: int, sent: tuple[Value, ...], kind: DataType, sent_code: int) -> None:
    """As :func:`faithful` for every element; one that says nothing makes the whole uncertain at least."""
    if got is None:
        assert code == Quality.BAD_DECODING_ERROR
        assert kind.is_text
        return
    assert len(got) == len(sent)
    for element, before in zip(got, sent, strict=True):
        if before is not None and not (isinstance(before, float) and not math.isfinite(before)):
            faithful(element, 0, before, DataType.STRING if kind.is_text else kind, 0)
        else:
            assert element is None
            assert code == (sent_code if sent_code >= 0x40000000 else Quality.UNCERTAIN_SUB_NORMAL)
    assert code == sent_code or None in got


def expected(taken: Record) -> Sequence[tuple[int, str, DataType, Value, int]]:
    batch = taken.batch
    columns = range(len(batch.values)) if batch.columns is None else batch.columns
    positions = range(len(batch.values)) if taken.only is None else taken.only
    tags = [batch.layout.tags[columns[position]] for position in positions]
    codes = [0 if batch.qualities is None else batch.qualities[position] for position in positions]
    return [
        (taken.seq + position, tag.path, tag.type, batch.values[position], code)
        for position, tag, code in zip(positions, tags, codes, strict=True)
    ]


@given(_records())
def test_tag_messages_read_back_as_what_was_sent(taken: Record) -> None:
    messages = encoder().encode(taken)
    wanted = expected(taken)
    assert [topic.rpartition("/")[2] for topic in topics(messages)] == [path for _, path, _, _, _ in wanted]
    for body, (seq, _, kind, value, code) in zip(bodies(messages), wanted, strict=True):
        assert body["seq"] == seq
        faithful(body["value"], body["quality"], value, kind, code)


@given(_records())
def test_asset_messages_read_back_as_what_was_sent(taken: Record) -> None:
    got: list[tuple[int, str, Any, int]] = []
    for body in bodies(encoder("asset").encode(taken)):
        poor = body.get("quality", {})
        assert all(poor.values())
        got += [
            (body["seq"] + offset, path, value, poor.get(path, 0))
            for offset, (path, value) in enumerate(body["values"].items())
        ]
    for (seq, path, value, code), wanted in zip(got, expected(taken), strict=True):
        assert (seq, path) == wanted[:2]
        faithful(value, code, wanted[3], wanted[2], wanted[4])


def test_layouts_are_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    one = encoder()
    one.encode(record(PAIR, [1.0, "a"]))
    monkeypatch.setattr("gateway.northbound.uns.asset_topic", lambda *_: pytest.fail("prepared again"))
    one.encode(record(Layout.from_json(PAIR.to_json()), [1.0, "a"]))
