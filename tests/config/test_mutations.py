"""Whatever is done to a configuration, the user gets settings or sentences, never a traceback."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config import ConfigErrors, Problem, load
from tests.config.text import DEVICE, GOOD, HEAD, LINK

TEMPLATE = GOOD[GOOD.index("[[device]]") :].replace('link = "filler"', 'driver = "fake"').replace("device", "template")
FULL = (
    GOOD
    + '    scale = 0.1\n    unit = "Cel"\n    low = 0\n    high = 10\n    clamp = true\n    output = "float64"\n'
    + "    report = {deadband = 1, max_interval_ms = 10}\n"
    + DEVICE.replace("filler1", "filler2").replace('link = "filler"', 'link = "filler"\ntemplate = "filler1"')
    + '  tags_csv = "tags.csv"\n\n[journal]\nmax_mb = 5\n\n'
    + TEMPLATE
)
CSV = "name,address,type,scale,deadband,writable\nx,a:1,uint16,0.1,1,true\ny,a:2,bool,,,\n"
VALUES = st.sampled_from(
    [
        "0", "-1", "1e400", "nan", "-inf", "99999999999999999999999", "true", '""', '"x"', '"ü/"', "[]", "[1]", "{}",
        "{a = 1}", "[{}]", "[[]]", "1979-05-27", "07:32:00", '"a:13"', '"float16"', '"filler1"', '"_x"', "{env = 1}",
        '"\\u0000"', "[{name = 1}]",
    ]
)  # fmt: skip
LINES = [number for number, line in enumerate(FULL.splitlines()) if line.strip()]


@st.composite
def mutated(draw: st.DrawFn) -> str:
    lines = FULL.splitlines()
    for _ in range(draw(st.integers(1, 3))):
        number = draw(st.sampled_from(LINES))
        line = lines[number]
        key, equals, _ = line.partition(" = ")
        match draw(st.sampled_from(["value", "value", "value", "key", "drop", "twice", "table"])):
            case "value" if equals:
                lines[number] = f"{key} = {draw(VALUES)}"
            case "key" if equals:
                lines[number] = line.replace(
                    key.strip(), draw(st.sampled_from(["name", "x", "group", "tag", "'ü'", "a.b"]))
                )
            case "drop":
                lines[number] = ""
            case "twice":
                lines[number] = f"{line}\n{line}"
            case "table" if not equals:
                lines[number] = line.replace("[[", "[").replace("]]", "]")
            case _:
                pass
    return "\n".join(lines)


def check(directory: Path) -> None:
    problems: tuple[Problem, ...] = ()
    try:
        load(directory / "tidegate.toml")
    except ConfigErrors as errors:
        problems = errors.problems
    for problem in problems:
        lines = problem.file.read_bytes().count(b"\n") + 1
        assert problem.line is None or 1 <= problem.line <= lines
        assert problem.hint
        assert len(str(problem).splitlines()) == 2, "one line what, one line how"


def test_the_starting_point_is_good() -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "tidegate.toml").write_text(FULL)
        (Path(name) / "tags.csv").write_text(CSV)
        load(Path(name) / "tidegate.toml")


@given(mutated())
@settings(max_examples=150)
def test_any_toml(text: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "tidegate.toml").write_text(text, "utf-8")
        (Path(name) / "tags.csv").write_text(CSV)
        check(Path(name))


@given(st.data())
@settings(max_examples=100)
def test_any_csv(data: st.DataObject) -> None:
    csv = bytearray(CSV.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(csv)))
        csv[at : at + data.draw(st.integers(0, 3))] = data.draw(
            st.sampled_from([b"", b",", b'"', b"\n", b";", b"\xff", b"\0", b"9"])
        )
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "tidegate.toml").write_text(HEAD + LINK + DEVICE + '  tags_csv = "tags.csv"\n')
        (Path(name) / "tags.csv").write_bytes(csv)
        check(Path(name))


@given(st.binary(max_size=40))
@settings(max_examples=100)
def test_any_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "tidegate.toml").write_bytes(content)
        check(Path(name))
