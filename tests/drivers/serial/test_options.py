from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from drivers.serial import KIND
from drivers.serial.options import DeviceOptions, LinkOptions, TagOptions
from gateway.driver import DriverKind, Point
from gateway.model import DataType
from gateway.registry import load_driver
from tests.drivers.serial.bench import Bench, group, point

LINE = {"message": {"m": {"pattern": r"(?P<v>\d+)"}}}


def test_the_registry_finds_it() -> None:
    assert load_driver("serial") is KIND
    assert isinstance(KIND, DriverKind)


def _models(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    return [schema, *(each for each in schema.get("$defs", {}).values() if "properties" in each)]


@pytest.mark.parametrize("model", [LinkOptions, DeviceOptions, TagOptions])
def test_every_option_is_described_and_nothing_else_is_taken(model: type[BaseModel]) -> None:
    for schema in _models(model):
        assert schema["additionalProperties"] is False
        for name, option in schema["properties"].items():
            assert option.get("description", "").endswith("."), name


@pytest.mark.parametrize("preset", ["nmea", "sics", "toledo-continuous"])
def test_options_survive_a_round_trip_through_json(preset: str) -> None:
    options = DeviceOptions.model_validate({"preset": preset})
    assert DeviceOptions.model_validate_json(options.model_dump_json()) == options


def framing(**options: Any) -> dict[str, Any]:
    return {"framing": options}


def message(**options: Any) -> dict[str, Any]:
    return {"message": {"m": options}}


def field(**options: Any) -> dict[str, Any]:
    return {**LINE, "field": {"v": options}}


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"preset": "nmae"}, "there is no preset 'nmae': there are and, barcode, cas, csv"),
        (framing(start="$"), "nothing says where a frame ends: give end, length, length_at or gap_ms"),
        (framing(length=5, length_at=1), "a frame has length or length_at, not both: drop one"),
        (framing(end=["\r", "\r\n"]), "one end delimiter begins like another: keep the shorter one"),
        (framing(end=""), "an end delimiter can't be empty"),
        (framing(end=["a", "b"], length=5), "a frame of known size has one end delimiter"),
        (framing(length=50, max_length=40), "length is 50, but max_length is 40: raise max_length"),
        (framing(start="$", gap_ms=5), "gap_ms alone has no start"),
        (framing(end="\r", escape="<DLE>"), "escape is one byte, and needs start and end"),
        (
            framing(length=5, checksum={"kind": "xor", "place": "after-end"}),
            "there is no end delimiter for the checksum",
        ),
        (framing(end="\r", checksum={"kind": "crc"}), "there is no checksum 'crc'"),
        (framing(end="\r", checksum={"kind": "xor", "place": "after-end", "separator": "*"}), "has no separator"),
        (framing(end="\r", max_length=100_000), "less than or equal to 4096"),
        (message(), "a message has one of pattern, columns, pairs, bytes, not none"),
        (message(pattern="(?P<a>.)", pairs="="), "not pattern and pairs"),
        (message(pattern="[0-9]+"), "the pattern has no named group"),
        (message(pattern="(?P<a>(x+)+)y"), "could take for ever on a long frame"),
        (message(pattern="(?P<a>.)", refused={"(x+x+)+y": "Bad"}), "could take for ever on a long frame"),
        (message(pattern="(?P<a>.)", refused={"E": "Terrible"}), "there is no quality 'Terrible'"),
        (message(pattern="(?P<a>.)", refused={"E": "BadOutOfRnge"}), "did you mean 'BadOutOfRange'?"),
        (message(pattern="(?P<a>.)", spontaneous=False), "comes by itself: drop spontaneous, or give request"),
        (message(pattern="{address}(?P<a>.)"), "message 'm' needs the device's address: give address"),
        (message(columns=["a", "a"]), "two columns have the same name"),
        (message(columns=["a"], length=3), "length is for messages with bytes"),
        (message(bytes={"a": {"at": 0, "type": "bool"}}), "bit is for bool, and a bool needs one"),
        (message(bytes={"a": {"at": 0, "type": "string"}}), "length is for string, bytes and BCD"),
        (message(bytes={"a": {"at": 0, "type": "int16", "bcd": True, "length": 2}}), "BCD needs an unsigned"),
        (message(bytes={"a": {"at": 0, "type": "datetime"}}), "can't be read from bytes"),
        (field(format="%H:%M"), "has no whole date"),
        (field(units={"kg": "kg"}), "unit_from and units belong together"),
        (field(places_from="p"), "places_from and places belong together"),
        (field(sign_from="s"), "sign_from and sign belong together"),
        (field(bit=6, bits=3), "3 bits from bit 6 up leave the byte"),
        (field(status={"s": {"A": "Fine"}}), "there is no quality 'Fine'"),
        ({**LINE, "command": {"c": {"send": "{address}X"}}}, "command 'c' needs the device's address"),
        ({**LINE, "command": {"c": {"send": "X", "refused": "E"}}}, "refused needs ack"),
        ({**LINE, "init": [r"\q"]}, "isn't known: use"),
    ],
)
def test_impossible_descriptions_are_one_sentence(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValidationError) as caught:
        DeviceOptions.model_validate(given)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("options", "point_options", "sentence"),
    [
        (LINE, {"field": "w"}, "there is no field 'w': use one of v"),
        (LINE, {"field": "v", "message": "x"}, "there is no message 'x': use one of m"),
        (LINE, {"field": "v", "command": "x"}, "there is no command 'x': the device has no commands, describe one"),
        (LINE, {"field": "v", "sent_unit": "kg"}, "field 'v' comes without a unit: drop 'sent_unit'"),
        (message(pattern="(?P<v>.)", request="V?"), {"field": "v"}, "message 'm' comes on request only: write mode"),
        (message(bytes={"v": {"at": 0, "type": "int16"}}), {"field": "v"}, 'is read as int16: write type = "int16"'),
        (message(pattern="(?P<x>.)"), {"field": "v"}, "there is no field 'v': use one of x"),
    ],
)
async def test_an_impossible_tag_is_one_sentence_with_its_mend(
    bench: Bench, options: dict[str, Any], point_options: dict[str, Any], sentence: str
) -> None:
    device = bench.device(**options)
    good = point("good", DataType.UINT16, "v") if options is LINE else None
    bad = point("bad", DataType.UINT16, **point_options)
    plan = device.plan(group(*filter(None, (good, bad)), subscribed=True))
    (error,) = plan.errors
    assert error.path == "bad"
    assert sentence in error.message


async def test_a_writable_tag_needs_a_command(bench: Bench) -> None:
    plan = bench.device(**LINE).plan(group(point("v", DataType.UINT16), writable=True))
    assert "needs a command" in plan.errors[0].message


async def test_a_tag_that_is_neither_read_nor_written_is_refused(bench: Bench) -> None:
    options = {**LINE, "command": {"zero": {"send": "Z"}}}
    plan = bench.device(**options).plan(group(Point("zero", DataType.BOOL, TagOptions(command="zero"))))
    assert plan.errors[0].message.endswith(": add writable = true, or give field")


async def test_an_array_is_refused(bench: Bench) -> None:
    from dataclasses import replace

    plan = bench.device(**LINE).plan(group(replace(point("v", DataType.UINT16), count=3)))
    assert "drop 'count'" in plan.errors[0].message


def test_a_tag_needs_a_field_or_a_command() -> None:
    with pytest.raises(ValidationError, match="give field, or a command"):
        TagOptions()


@pytest.mark.parametrize(
    "given",
    [
        {"init": ["\\q\r\n"]},
        {"init": ["hex: \nx"]},
        {"preset": "a\nb"},
        message(pattern="(?P<a>\n"),
        message(pattern="(?P<a>(\n+)+)\n"),
        field(format="%q\n"),
        framing(end="\r", checksum={"kind": "a\nb"}),
    ],
)
def test_a_sentence_stays_on_one_line_whatever_is_quoted(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        DeviceOptions.model_validate(given)
    assert all("\n" not in error["msg"] for error in caught.value.errors())
