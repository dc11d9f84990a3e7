"""Shell patterns over names: as fnmatch has them, without what they may cost."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.live.matching import PATTERN, matcher

TEXT = st.text("ab/[]*?!-.\\\n", max_size=12)


@given(TEXT, TEXT)
def test_as_fnmatch(pattern: str, name: str) -> None:
    assert bool(matcher(pattern)(name)) == fnmatch.fnmatchcase(name, pattern)


def test_fnmatch_isnt_made_to_keep_them() -> None:
    before = fnmatch._compile_pattern.cache_info().currsize  # type: ignore[attr-defined]
    for number in range(100):
        matcher(f"dev{number}/*")("dev1/count")
    assert fnmatch._compile_pattern.cache_info().currsize == before  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [("*", True), ("a" * 1000, True), ("a?" * 32, True), ("a*" * 33, False), ("[ab]" * 33, False)],
)
def test_wildcards_are_counted(pattern: str, allowed: bool) -> None:
    assert bool(re.match(PATTERN, pattern)) == allowed
