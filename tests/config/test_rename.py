"""Rename patterns: what each does, and that the outcome is always a name or says why not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.names import Mendable, check_tag_path
from gateway.config.rename import Found, rename

ITEM = Found("Line 1/DB10_MotorSpeed", original="Motor speed (act.)", address="hr:100", type="uint16")


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{path}", "Line_1/DB10_MotorSpeed"),
        ("{name}", "DB10_MotorSpeed"),
        ("{parent}/x", "Line_1/x"),
        ("{name|replace:DB10_:|snake}", "motor_speed"),
        ("{name|replace:DB10_:|camel}", "motorSpeed"),
        ("{path|lower}", "line_1/db10_motorspeed"),
        ("{name|upper}", "DB10_MOTORSPEED"),
        ("filler/{original|snake}", "filler/motor_speed_act"),
        ("{address}", "hr_100"),
        ("{type}/{n:3}", "uint16/001"),
        ("{path|last:1}", "DB10_MotorSpeed"),
        ("Temperatur/Kühlung", "Temperatur/Kuehlung"),
        ("{name|strip:DB10_}", "MotorSpeed"),
    ],
)
def test_what_a_pattern_makes(pattern: str, expected: str) -> None:
    assert rename(pattern, [ITEM])[0].path == expected


@pytest.mark.parametrize(
    "pattern", ["", "  ", "{", "a}b", "{nam}", "{name|shout}", "{n:x}", "{name|replace:a}", "{path|last:0}", "x" * 201]
)
def test_a_pattern_that_cant_be_understood_is_refused(pattern: str) -> None:
    with pytest.raises(Mendable) as caught:
        rename(pattern, [ITEM])
    assert caught.value.hint


def test_names_that_meet_are_told() -> None:
    first, second, third = rename("{name}", [Found("a/x"), Found("b/X"), Found("c/y")], taken=["Y"])
    assert first.problem is None
    assert second.problem == "it is the name of item 1, too"
    assert third.problem == 'the device has a tag "Y" already'


@given(st.text(max_size=40), st.lists(st.text(max_size=30), max_size=3))
def test_the_outcome_is_a_name_or_says_why_not(pattern: str, paths: list[str]) -> None:
    try:
        outcomes = rename(pattern, [Found(path) for path in paths])
    except Mendable:
        return
    for outcome in outcomes:
        if outcome.problem is None:
            assert check_tag_path(outcome.path) == outcome.path
