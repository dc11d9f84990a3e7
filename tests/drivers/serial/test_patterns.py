from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.serial import patterns
from tests.support.stopwatch import Stopwatch


@pytest.mark.parametrize(
    "text",
    [
        r"S (?P<state>[SD]) +(?P<weight>-?[0-9.]+) +(?P<unit>\w+)",
        r"(?P<a>[^,]*),(?P<b>[^,]*),(?P<c>[^,]*),(?P<d>[^,]*)",
        r"(?P<code>.+)",
        r"(?:\d{1,3},)+(?P<last>\d{1,3})",
        r"(?P<head>.*):(?P<tail>.*)",
        r"(?:[a-z]++ ?)++(?P<n>\d+)",
        r"(?P<t>T[+-]\d+)?(?P<h>H\d+)?",
        r"(?P<a>ON|OFF)(?P<b>kg|k|g)?",
        r"(?P<x>(a|ab)*)c",
    ],
)
def test_patterns_as_people_write_them_are_taken(text: str) -> None:
    patterns.check(text)


@pytest.mark.parametrize(
    "text",
    [
        r"(?P<x>a+)+b",
        r"(?P<x>(a|a)*)b",
        r"(?P<x>(\w+\s?)*)!",
        r"(?P<x>.*.*.*)=",
        r"(?P<x>(?:\d+\.?)+)x",
        r"(?P<x>(?:a?){40})a{40}",
        r"(?P<x>(?i:(?:aA?)+))b",
        r"(?P<x>(.*)*)b",
        r"(?P<x>(?:x|y)+(?:y|z)+(?:z|y)+)!",
    ],
)
def test_patterns_that_could_take_for_ever_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="could take for ever on a long frame"):
        patterns.check(text)


def test_what_is_taken_for_short_frames_may_be_refused_for_long_ones() -> None:
    text = r"(?P<a>.*):(?P<b>[0-9]+)"
    patterns.check(text, 1024)
    with pytest.raises(ValueError, match="could take for ever"):
        patterns.check(text, 4096)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("(?P<x>[", "isn't a regular expression"), ("(?P<x>€)", "beyond one byte"), ("(?P<x>a", "isn't a regular")],
)
def test_what_is_no_pattern_is_one_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        patterns.check(text)


ATOMS = st.sampled_from(["a", "b", "[ab]", ".", "(?:a|b)", "(?:a|ab)", "a?", "\\w", "[^a]"])
REPEATS = st.sampled_from(["", "*", "+", "?", "{1,3}", "{2}", "*+", "++"])


@st.composite
def expressions(draw: st.DrawFn, depth: int = 2) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 3))):
        nested = depth and draw(st.booleans())
        atom = f"(?:{draw(expressions(depth - 1))})" if nested else draw(ATOMS)
        parts.append(f"(?:{atom}){draw(REPEATS)}")
    return "".join(parts)


@given(expressions(), st.sampled_from([b"a", b"ab", b"b", b"aab"]), st.sampled_from([b"", b"!", b"c"]))
@settings(max_examples=400)
def test_whatever_is_taken_is_quick(text: str, filler: bytes, end: bytes) -> None:
    try:
        patterns.check(text)
    except ValueError:
        return
    frame = (filler * 1024)[:1023] + end
    compiled = re.compile(text.encode(), re.DOTALL)
    watch = Stopwatch()
    with watch:
        compiled.fullmatch(frame)
    assert watch.slowest_s < 0.5
