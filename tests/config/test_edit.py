"""Edits by the names of things: the right file changes, in the right place, and the rest of it doesn't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tomli

from gateway.config.document import in_place
from gateway.config.edit import Edit, EditError, edit, label
from gateway.config.tree import Tree

SAMPLE = Path(__file__).parents[2] / "docs" / "sample" / "tidegate.toml"
MAIN, METERS, CSV = "tidegate.toml", "conf.d/20-meters.toml", "filler.csv"


@pytest.fixture(scope="module")
def sample() -> Tree:
    return in_place(SAMPLE)


def changed(before: Tree, after: Tree) -> dict[str, tuple[list[str], list[str]]]:
    """File → (lines that are gone, lines that are new)."""
    found = {}
    for name in before.files | after.files:
        old, new = (tree.files.get(name, b"").decode().splitlines() for tree in (before, after))
        start = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        rest = min(len(old), len(new)) - start
        end = next((i for i in range(rest) if old[-1 - i] != new[-1 - i]), rest)
        if old != new:
            found[name] = old[start : len(old) - end], new[start : len(new) - end]
    return found


def names(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


@pytest.mark.parametrize(
    ("op", "path", "value", "file", "old", "new"),
    [
        (
            "set", "gateway|area", "packing", MAIN,
            ['area = "bottling"                     # devices stand here too, unless they say otherwise'],
            ['area = "packing"                     # devices stand here too, unless they say otherwise'],
        ),
        ("set", "device|filler1|group|fast|interval_ms", 500, MAIN, ["  interval_ms = 250"], ["  interval_ms = 500"]),
        ("set", "device|filler1|asset", "f1", MAIN, [], ['asset = "f1"']),
        ("set", "device|meter2|group|energy|interval_ms", 5, METERS, ["  interval_ms = 60000"], ["  interval_ms = 5"]),
        ("set", "link|meters|breaker|failures", 9, METERS, [], ["breaker = {failures = 9}"]),
        ("set", "link|filler|breaker|failures", 9, MAIN, ["  failures = 3"], ["  failures = 9"]),
        ("set", "sink|plant|tls|server_name", "x", MAIN, [], ['  server_name = "x"']),
        (
            "set", "template|energy-meter|group|power|tag|power/active|report|deadband_percent", 1, METERS,
            ["    report = {deadband_percent = 0.1, min_interval_ms = 1000, max_interval_ms = 60000}"],
            ["    report = {deadband_percent = 1, min_interval_ms = 1000, max_interval_ms = 60000}"],
        ),
        ("set", "device|filler1|group|slow|tag|tank/level|unit", "{l}", CSV,
         ["tank/level,ir:0,uint16,0.1,,%,0,100,true,Buffer tank,0.5,60000,"],
         ["tank/level,ir:0,uint16,0.1,,{l},0,100,true,Buffer tank,0.5,60000,"]),
        ("set", "device|filler1|group|slow|tag|tank/level|report", {"deadband": 9}, CSV,
         ["tank/level,ir:0,uint16,0.1,,%,0,100,true,Buffer tank,0.5,60000,"],
         ["tank/level,ir:0,uint16,0.1,,%,0,100,true,Buffer tank,9,,"]),
        ("set", "device|filler1|group|slow|tag|valve/open", {"name": "v", "address": "di:5", "type": "bool"}, CSV,
         ["valve/open,di:4,bool,,,,,,,,0,60000,"], ["v,di:5,bool,,,,,,,,,,"]),
        ("add", "device|filler1|group|slow|tag", {"name": "t", "address": "ir:9", "type": "int16", "clamp": False}, CSV,
         [], ["t,ir:9,int16,,,,,,false,,,,"]),
        ("remove", "device|filler1|group|slow|tag|tank/level|report|deadband", None, CSV,
         ["tank/level,ir:0,uint16,0.1,,%,0,100,true,Buffer tank,0.5,60000,"],
         ["tank/level,ir:0,uint16,0.1,,%,0,100,true,Buffer tank,,60000,"]),
        ("remove", "device|filler1|group|slow|tag|valve/open", None, CSV, ["valve/open,di:4,bool,,,,,,,,0,60000,"], []),
        ("remove", "device|filler1|word_order", None, MAIN, ['word_order = "CDAB"'], []),
        ("add", "sink", {"name": "cloud", "host": "c"}, MAIN, [], ["", "[[sink]]", 'name = "cloud"', 'host = "c"']),
        ("add", "device|filler1|group|fast|tag", {"name": "t", "address": "hr:1", "type": "int16"}, MAIN, [],
         ["", "    [[device.group.tag]]", '    name = "t"', '    address = "hr:1"', '    type = "int16"']),
        ("add", "device|meter1|group", {"name": "energy", "interval_ms": 5}, METERS, [],
         ["", "  [[device.group]]", '  name = "energy"', "  interval_ms = 5"]),
    ],
)  # fmt: skip
def test_edits_of_the_sample(
    sample: Tree, op: Any, path: str, value: Any, file: str, old: list[str], new: list[str]
) -> None:
    result = edit(sample, [Edit(op, names(path), value)])
    ((where, what),) = changed(sample, result).items()
    # A blank line or a header's name that repeats belongs to either end of what is new.
    assert where == file
    assert (sorted(what[0]), sorted(what[1])) == (sorted(old), sorted(new))


def test_a_new_file_for_a_new_machine(sample: Tree) -> None:
    devices = [
        {"name": "cap1", "link": "cap", "group": [{"name": "g", "interval_ms": 5, "tag": [{"name": "t"}]}]},
        {"name": "cap2", "link": "cap"},
    ]
    edits = [
        Edit("add", ("link",), {"name": "cap", "driver": "modbus", "host": "h"}, "conf.d/30-cap.toml"),
        Edit("add", ("device",), devices, "conf.d/30-cap.toml"),
        Edit("set", ("device", "cap2", "unit"), 7),
    ]
    result = edit(sample, edits)
    assert {*result.files} - {*sample.files} == {"conf.d/30-cap.toml"}
    assert result.files["conf.d/30-cap.toml"].decode() == (
        '[[link]]\nname = "cap"\ndriver = "modbus"\nhost = "h"\n\n'
        '[[device]]\nname = "cap1"\nlink = "cap"\n\n'
        '[[device.group]]\nname = "g"\ninterval_ms = 5\n\n[[device.group.tag]]\nname = "t"\n\n'
        '[[device]]\nname = "cap2"\nlink = "cap"\nunit = 7\n'
    )


def test_setting_a_whole_device_changes_what_differs(sample: Tree) -> None:
    body = tomli.loads(sample.files[MAIN].decode())["device"][0]
    body["unit"] = 9
    body["group"][0]["interval_ms"] = 100
    del body["group"][0]["tag"][1]
    body["group"][0]["tag"].append({"name": "new", "address": "hr:7", "type": "int16"})
    del body["word_order"]
    result = edit(sample, [Edit("set", ("device", "filler1"), body)])
    assert tomli.loads(result.files[MAIN].decode())["device"][0] == body
    before, after = (tree.files[MAIN].decode() for tree in (sample, result))
    gone = 'word_order = "CDAB"\n'
    tag = before[
        before.index('    [[device.group.tag]]\n    name = "motor/running"') : before.index(
            '    [[device.group.tag]]\n    name = "bottles"'
        )
    ]
    new = '\n    [[device.group.tag]]\n    name = "new"\n    address = "hr:7"\n    type = "int16"\n'
    last = '    description = "Bottles per hour the filler is asked for"\n'
    assert after == (
        before.replace(gone, "").replace("unit = 1\n", "unit = 9\n").replace("= 250\n\n    [[", "= 100\n\n    [[")
        .replace(tag, "").replace(last, last + new)
    )  # fmt: skip
    assert edit(sample, [Edit("set", ("device", "filler1"), tomli.loads(before)["device"][0])]) == sample


def test_removing_and_adding_back_leaves_the_rest(sample: Tree) -> None:
    result = edit(sample, [Edit("remove", ("device", "meter1"))])
    text = sample.files[METERS].decode()
    start = text.index('[[device]]\nname = "meter1"')
    assert result.files[METERS].decode() == text[:start] + text[text.index('[[device]]\nname = "meter2"') :]


def test_a_byte_order_mark_stays() -> None:
    tree = Tree("a.toml", {"a.toml": "\ufeff[gateway]\r\nid = 'x'\r\n".encode()})
    result = edit(tree, [Edit("set", ("gateway", "site"), "ä")])
    assert result.files["a.toml"].decode() == "\ufeff[gateway]\r\nid = 'x'\r\nsite = \"ä\"\r\n"


@pytest.mark.parametrize(
    ("op", "path", "value", "message", "hint"),
    [
        ("set", "device|filer1|unit", 1, 'there is no device "filer1"', 'did you mean "filler1"?'),
        ("set", "device|filler1|group|fats|interval_ms", 1, 'there is no group "fats" in device filler1', "fast"),
        ("set", "device|meter1|group|power|interval_ms", 1, "device meter1 has no group", '"energy-meter"'),
        ("remove", "device|filler1|colour", None, 'device filler1 has no "colour"', "add it first"),
        ("remove", "device|filler1|group|slow|tag|tank", None, 'there is no tag "tank"', "add it"),
        ("remove", "device|filler1|group|slow|tag|valve/open|unit", None, "has no", "add it"),
        ("add", "device", {"name": "FILLER1"}, 'there already is a device "FILLER1"', "another name"),
        ("add", "device|filler1|group|slow|tag", {"name": "tank/level"}, "there already is a tag", "another name"),
        ("add", "device", {"link": "x"}, "must be a table with a name", "name"),
        ("add", "device", [], "must be a table with a name", "name"),
        ("add", "gateway", {"name": "x"}, "nothing can be added to gateway", "sink, link, device"),
        ("add", "device|filler1|unit", {"name": "x"}, "is no list of tables", "set it"),
        ("add", "device|nobody|group", {"name": "x"}, 'there is no device "nobody"', "add it first"),
        ("set", "device|filler1|unit", None, "can't be edited by itself: TOML has no NoneType", "text"),
        ("set", "device|filler1|asset", "\ud800", "can't be edited by itself", "text"),
        ("set", "device|filler1|group|slow|tag|tank/level|unit", "a\nb", "can't be edited by itself", "text"),
        ("set", "", 1, "names nothing", "path"),
    ],
)
def test_what_can_not_be_done_is_told(sample: Tree, op: Any, path: str, value: Any, message: str, hint: str) -> None:
    with pytest.raises(EditError) as caught:
        edit(sample, [Edit("set", ("gateway", "id"), "gw2"), Edit(op, names(path), value)])
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.index == 1


@pytest.mark.parametrize("file", ["../x.toml", "/x.toml", "conf.d/x.csv", "x.csv", "conf.d/.x.toml", "other.toml"])
def test_tables_go_into_files_of_the_tree(sample: Tree, file: str) -> None:
    with pytest.raises(EditError):
        edit(sample, [Edit("add", ("link",), {"name": "x"}, file)])


def test_a_broken_file_is_mended_first(sample: Tree) -> None:
    broken = sample.replaced({METERS: b"oops"})
    with pytest.raises(EditError, match="isn't valid TOML") as caught:
        edit(broken, [Edit("set", ("gateway", "id"), "x")])
    assert METERS in caught.value.message


def test_how_things_are_called() -> None:
    assert label(("device", "filler1", "group", "fast", "interval_ms")) == "device filler1, group fast: interval_ms"
    assert label(("gateway", "area")) == "gateway.area"
    assert label(("device",)) == "device"
    assert label(("sink", "plant", "tls", "ca")) == "sink plant: tls.ca"
