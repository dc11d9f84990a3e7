"""Frames come out of a stream exactly as they were put in, wherever it is cut and whatever lies between."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.serial.framing import Decoder, encode
from drivers.serial.instrument import Framing
from tests.drivers.serial.framings import SHAPES, combinations, framing
from tests.support.effort import times
from tests.support.stopwatch import stopwatch

COMBINATIONS = [*combinations()]
EVERY = pytest.mark.parametrize("frame", [each for _, each in COMBINATIONS], ids=[name for name, _ in COMBINATIONS])
STREAMS = times(200_000)
SLOWEST_S = 0.1


def content_size(frame: Framing) -> int | None:
    """Bytes of content that a frame of fixed length has; None if any will do."""
    if frame.length is None:
        return None
    check = frame.checksum
    if check is None or check.place == "after-end":
        return frame.length
    return frame.length - len(encode(framing({"end": "!"}, check.model_dump(mode="json")), b"")) + 1


def contents(frame: Framing) -> st.SearchStrategy[bytes]:
    """What may stand in a frame: where nothing is escaped, neither start nor end."""
    size = content_size(frame)
    sizes = {"min_size": size, "max_size": size} if size is not None else {"min_size": 4, "max_size": 60}
    if frame.escape or (not frame.end and (frame.checksum or not frame.start)):
        return st.binary(**sizes)
    special = {*frame.start, *itertools.chain(*frame.end)}
    if not frame.end:
        special = set(frame.start)
    return st.lists(st.sampled_from([code for code in range(256) if code not in special]), **sizes).map(bytes)


def with_length(frame: Framing, content: bytes) -> bytes:
    """`content` as it comes back: the length field in it filled in."""
    decoder = Decoder(frame, Counter())
    decoder.sync()
    (back,) = [*decoder.feed(encode(frame, content), 0), *(decoder.pause() if frame.gap_ms else ())]
    return back.content


def junk(frame: Framing) -> st.SearchStrategy[bytes]:
    """Garbage that can't be part of a frame: no start, no end."""
    special = {*frame.start, *itertools.chain(*frame.end), *frame.escape}
    return st.lists(st.sampled_from([code for code in range(256) if code not in special]), max_size=20).map(bytes)


def cut(stream: bytes, cuts: list[int]) -> list[bytes]:
    ends = sorted({0, len(stream), *(each % (len(stream) + 1) for each in cuts)})
    return [stream[start:end] for start, end in itertools.pairwise(ends)]


@EVERY
@given(data=st.data())
@settings(max_examples=25)
def test_frames_survive_any_cutting(frame: Framing, data: st.DataObject) -> None:
    sent = data.draw(st.lists(contents(frame), max_size=5))
    cuts = data.draw(st.lists(st.integers(0, 1000), max_size=30))
    decoder, counters = decoding(frame)
    got = []
    if frame.gap_ms:
        for content in sent:
            for part in cut(encode(frame, content), cuts):
                got += decoder.feed(part, 0)
            got += decoder.pause()
    else:
        for part in cut(b"".join(encode(frame, content) for content in sent), cuts):
            got += decoder.feed(part, 0)
    assert [each.content for each in got] == [with_length(frame, content) for content in sent]
    assert counters["frames"] == len(sent)
    assert not decoder.pending
    assert (counters["skipped_bytes"], counters["bad_checksums"], counters["too_long"]) == (0, 0, 0)


def decoding(frame: Framing) -> tuple[Decoder, Counter[str]]:
    counters: Counter[str] = Counter()
    decoder = Decoder(frame, counters)
    decoder.sync()
    return decoder, counters


STARTED = [(name, each) for name, each in COMBINATIONS if each.start]


@pytest.mark.parametrize("frame", [each for _, each in STARTED], ids=[name for name, _ in STARTED])
@given(data=st.data())
@settings(max_examples=25)
def test_garbage_between_frames_is_left_out_and_counted(frame: Framing, data: st.DataObject) -> None:
    sent = data.draw(st.lists(contents(frame), min_size=1, max_size=4))
    garbage = data.draw(st.lists(junk(frame), min_size=len(sent) + 1, max_size=len(sent) + 1))
    stream = garbage[0] + b"".join(
        encode(frame, content) + after for content, after in zip(sent, garbage[1:], strict=True)
    )
    decoder, counters = decoding(frame)
    got = []
    for part in cut(stream, data.draw(st.lists(st.integers(0, 1000), max_size=30))):
        got += decoder.feed(part, 0)
    assert [each.content for each in got] == [with_length(frame, content) for content in sent]
    assert counters["skipped_bytes"] == sum(map(len, garbage))
    places = [each.at for each in got]
    assert places == [stream.index(encode(frame, sent[0])), *places[1:]] == sorted(places)


CHECKED = [(name, each) for name, each in COMBINATIONS if each.checksum and "sum7" not in name]


@pytest.mark.parametrize("frame", [each for _, each in CHECKED], ids=[name for name, _ in CHECKED])
@given(data=st.data())
@settings(max_examples=15)
def test_one_wrong_bit_never_gives_a_wrong_frame(frame: Framing, data: st.DataObject) -> None:
    content = data.draw(contents(frame))
    good = with_length(frame, content)
    wire = bytearray(encode(frame, content))
    bit = data.draw(st.integers(0, 8 * len(wire) - 1))
    wire[bit // 8] ^= 1 << bit % 8
    decoder, _ = decoding(frame)
    got = [*decoder.feed(bytes(wire), 0), *decoder.pause()] if frame.gap_ms else decoder.feed(bytes(wire), 0)
    skip = frame.checksum.skip if frame.checksum else 0
    assert all(each.content[skip:] == good[skip:] for each in got)


# -- out of step


@pytest.mark.parametrize("shape", ["lines", "fixed without start", "length without start", "pause"])
def test_the_tail_of_a_frame_is_never_taken_for_one(shape: str) -> None:
    """A port is opened in the middle of 12.5: 2.5 must not come out."""
    frame = framing(SHAPES[shape])
    wire = encode(frame, b"\x00\x00      12.5")
    decoder = Decoder(frame, Counter())
    assert decoder.feed(wire[8:], 0.001) == []
    decoder.pause() if decoder.gap_s else None
    assert [each.content for each in [*decoder.feed(wire, 0), *decoder.pause()]] == [
        with_length(frame, b"\x00\x00      12.5")
    ]


def test_after_silence_a_line_is_the_first_one() -> None:
    decoder = Decoder(framing(SHAPES["lines"]), Counter())
    assert [each.content for each in decoder.feed(b"4006381333931\r\n", 0.3)] == [b"4006381333931"]


def test_a_frame_whose_end_got_lost_does_not_swallow_the_next() -> None:
    decoder, counters = decoding(framing(SHAPES["start and end"]))
    assert [each.content for each in decoder.feed(b"$GPGGA,12$GPRMC,34\r\n", 0)] == [b"GPRMC,34"]
    assert counters["skipped_bytes"] == len("$GPGGA,12")


def test_a_start_inside_a_frame_is_part_of_it_if_the_checksum_says_so() -> None:
    frame = framing(SHAPES["stx and etx"], {"kind": "crc16-modbus", "place": "after-end"})
    decoder, _ = decoding(frame)
    assert [each.content for each in decoder.feed(encode(frame, b"a\x02b"), 0)] == [b"a\x02b"]
    assert [each.content for each in decoder.feed(b"\x02lost" + encode(frame, b"next"), 0)] == [b"next"]


def test_a_damaged_character_costs_its_frame_and_no_other() -> None:
    for shape in ("lines", "start and end"):
        frame = framing(SHAPES[shape])
        decoder, _ = decoding(frame)
        wire = encode(frame, b"12.5")
        assert decoder.feed(wire[:3], 0) == []
        decoder.spoil()
        got = decoder.feed(wire[4:] + wire, 0)
        assert [each.content for each in got] == [b"12.5"]


def test_a_pause_drops_an_unfinished_frame_where_that_is_asked_for() -> None:
    frame = framing({"end": "\r"}, gap_ms=50)
    decoder, counters = decoding(frame)
    decoder.feed(b"1234", 0)
    assert [each.content for each in decoder.feed(b"5678\r", 0.06)] == [b"5678"]
    assert counters["skipped_bytes"] == 4
    decoder, _ = decoding(framing({"end": "\r"}))
    decoder.feed(b"1234", 0)
    assert [each.content for each in decoder.feed(b"5678\r", 10.0)] == [b"12345678"]


def test_several_ends_are_alternatives_and_empty_frames_nothing() -> None:
    decoder, _ = decoding(framing({"end": ["\r", "\n"]}))
    assert [each.content for each in decoder.feed(b"a\r\nb\n\n\rc\r", 0)] == [b"a", b"b", b"c"]


def test_what_is_kept_is_the_whole_frame() -> None:
    frame = framing(SHAPES["start and end"], {"kind": "xor", "format": "hex", "separator": "*"}, keep=True)
    decoder, _ = decoding(frame)
    assert [each.content for each in decoder.feed(b"$GPGGA,1*4b\r\n", 0)] == [b"$GPGGA,1*4b\r\n"]


# -- bounds


@pytest.mark.parametrize("size", [1, 7, 4096])
@pytest.mark.parametrize("shape", ["lines", "start and end", "stx and etx, escaped"])
def test_what_never_ends_is_dropped_and_counted(shape: str, size: int) -> None:
    frame = framing(SHAPES[shape], max_length=64)
    decoder, counters = decoding(frame)
    flood = frame.start + b"x" * 10_000
    got = []
    for at in range(0, len(flood), size):
        got += decoder.feed(flood[at : at + size], 0)
        assert len(decoder._buffer) <= 300
    got += decoder.feed(frame.end[0] + encode(frame, b"after"), 0)
    assert [each.content for each in got] == [b"after"]
    assert counters["too_long"] >= 1
    assert counters["skipped_bytes"] >= 10_000


def test_a_frame_may_be_as_long_as_allowed_and_no_longer() -> None:
    frame = framing(SHAPES["start and end"], max_length=64)
    for cuts in ([], [*range(100)]):
        decoder, _ = decoding(frame)
        got = [
            frame
            for part in cut(encode(frame, b"x" * 64) + encode(frame, b"y" * 65), cuts)
            for frame in decoder.feed(part, 0)
        ]
        assert [each.content for each in got] == [b"x" * 64]


def test_a_length_that_can_not_be_is_no_frame() -> None:
    frame = framing(SHAPES["length word"], {"kind": "crc16-modbus"})
    decoder, _ = decoding(frame)
    lie = b"\xaa\xff\xff"
    assert [each.content[2:] for each in decoder.feed(lie + encode(frame, b"\0\0right"), 0)] == [b"right"]


def test_any_stream_is_digested_in_time() -> None:
    """Nothing but frames and counters comes out; no stream takes long; what is held stays bounded."""
    chance = random.Random(20)
    frames = [each for _, each in COMBINATIONS]
    wires = [encode(each, bytes(content_size(each) or 12)) for each in frames]
    alphabets = [
        sorted({*each.start, *itertools.chain(*each.end), *each.escape, 0, 12, 42, 48, 65, 255}) for each in frames
    ]
    decoders = [Decoder(each, Counter()) for each in frames]
    fed = [0] * len(frames)
    with stopwatch() as watch:
        for number in range(STREAMS):
            which = number % len(frames)
            decoder = decoders[which]
            stream = bytes(chance.choices(alphabets[which], k=chance.randrange(40)))
            if chance.random() < 0.3:
                at = chance.randrange(len(stream) + 1)
                stream = stream[:at] + wires[which] + stream[at:]
            with watch:
                decoder.feed(stream, chance.choice((0.0, 0.0, 0.0, 0.5)))
            fed[which] += len(stream)
            assert decoder._base + len(decoder._buffer) == fed[which]
            assert len(decoder._buffer) <= 2 * 1024 + 80
    assert watch.slowest_s < SLOWEST_S


@EVERY
def test_the_worst_stream_is_digested_in_time(frame: Framing) -> None:
    """A whole read full of beginnings, and of lengths that lead far."""
    for filler in (
        frame.start or b"\x00",
        (frame.start or b"\x00") + b"\x00\xff",
        b"".join(frame.end) or b"\x00\x20",
        b"\x10",
    ):
        decoder, _ = decoding(frame)
        flood = (filler * 4096)[:4096]
        least = min(timed(decoder, flood) for _ in range(3))
        assert least < SLOWEST_S


def timed(decoder: Decoder, stream: bytes) -> float:
    begun = time.process_time()
    decoder.feed(stream, 0)
    return time.process_time() - begun
