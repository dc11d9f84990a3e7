"""Edits of TOML and CSV text: exactly what is meant changes, everything else is byte for byte as it was."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import tomli
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.config.csvedit import CsvText
from gateway.config.places import KeyPath
from gateway.config.splice import CannotEdit, TomlText, same
from tests.config.test_positions import documents, paths_of

TEXT = """\
# All of plant 1

# One link is one connection
[[link]]
name = "filler"   # the filler's

# ---- machines ----

# the first one
[[device]]
name = "a"
link = "filler"
breaker.failures = 3  # few

  [[device.group]]
  name = "fast"
  # not too fast
  interval_ms = 1000

    [[device.group.tag]]
    name = "t1"
    report = {deadband = 0.2, max_interval_ms = 5}
    # scale = 0.1

# the second one
[[device]]
name = "b"
words = [
  1, # one
  2, # two
]

[[link]]
name = "late"
[link.breaker]
failures = 1
"""


def edited(text: str, method: str, path: KeyPath, *value: Any) -> str:
    return str(getattr(TomlText(text), method)(path, *value))


@pytest.mark.parametrize(
    ("method", "path", "value", "old", "new"),
    [
        ("set", ("device", 0, "group", 0, "interval_ms"), 250, "interval_ms = 1000", "interval_ms = 250"),
        ("set", ("device", 0, "group", 0, "mode"), "poll", "1000\n", '1000\n  mode = "poll"\n'),
        ("set", ("device", 0, "breaker", "failures"), 5, "failures = 3", "failures = 5"),
        ("set", ("device", 0, "breaker", "retry_ms"), 5, "# few\n", "# few\nbreaker.retry_ms = 5\n"),
        ("set", ("link", 1, "breaker", "retry_ms"), 9.5, "failures = 1\n", "failures = 1\nretry_ms = 9.5\n"),
        ("set", ("link", 0, "tls"), {"ca x": "y"}, "filler's\n", 'filler\'s\ntls = {"ca x" = "y"}\n'),
        ("set", ("device", 0, "group", 0, "tag", 0, "report", "deadband"), 1, "0.2", "1"),
        ("set", ("device", 0, "group", 0, "tag", 0, "report", "x"), True, "= 5}", "= 5, x = true}"),
        ("set", ("device", 1, "words", 1), 3, "2, #", "3, #"),
        ("set", ("journal",), {"max_mb": 5}, "failures = 1\n", "failures = 1\n\n[journal]\nmax_mb = 5\n"),
        ("set", ("version",), 1, "\n# One link", "\nversion = 1\n# One link"),
        ("remove", ("device", 0, "group", 0, "interval_ms"), None, "  interval_ms = 1000\n", ""),
        ("remove", ("device", 0, "breaker"), None, "breaker.failures = 3  # few\n", ""),
        ("remove", ("device", 0, "group", 0, "tag", 0, "report", "deadband"), None, "deadband = 0.2, ", ""),
        ("remove", ("device", 0, "group", 0, "tag", 0, "report", "max_interval_ms"), None, ", max_interval_ms = 5", ""),
        ("remove", ("device", 1, "words", 0), None, "1, # one\n  ", ""),
        ("remove", ("device", 1, "words", 1), None, "2, # two", " # two"),
        ("remove", ("link", 1, "breaker"), None, "[link.breaker]\nfailures = 1\n", ""),
        ("remove", ("device", 1), None, TEXT[TEXT.index("# the second") : TEXT.index('[[link]]\nname = "l')], ""),
        ("remove", ("device", 0), None, TEXT[TEXT.index("# the first") : TEXT.index("# the second")], ""),
        ("remove", ("link", 0), None, TEXT[TEXT.index("# One") : TEXT.index("# ---")], ""),
        (
            "remove",
            ("device", 0, "group", 0, "tag", 0),
            None,
            TEXT[TEXT.index("    [[device.group.tag]]") : TEXT.index("# the second")],
            "",
        ),
        ("append", ("device", 1, "words"), [{"a": 1}], "2, # two\n", "2, # two\n  {a = 1},\n"),
        (
            "append",
            ("device", 0, "group", 0, "tag"),
            [{"name": "t2", "report": {"deadband": 1}}],
            "max_interval_ms = 5}\n",
            "max_interval_ms = 5}\n\n"
            '    [[device.group.tag]]\n    name = "t2"\n    report = {deadband = 1}\n',
        ),
        (
            "append",
            ("device", 1, "group"),
            [{"name": "g", "tag": [{"name": "t", "x": [1]}]}, {"name": "h"}],
            "]\n\n[[link]]",
            ']\n\n  [[device.group]]\n  name = "g"\n\n    [[device.group.tag]]\n    name = "t"\n    x = [1]\n\n'
            '  [[device.group]]\n  name = "h"\n\n[[link]]',
        ),
        ("append", ("sink",), [{"name": "s"}], "= 1\n", '= 1\n\n[[sink]]\nname = "s"\n'),
        ("append", ("link",), [{"name": "s"}], "failures = 1\n", 'failures = 1\n\n[[link]]\nname = "s"\n'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_one_edit(method: str, path: KeyPath, value: Any, old: str, new: str, newline: str) -> None:
    text, old, new = (each.replace("\n", newline) for each in (TEXT, old, new))
    if method != "append" or "failures = 1" not in old:
        assert text.count(old) == 1, "the case must say where"
    at = text.rindex(old)
    result = edited(text, method, path, *([] if value is None else [value]))
    assert result == text[:at] + new + text[at + len(old) :]


@pytest.mark.parametrize(
    ("text", "method", "path", "value", "result"),
    [
        ("", "append", ("a",), [{"name": "x"}], '[[a]]\nname = "x"\n'),
        ("", "set", ("a",), {"b": 1}, "[a]\nb = 1\n"),
        ("", "set", ("a",), 1, "a = 1\n"),
        ("a = 1", "set", ("b",), 1, "a = 1\nb = 1\n"),
        ("a = []", "append", ("a",), [{"b": 1}, {"c": 2}], "a = [{b = 1}, {c = 2}]"),
        ("a = [1 # x\n]", "remove", ("a", 0), None, "a = [ # x\n]"),
        ("a = {}", "set", ("a", "b"), "", 'a = {b = ""}'),
        ("a = { b = 1 }", "set", ("a", "c"), 2, "a = { b = 1, c = 2 }"),
        ("a = { b.c = 1, b.d = 2 }", "remove", ("a", "b"), None, "a = {  }"),
        ("a = [\n 1\n]", "append", ("a",), [{}], "a = [\n 1,\n {}\n]"),
        ("a = [\n 1 # x\n]", "append", ("a",), [{}], "a = [\n 1, # x\n {}\n]"),
        ("[[a]]\n[[a]]", "remove", ("a", 1), None, "[[a]]\n"),
        ("[a.b]\nc = 1\n", "remove", ("a", "b"), None, ""),
        ("x = 'y'\n[a]\n", "set", ("a", "k y"), [1, "2"], 'x = \'y\'\n[a]\n"k y" = [1, "2"]\n'),
    ],
)
def test_forms_that_people_write(text: str, method: str, path: KeyPath, value: Any, result: str) -> None:
    assert edited(text, method, path, *([] if value is None else [value])) == result


def test_what_can_not_be_edited_is_not_edited() -> None:
    with pytest.raises(CannotEdit):
        edited("[a.b]\nc = 1\n", "append", ("a", "x"), [{"y": 1}])
    with pytest.raises(TypeError):
        edited("a = 1", "set", ("a",), None)


JSON = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab .", max_size=2), inner, max_size=3),
    max_leaves=5,
)


def untouched(before: str, after: str) -> tuple[str, str]:
    """What is left of both texts without what they have in common at the beginning and at the end."""
    start = next(
        (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(map(len, (before, after)))
    )
    rest = min(len(before), len(after)) - start
    end = next((i for i in range(rest) if before[-1 - i] != after[-1 - i]), rest)
    return before[start : len(before) - end], after[start : len(after) - end]


@given(documents(), JSON, st.data())
def test_any_document_set(text: str, value: Any, data: st.DataObject) -> None:
    """Setting what is written as one value changes its bytes and no others, and the result says what was meant."""
    try:
        body = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    document = TomlText(text)
    paths = sorted((path for path in paths_of(body) if document.holds_one_value(path)), key=str)
    assume(paths)
    path = data.draw(st.sampled_from(paths))
    result = document.set(path, value)
    expected = copy.deepcopy(body)
    node: Any = expected
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    assert same(tomli.loads(result), expected)
    start, end = document._outline.values[path]
    assert result.startswith(text[:start])
    assert result.endswith(text[end:])


@given(documents(), st.data())
def test_any_document_new_key_or_removal(text: str, data: st.DataObject) -> None:
    """Whatever people write, the result is right or refused, and it is one piece that is put in or taken out."""
    try:
        body = tomli.loads(text)
    except tomli.TOMLDecodeError:
        return
    document = TomlText(text)
    paths = sorted(paths_of(body), key=str)
    path = data.draw(st.sampled_from(paths)) if paths else ()
    tables = [each for each in [(), *paths] if isinstance(value_at(body, each), dict)]
    table = data.draw(st.sampled_from(tables))
    try:
        result = document.set((*table, "a new key"), 1)
    except CannotEdit:
        pass
    else:
        old, new = untouched(text, result)
        assert not old.strip("\r\n")
        assert '"a new key" = 1' in new or "a new key" in result
        assert comments(result) == comments(text)
    if path:
        try:
            result = document.remove(path)
        except CannotEdit:
            return
        assert set(comments(result)) <= set(comments(text))
        kept = iter(text)
        assert all(character in kept for character in result), "only taken out"


def value_at(body: Any, path: KeyPath) -> Any:
    for key in path:
        body = body[key]
    return body


def comments(text: str) -> list[str]:
    return re.findall(r"# c\b", text)


@st.composite
def plants(draw: st.DrawFn) -> str:
    """Configurations as people write them, with a comment at every place and every line told apart by its number."""
    lines: list[str] = []

    def line(text: str, indent: str) -> None:
        trailing = draw(st.sampled_from(["", f"  # c{len(lines)}"]))
        lines.append(f"{indent}{text}{trailing}")

    def gap(indent: str) -> None:
        for _ in range(draw(st.integers(0, 2))):
            lines.append(draw(st.sampled_from(["", f"{indent}# c{len(lines)}"])))

    step = draw(st.sampled_from(["", "  ", "\t"]))
    for device in range(draw(st.integers(1, 3))):
        gap("")
        line("[[device]]", "")
        line(f'name = "d{device}"', "")
        gap("")
        if draw(st.booleans()):
            line("breaker.failures = 3", "")
        for group in range(draw(st.integers(0, 2))):
            gap(step)
            line("[[device.group]]", step)
            line(f'name = "g{group}"', step)
            gap(step)
            for tag in range(draw(st.integers(0, 2))):
                gap(2 * step)
                line("[[device.group.tag]]", 2 * step)
                line(f'name = "t{tag}"', 2 * step)
                line("report = {deadband = 1, max_interval_ms = 5}", 2 * step)
        gap("")
        if draw(st.booleans()):
            line("[[link]]", "")
            line(f'name = "l{device}"', "")
    gap("")
    newline = draw(st.sampled_from(["\n", "\r\n"]))
    return newline.join(lines) + draw(st.sampled_from(["", newline]))


@given(plants(), st.data())
def test_a_plant_can_always_be_edited(text: str, data: st.DataObject) -> None:
    """Every edit works, every comment survives an addition, and a removal takes none but its own and the one above."""
    body = tomli.loads(text)
    path = data.draw(st.sampled_from(sorted((path for path in paths_of(body) if isinstance(path[-1], int)), key=str)))
    numbers = re.findall(r"# c\d+", text)
    document = TomlText(text)
    for result in (
        document.set((*path, "new"), {"x": 1}),
        document.append((*path, "group"), [{"name": "new", "tag": [{"name": "t"}]}]),
    ):
        assert re.findall(r"# c\d+", result) == numbers
        old, _ = untouched(text, result)
        assert not old.strip()
    result = document.remove(path)
    left = re.findall(r"# c\d+", result)
    assert [number for number in numbers if number in set(left)] == left, "in order"
    lines = text.splitlines()
    first = next(i for i in document._outline.statements if i.path[: len(path)] == path)
    last = [i for i in document._outline.statements if i.path[: len(path)] == path][-1]
    first_line, last_line = text.count("\n", 0, first.start), text.count("\n", 0, last.end)
    above = first_line
    while above and lines[above - 1].strip().startswith("#"):
        above -= 1
    below = last_line + 1
    while below < len(lines) and lines[below].strip().startswith("#"):
        below += 1
    own = set(re.findall(r"# c\d+", "\n".join(lines[above:below])))
    assert set(numbers) - set(left) <= own
    assert set(re.findall(r"# c\d+", "\n".join(lines[first_line : last_line + 1]))).isdisjoint(left)


CSV = 'name,address;x, unit \r\n"a ""b""",  hr:1;2 ,Cel\r\n\r\nt,2,\r\n'


def test_cells_keep_what_is_around_them() -> None:
    csv = CsvText(CSV)
    assert csv.columns == ("name", "address;x", "unit")
    assert csv.rows == [{"name": 'a "b"', "address;x": "hr:1;2", "unit": "Cel"}, {"name": "t", "address;x": "2"}]
    assert csv.set(0, {"address;x": "9"}) == CSV.replace("hr:1;2", "9")
    assert csv.set(1, {"unit": 'm,"'}) == CSV.replace("t,2,", 't,2,"m,"""')
    assert csv.set(0, {"name": "n", "unit": ""}) == CSV.replace('"a ""b"""', "n").replace("Cel", "")
    assert csv.set(1, {"new": "1"}) == CSV.replace("unit ", "unit,new ").replace("Cel", "Cel,").replace(
        "2,\r", "2,,1\r"
    )
    assert csv.append([{"name": "z", "unit": "m"}]) == CSV + "z,,m\r\n"
    assert csv.remove(0) == CSV.replace('"a ""b""",  hr:1;2 ,Cel\r\n', "")
    assert CsvText("a;b").append([{"a": "1"}]) == "a;b\n1;\n"


@pytest.mark.parametrize("text", ["", "\n", 'a,b\n"1,2\n', "a,b\n1\n", "a,a\n1,2\n", 'a,b\n1,x"y"\n"2"z,3\n'])
def test_tables_that_can_not_be_edited(text: str) -> None:
    with pytest.raises(CannotEdit):
        CsvText(text)


@pytest.mark.parametrize("cell", [" x", "x\n", "x\ty", "\0"])
def test_cells_that_can_not_be_written(cell: str) -> None:
    with pytest.raises(CannotEdit):
        CsvText("a,b\n1,2\n").set(0, {"a": cell})


CELLS = st.text('ab,;" 1', max_size=4).map(str.strip)


@st.composite
def sheets(draw: st.DrawFn) -> tuple[str, str]:
    delimiter, newline = draw(st.sampled_from([",", ";"])), draw(st.sampled_from(["\n", "\r\n"]))

    def cell(value: str) -> str:
        quoted = '"' in value or "," in value or ";" in value or draw(st.booleans())
        written = '"' + value.replace('"', '""') + '"' if quoted else value
        return " " * draw(st.integers(0, 1)) + written

    rows = [["name", "x", "y"], *draw(st.lists(st.lists(CELLS, min_size=3, max_size=3), max_size=4))]
    lines = [delimiter.join(map(cell, row)) for row in rows]
    for position in draw(st.lists(st.integers(1, len(lines)), max_size=2)):
        lines.insert(position, "")
    return newline.join(lines) + draw(st.sampled_from(["", newline])), newline


@given(sheets(), st.data())
def test_any_table(sheet: tuple[str, str], data: st.DataObject) -> None:
    text, _ = sheet
    csv = CsvText(text)
    value = data.draw(CELLS)
    appended = csv.append([{"name": "n", "y": value}])
    assert not untouched(text, appended)[0]
    assert CsvText(appended).rows == [*csv.rows, {key: cell for key, cell in (("name", "n"), ("y", value)) if cell}]
    if csv.rows:
        row = data.draw(st.integers(0, len(csv.rows) - 1))
        column = data.draw(st.sampled_from(csv.columns))
        try:
            changed = csv.set(row, {column: value})
        except CannotEdit:
            assert not any({**csv.rows[row], column: value}.values()), "but for a row that would be empty"
        else:
            start, end = csv._rows[row].cells[csv.columns.index(column)]
            assert changed.startswith(text[:start])
            assert changed.endswith(text[end:])
        assert CsvText(csv.remove(row)).rows == csv.rows[:row] + csv.rows[row + 1 :]
