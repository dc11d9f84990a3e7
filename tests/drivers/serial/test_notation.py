from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.serial.notation import parse, show


@pytest.mark.parametrize(
    ("text", "data"),
    [
        ("SI\r\n", b"SI\r\n"),
        (r"SI\r\n", b"SI\r\n"),
        ("<STX>01<ETX>", b"\x0201\x03"),
        (r"\x02A\t\0\\\<CR>", b"\x02A\t\x00\\<CR>"),
        ("hex: 02 41 0d", b"\x02A\r"),
        ("\u0002ÿ", b"\x02\xff"),
        ("a<b", b"a<b"),
        ("<DLE><SP><DEL>", b"\x10 \x7f"),
        ("", b""),
    ],
)
def test_bytes_are_written_as_people_write_them(text: str, data: bytes) -> None:
    assert parse(text) == data


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("hex: 0", "write pairs of digits"),
        (r"\q", r"'\\q' in"),
        ("<FOO>", "'<FOO>' in '<FOO>' is no control character"),
        ("€", "more than one byte"),
    ],
)
def test_what_is_not_understood_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        parse(text)


@given(st.binary())
def test_what_is_shown_is_what_was_written(data: bytes) -> None:
    for each in (data, b"hex:" + data):
        assert parse(show(each)) == each
