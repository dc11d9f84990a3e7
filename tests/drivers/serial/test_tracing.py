"""What a trace says about frames of which nothing but the bytes is known."""

from __future__ import annotations

from drivers.serial.tracing import Tracer, dissect
from gateway.wire import Direction, Frame


def frame(data: bytes, note: str = "") -> Frame:
    return Frame(0, 0, Direction.RECEIVED, data, "serial", note=note)


def test_control_characters_have_their_names_and_text_stays_text() -> None:
    found = dissect(frame(b"\x02+01.5 kg\x03\xf7\r\n"), None)
    assert found.summary == "<STX>+01.5 kg<ETX>\\xf7<CR><LF>"
    assert [(part.name, part.offset, part.length, part.text) for part in found.parts] == [
        ("control", 0, 1, "STX, start of text"),
        ("text", 1, 8, "+01.5 kg"),
        ("control", 9, 1, "ETX, end of text"),
        ("bytes", 10, 1, "f7"),
        ("control", 11, 1, "CR, carriage return"),
        ("control", 12, 1, "LF, line feed"),
    ]


def test_a_damaged_character_is_a_fault() -> None:
    found = dissect(frame(b"", "a character was lost or damaged: parity, framing or break"), None)
    assert found.fault
    assert "parity" in found.summary


async def test_what_comes_in_pieces_is_shown_as_one_and_before_what_is_sent_next() -> None:
    frames: list[Frame] = []
    tracer = Tracer(frames.append)
    tracer.received(b"S S  ", whole=False)
    tracer.received(b"1.5 g\r\n", whole=True)
    tracer.received(b"half", whole=False)
    tracer.sent(b"SI\r\n")
    assert [(each.direction.value, each.data) for each in frames] == [
        ("received", b"S S  1.5 g\r\n"),
        ("received", b"half"),
        ("sent", b"SI\r\n"),
    ]
