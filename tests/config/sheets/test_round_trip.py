"""Export, then import: nothing is lost and nothing changes, through CSV, pasted text, workbooks and the API's JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import grids
from gateway.config.sheets.columns import flattened
from gateway.config.sheets.difference import difference
from gateway.config.sheets.importing import changed
from gateway.config.sheets.present import Owner, owners_of
from gateway.config.sheets.reading import CellProblem, Target, read_tags
from gateway.config.sheets.writing import table_of
from gateway.grids import Grid
from gateway.grids.delimited import read_delimited, write_delimited
from gateway.grids.workbook import read_workbook, write_workbook

NASTY = st.sampled_from(
    [
        *(
            "",
            " ",
            "=1+1",
            "+5",
            "-5",
            "@x",
            "'x",
            "0042",
            "1e5",
            "1.50",
            "1,5",
            "1-2",
            "2-Jan",
            "Jan-02",
            "2024-02-01",
        ),
        *(
            "TRUE",
            "false",
            "wahr",
            "#REF!",
            "####",
            '"',
            '""',
            '"x"',
            "a\tb",
            "a\nb",
            "a\r\nb",
            "a;b,c",
            " lead",
            "trail ",
        ),
        *("\x00", "\x1b[31m", "\x85", "\u2028", "\ufffe", "_x0041_", "1234567890123456789", "40001", "hr:100.30"),
        *("ä°µ\U0001f600", "{}", "[1]", "null", "sep=;", "\ufeffx", "12 345", "1'000"),
    ]
)
TEXT = NASTY | st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NUMBER = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
NAME = st.from_regex(r"[A-Za-z0-9-][A-Za-z0-9_-]{0,8}(/[A-Za-z0-9-][A-Za-z0-9_-]{0,8})?", fullmatch=True)
COMMON = {
    "type": st.sampled_from(["uint16", "float32", "string"]),
    "scale": NUMBER,
    "offset": NUMBER,
    "unit": TEXT,
    "low": NUMBER,
    "count": st.integers(0, 2**63 - 1),
    "clamp": st.booleans(),
    "writable": st.booleans(),
    "description": TEXT,
    "original_name": TEXT,
    "report": st.dictionaries(
        st.sampled_from(["deadband", "deadband_percent", "min_interval_ms", "max_interval_ms"]), NUMBER, min_size=1
    ),
}
OWN = {
    "modbus": {"address": TEXT, "length": st.integers(1, 125), "bcd": st.booleans(), "encoding": TEXT},
    "opcua": {"node": TEXT, "event_fields": st.lists(TEXT, max_size=3)},
}


@st.composite
def tags(draw: st.DrawFn, driver: str) -> list[dict[str, Any]]:
    names = draw(st.lists(NAME, max_size=4, unique_by=str.lower))
    keys = COMMON | OWN[driver]
    return [
        {"name": name} | {key: draw(keys[key]) for key in draw(st.lists(st.sampled_from(sorted(keys)), unique=True))}
        for name in names
    ]


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """A configuration's tables with tags of every kind, valid or not: what is written must come back."""
    drivers = ["modbus", "opcua"]
    links = [{"name": f"l-{driver}", "driver": driver} for driver in drivers]
    devices, templates = [], []
    for index in range(draw(st.integers(1, 3))):
        driver = draw(st.sampled_from(drivers))
        groups = [{"name": f"g{each}", "tag": draw(tags(driver))} for each in range(draw(st.integers(1, 2)))]
        seen: set[str] = set()
        for group in groups:  # a device has each name once
            group["tag"] = [tag for tag in group["tag"] if not (tag["name"] in seen or seen.add(tag["name"]))]
        if draw(st.booleans()):
            devices.append({"name": f"d{index}", "link": f"l-{driver}", "group": groups})
        else:
            templates.append({"name": f"t{index}", "driver": driver, "group": groups})
    return {"link": links, "device": devices, "template": templates}


def by_csv(header: list[str], rows: list[Any]) -> Grid:
    return read_delimited(b"\xef\xbb\xbf" + write_delimited(header, rows).encode())


def by_semicolons(header: list[str], rows: list[Any]) -> Grid:
    return read_delimited(write_delimited(header, rows, ";").encode())


def by_pasting(header: list[str], rows: list[Any]) -> Grid:
    return read_delimited(write_delimited(header, rows, "\t"))


def by_utf16(header: list[str], rows: list[Any]) -> Grid:
    return read_delimited(write_delimited(header, rows, "\t").encode("utf-16"))


def by_workbook(header: list[str], rows: list[Any]) -> Grid:
    return read_workbook(write_workbook(header, rows))


def by_api(header: list[str], rows: list[Any]) -> Grid:
    return grids.from_json(json.loads(json.dumps(grids.to_json(by_workbook(header, rows)))))


def owners(body: dict[str, Any]) -> list[Owner]:
    return owners_of(body, lambda place, name: None)


@pytest.mark.parametrize("way", [by_csv, by_semicolons, by_pasting, by_utf16, by_workbook, by_api])
@given(body=bodies())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_exported_imports_as_nothing_changed(way: Any, body: dict[str, Any]) -> None:
    present = owners(body)
    header, rows = table_of(present)
    problems: list[CellProblem] = []
    read = read_tags(way(header, rows), present, Target(), problems)
    result = difference(read, present, problems, remove=True)
    assert problems == []
    assert result.operations == []
    assert result.unchanged == len(rows) == sum(len(group.tags) for owner in present for group in owner.groups)


@pytest.mark.parametrize("way", [by_csv, by_workbook])
@given(body=bodies())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_what_is_exported_makes_the_same_tags_anew(way: Any, body: dict[str, Any]) -> None:
    """Into a configuration that has the devices and groups, but no tag."""
    header, rows = table_of(owners(body))
    empty = {
        section: [{**table, "group": [{"name": group["name"]} for group in table["group"]]} for table in body[section]]
        for section in ("device", "template")
    } | {"link": body["link"]}
    problems: list[CellProblem] = []
    read = read_tags(way(header, rows), owners(empty), Target(), problems)
    result = difference(read, owners(empty), problems)
    assert problems == []
    new, _ = changed(empty, owners(empty), result.operations)
    for section in ("device", "template"):
        for before, after in zip(body[section], new[section], strict=True):
            for one, other in zip(before["group"], after["group"], strict=True):
                assert [flattened(tag) for tag in one["tag"]] == [flattened(tag) for tag in other.get("tag", [])]


@given(body=bodies())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_no_cell_of_a_csv_file_can_be_run_as_a_formula(body: dict[str, Any]) -> None:
    _, rows = table_of(owners(body))
    assert not [cell for row in rows for cell in row if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r")]
