from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from drivers.opcua import KIND
from drivers.opcua.profiles import PROFILES
from drivers.opcua.session import configured_limits
from gateway.driver import PollGroup
from gateway.model import DataType, Layout, Tag
from tests.drivers.opcua.rig import group, point, unconnected


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("opc.tcp://plc1", "opc.tcp://plc1:4840"),
        ("opc.tcp://plc1/path", "opc.tcp://plc1:4840/path"),
        ("opc.tcp://[fe80::1]", "opc.tcp://[fe80::1]:4840"),
        ("opc.tcp://plc1:4841", "opc.tcp://plc1:4841"),
    ],
)
def test_a_url_has_a_port(text: str, url: str) -> None:
    options = KIND.link_options(url=text)
    assert options.url == url
    assert KIND.describe_link(options) == url


@pytest.mark.parametrize(
    "text", ["plc1", "http://plc1", "opc.tcp://", "opc.tcp://a b", "opc.tcp://u:p@plc1", "opc.tcp://a:x"]
)
def test_what_is_no_url_is_one_clear_sentence(text: str) -> None:
    with pytest.raises(ValidationError) as caught:
        KIND.link_options(url=text)
    (error,) = caught.value.errors()
    assert error["loc"] == ("url",)
    assert "write" in error["msg"] or "use" in error["msg"]


@pytest.mark.parametrize(
    "options",
    [
        {"node": 5},
        {"node": "Speed"},
        {"node": "i=1", "server_deadband": 1.0, "server_deadband_percent": 1.0},
        {"node": "i=1", "events": True, "method": "i=2"},
        {"node": "i=1", "event_fields": ["a//b"]},
        {"node": "i=1", "unknown": 1},
        {"node": "i=1", "trigger": "status", "server_deadband": 1.0},
        {"node": "i=1", "min_severity": 300},
        {"node": "i=1", "event_fields": ["2:BatchId"]},
        {"node": "i=1", "events": True, "server_deadband": 1.0},
        {"node": "i=1", "method": "i=2", "sampling_ms": 100},
    ],
)
def test_impossible_tags_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        KIND.tag_options(**options)


def test_what_can_only_be_told_from_the_whole_tag_is_told_by_the_plan() -> None:
    device = unconnected("opc.tcp://127.0.0.1").device
    wrong = [
        point("i=1", DataType.FLOAT16),
        point("i=2", DataType.STRING, events=True),
        point("i=3", DataType.JSON, 2, method="i=4"),
    ]
    right = point("i=5", DataType.JSON, events=True)
    plan = device.plan(group(*wrong, right))
    assert [error.path for error in plan.errors] == ["i=1", "i=2", "i=3"]
    assert plan.describe() == ["subscribe to 1 node"]
    assert [error.path for error in device.plan(group(right, subscribed=False)).errors] == ["i=5"]


def test_what_would_be_ignored_is_refused() -> None:
    """A deadband of text or of a polled tag would do nothing, and nobody would know."""
    device = unconnected("opc.tcp://127.0.0.1").device
    text = point("i=1", DataType.STRING, server_deadband=1.0)
    number = point("i=2", DataType.FLOAT64, server_deadband=1.0)
    (error,) = device.plan(group(text, number)).errors
    assert (error.path, error.message) == ("i=1", "'server_deadband' is for numbers, and this is a string: drop it")
    (error,) = device.plan(group(number, subscribed=False)).errors
    assert error.message == "'server_deadband' is for subscribed tags, and group 'fast' is polled: drop it"
    events = point("i=3", DataType.JSON, events=True)
    layout = Layout("device1", "alarms", ("acme",), (Tag("i=3", DataType.JSON, writable=True),))
    (error,) = device.plan(PollGroup("alarms", layout, (events,), 1.0, True)).errors
    assert error.message == "events can't be written: drop 'writable'"


def test_a_node_that_is_a_number_is_answered_with_how_to_write_it() -> None:
    with pytest.raises(ValidationError, match="write node = 'ns=2;i=5'"):
        KIND.tag_options(node=5)


def test_own_limits_go_before_the_profiles() -> None:
    options = KIND.link_options(url="opc.tcp://plc1", profile="s7-1200", max_items=50)
    assert configured_limits(options).items == 50
    assert configured_limits(options).items_per_call == PROFILES["s7-1200"].items_per_call == 100
    assert not configured_limits(options).filters
