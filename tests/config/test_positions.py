"""The scanner against the TOML reader: every key path the reader sees has a position, on the right line."""

from __future__ import annotations

from typing import Any

import pytest
import tomli
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.places import KeyPath
from gateway.config.positions import scan


def paths_of(value: Any, path: KeyPath = ()) -> set[KeyPath]:
    """Every key path of a parsed document."""
    found = {path} if path else set()
    match value:
        case dict():
            for key, item in value.items():
                found |= paths_of(item, (*path, key))
        case list():
            for index, item in enumerate(value):
                found |= paths_of(item, (*path, index))
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = 1\n\nb = 2", {("a",): 1, ("b",): 3}),
        ("[a]\nx = 1\n[a.b]\ny = 2", {("a",): 1, ("a", "x"): 2, ("a", "b"): 3, ("a", "b", "y"): 4}),
        ("[[a]]\n[[a]]\nx = 1", {("a",): 1, ("a", 0): 1, ("a", 1): 2, ("a", 1, "x"): 3}),
        (
            "[[a]]\n[[a.b]]\nx=1\n[[a]]\n[[a.b]]\n[a.c]\n",
            {
                ("a",): 1,
                ("a", 0): 1,
                ("a", 0, "b"): 2,
                ("a", 0, "b", 0): 2,
                ("a", 0, "b", 0, "x"): 3,
                ("a", 1): 4,
                ("a", 1, "b"): 5,
                ("a", 1, "b", 0): 5,
                ("a", 1, "c"): 6,
            },
        ),
        ("a.\"b.c\".'d' = 1", {("a",): 1, ("a", "b.c"): 1, ("a", "b.c", "d"): 1}),
        ('"\\u0061" = 1', {("a",): 1}),
        ("a = [\n  1, # one\n  [2,\n3],\n]", {("a",): 1, ("a", 0): 2, ("a", 1): 3, ("a", 1, 0): 3, ("a", 1, 1): 4}),
        ("a = {b = {c = 1}, d = []}", {("a",): 1, ("a", "b"): 1, ("a", "b", "c"): 1, ("a", "d"): 1}),
        ('a = """\n[x]\ny = 1\n"""\nb = 1', {("a",): 1, ("b",): 5}),
        ('a = """""two quotes"""""\nb = 1', {("a",): 1, ("b",): 2}),
        ("a = '''\n'two' ''\n'''\nb = '#' # c\nc = 1", {("a",): 1, ("b",): 4, ("c",): 5}),
        ("a = 1979-05-27 07:32:00 # date\r\nb = 1", {("a",): 1, ("b",): 2}),
        ("# [x]\n[ a . b ] # c\nx.y = 1", {("a",): 2, ("a", "b"): 2, ("a", "b", "x"): 3, ("a", "b", "x", "y"): 3}),
        ("", {}),
    ],
)
def test_known_documents(text: str, expected: dict[KeyPath, int]) -> None:
    assert scan(text) == expected
    assert paths_of(tomli.loads(text)) == set(expected)


def test_a_deeply_nested_value_costs_no_recursion() -> None:
    depth = 300
    text = "a = " + "[" * depth + "]" * depth
    assert set(scan(text)) == paths_of(tomli.loads(text))


# A generator of documents that writes the text and the lines itself, so that it needs no TOML writer.
KEYS = st.sampled_from(["a", "b", "c-d", "0", "e_f", "name", "true"])
QUOTED = st.sampled_from(['"a.b"', "'#'", '"="', '"\\""', "'[x]'", '""', '"ä"', "a", "b"])
SCALARS = st.sampled_from(
    [
        "1", "-0x1F".replace("-", ""), "1.5e3", "true", "inf", "1979-05-27 07:32:00", "07:32:00", "2020-01-01",
        '"x"', "'y'", '"]"', "'}'", '"#"', '"\\" = 1"', '"""\nm\n[no]\nk = 1 """', "'''\n''x'\n'''", '""""q""""', "''",
        '"""a\\\n   b\\""""',
    ]
)  # fmt: skip
GAPS = st.sampled_from(["", " ", "\n", " # ]}\n", "\r\n", "\t\n\n"])


@st.composite
def values(draw: st.DrawFn, depth: int = 3) -> str:
    kind = draw(st.sampled_from(["scalar", "scalar", "array", "table"])) if depth else "scalar"
    if kind == "scalar":
        return draw(SCALARS)
    if kind == "array":
        items = draw(st.lists(values(depth - 1), max_size=3))
        gaps = [draw(GAPS) for _ in range(2 * len(items) + 1)]
        body = ",".join(f"{gaps[2 * i]}{item}{gaps[2 * i + 1]}" for i, item in enumerate(items))
        comma = "," if items and draw(st.booleans()) else ""
        return f"[{body}{comma}{gaps[-1]}]"
    keys = draw(st.lists(KEYS, max_size=3, unique=True))
    return "{" + ", ".join(f"{key} = {draw(values(depth - 1))}" for key in keys) + "}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = []
    for _ in range(draw(st.integers(0, 8))):
        match draw(st.sampled_from(["pair", "pair", "table", "array", "blank"])):
            case "pair":
                key = draw(st.sampled_from([".", " . "])).join(draw(st.lists(QUOTED, min_size=1, max_size=3)))
                lines.append(f"{key} = {draw(values())}{draw(st.sampled_from(['', ' # c', '  ']))}")
            case "table":
                lines.append(f"[{'.'.join(draw(st.lists(QUOTED, min_size=1, max_size=3)))}]")
            case "array":
                lines.append(f"  [[ {' . '.join(draw(st.lists(KEYS, min_size=1, max_size=3)))} ]] # c")
            case _:
                lines.append(draw(st.sampled_from(["", "# x = 1", "\t"])))
    return "\n".join(lines) + draw(st.sampled_from(["", "\n"]))


@given(documents())
@settings(max_examples=400)
def test_every_path_the_reader_sees_has_a_position(text: str) -> None:
    try:
        body = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    assert set(scan(text)) == paths_of(body)


@given(documents(), st.integers(1, 5))
@settings(max_examples=200)
def test_lines_are_absolute(text: str, shift: int) -> None:
    """Blank lines above move every position by as much, and each position's line holds its key."""
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    lines = scan(text)
    assert scan("\n" * shift + text) == {path: line + shift for path, line in lines.items()}
    written = text.split("\n")
    for path, line in lines.items():
        if isinstance(path[-1], str):
            assert path[-1] in written[line - 1] or "\\" in written[line - 1]
