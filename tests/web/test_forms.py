"""Forms from JSON Schema: every driver's tables become fields, and what is filled in becomes their values again."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest

from gateway.config.export import driver_schemas, json_schema
from gateway.registry import driver_names
from gateway.web.forms import Field, edits_of, fields_of, filled, label_of, pieces, shown, split

MODBUS = driver_schemas("modbus")


def fields(driver: str, table: str) -> list[Field]:
    return fields_of(driver_schemas(driver)[table], table, ("driver", "breaker", "link", "template", "group"))


@pytest.mark.parametrize("driver", driver_names())
@pytest.mark.parametrize("table", ["link", "device"])
def test_every_key_a_driver_has_becomes_a_field(driver: str, table: str) -> None:
    found = fields(driver, table)
    left_out = {"driver", "breaker", "link", "template", "group"}
    assert {field.key for field in found} == driver_schemas(driver)[table]["properties"].keys() - left_out
    assert all(field.label and field.hint for field in found)


@pytest.mark.parametrize("driver", driver_names())
@pytest.mark.parametrize("table", ["link", "device"])
def test_an_untouched_form_gives_no_key(driver: str, table: str) -> None:
    """A check box is sent as it stands; everything else is empty."""
    found = fields(driver, table)
    form = {field.name: "on" for field in found if field.kind == "check" and field.default}
    assert filled([field for field in found if not field.required], form).values == {}


@pytest.mark.parametrize("driver", driver_names())
@pytest.mark.parametrize("table", ["link", "device"])
def test_values_are_of_the_type_the_schema_wants(driver: str, table: str) -> None:
    schema = driver_schemas(driver)[table]
    for field in fields(driver, table):
        texts = field.choices or {"number": ["5"], "check": ["on"]}.get(field.kind, [])
        for text in texts:
            values = filled([field], {field.name: text}).values
            if field.key in values:
                about = {key: part for key, part in schema["properties"][field.key].items() if key != "minimum"}
                jsonschema.validate(values[field.key], about)


@pytest.mark.parametrize(
    ("form", "values", "wrong"),
    [
        ({"link.name": "l", "link.host": " 10.0.0.5 ", "link.port": "502"}, {"name": "l", "host": "10.0.0.5"}, {}),
        (
            {"link.name": "l", "link.port": "1502", "link.timeout_ms": "250"},
            {"name": "l", "port": 1502, "timeout_ms": 250},
            {},
        ),
        ({"link.name": ""}, {}, {"link.name": "Name is needed"}),
        ({"link.name": "l", "link.port": "x"}, {"name": "l"}, {"link.port": "Port must be a whole number"}),
        ({"link.name": "l", "link.failback_s": "0,5"}, {"name": "l"}, {"link.failback_s": None}),
        ({"link.name": "l", "link.single_connection": "on"}, {"name": "l", "single_connection": True}, {}),
        ({"link.name": "l", "link.allow": "10.0.0.0/8, ::/0"}, {"name": "l", "allow": ["10.0.0.0/8", "::/0"]}, {}),
        ({"link.name": "l", "link.transport": "pigeon"}, {"name": "l"}, {"link.transport": None}),
    ],
)  # fmt: skip
def test_what_is_filled_in(form: dict[str, Any], values: dict[str, Any], wrong: dict[str, str | None]) -> None:
    result = filled(fields("modbus", "link"), form)
    assert result.values == values | ({"port": 502} if form.get("link.port") == "502" else {})
    assert result.wrong.keys() == wrong.keys()
    for name, sentence in wrong.items():
        assert sentence is None or result.wrong[name] == sentence


def test_a_secret_is_given_by_reference() -> None:
    result = filled(fields("opcua", "link"), {"link.name": "l", "link.url": "opc.tcp://x", "link.password": "env:PW"})
    assert result.values["password"] == {"env": "PW"}


def test_what_most_people_set_comes_first_and_what_is_required_is_never_hidden() -> None:
    shown, more = split(fields("modbus", "link"), ("name", "host", "port"))
    assert [field.key for field in shown] == ["name", "host", "port"]
    assert "ca" in {field.key for field in more}
    shown, _ = split(fields("opcua", "link"), ("name",))
    assert "url" in {field.key for field in shown}


def test_words() -> None:
    assert label_of("pause_between_requests_ms") == "Pause between requests (ms)"
    assert label_of("ca") == "CA file"
    assert pieces("Write `a` or `b`.") == [("Write ", False), ("a", True), (" or ", False), ("b", True), (".", False)]


SINK = fields_of(json_schema()["$defs"]["sink"], "sink", ("type", "tls"))
PLANT = {"name": "plant", "host": "broker", "port": 1884, "password": {"file": "pw"}}


def test_a_form_is_filled_with_what_is_configured_and_gives_it_back() -> None:
    assert shown(SINK, PLANT) == {
        "sink.name": "plant",
        "sink.host": "broker",
        "sink.port": "1884",
        "sink.password": "file:pw",
    }
    checks = {field.name: field.default for field in SINK if field.kind == "check"}
    form = {name: "on" if value is True else value or "" for name, value in {**checks, **shown(SINK, PLANT)}.items()}
    assert filled(SINK, form).values == PLANT


def test_only_what_differs_is_edited_and_the_name_last() -> None:
    wanted = {"name": "hall", "host": "broker", "password": {"file": "pw"}, "username": "gw"}
    path = ("sink", "plant")
    assert edits_of(path, PLANT, SINK, PLANT) == []
    first, *others = edits_of(path, PLANT, SINK, wanted)
    assert first == {"op": "remove", "path": ["sink", "plant", "port"]}
    assert others == [
        {"op": "set", "path": ["sink", "plant", "username"], "value": "gw"},
        {"op": "set", "path": ["sink", "plant", "name"], "value": "hall"},
    ]


def test_a_key_that_somebody_wrote_at_its_default_stays() -> None:
    default = {"name": "plant", "host": "broker", "keepalive_s": field_named("keepalive_s").default}
    assert edits_of(("sink", "plant"), default, SINK, {"name": "plant", "host": "broker"}) == []


def field_named(key: str) -> Field:
    return next(field for field in SINK if field.key == key)
