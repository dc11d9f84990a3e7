"""Documents about the gateway and its assets."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import DataType, Layout, Tag
from gateway.northbound import manifest
from gateway.northbound.manifest import canonical
from tests.northbound.toy import gateway_settings, layout, mqtt_settings

_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def asset_of(of: Layout) -> manifest.Asset:
    (link,) = gateway_settings(of).links
    (device,) = link.devices
    return manifest.asset(link, device, mqtt_settings(1883))


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        ("0000000000000000", "0"),
        ("8000000000000000", "0"),
        ("0000000000000001", "5e-324"),
        ("8000000000000001", "-5e-324"),
        ("7fefffffffffffff", "1.7976931348623157e+308"),
        ("4340000000000000", "9007199254740992"),
        ("4430000000000000", "295147905179352830000"),
        ("44b52d02c7e14af5", "9.999999999999997e+22"),
        ("44b52d02c7e14af6", "1e+23"),
        ("444b1ae4d6e2ef4e", "999999999999999700000"),
        ("444b1ae4d6e2ef50", "1e+21"),
        ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
        ("3eb0c6f7a0b5ed8d", "0.000001"),
        ("41b3de4355555553", "333333333.3333332"),
        ("becbf647612f3696", "-0.0000033333333333333333"),
    ],
)
def test_numbers_are_those_of_rfc_8785(bits: str, text: str) -> None:
    """Appendix B of the RFC."""
    assert canonical(struct.unpack(">d", bytes.fromhex(bits))[0]) == text


def test_names_are_sorted_by_utf_16() -> None:
    """The example of RFC 8785 §3.2.3."""
    names = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\u0080", "\u00f6"]
    ordered = list(json.loads(canonical(dict.fromkeys(names))))
    assert ordered == ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]


@given(_JSON)
def test_canonical_json_is_json_of_the_same_value(value: Any) -> None:
    assert json.loads(canonical(value), parse_int=float) == value


@pytest.mark.parametrize(("value", "error"), [(math.nan, ValueError), (math.inf, ValueError), (b"", TypeError)])
def test_what_is_not_json_is_refused(value: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        canonical(value)


def test_meta_says_what_is_known_of_every_tag() -> None:
    of = layout(
        Tag("motor/speed", DataType.FLOAT64, "Hz", 0.0, 50.0, "Speed of the drive", True, "MOT.1 Drehzahl"),
        Tag("count", DataType.INT64),
    )
    asset = asset_of(of)
    assert asset.topic == "uns/v1/acme/plant1/filler1"
    body = json.loads(manifest.encode(asset.meta))
    digest = body.pop("hash")
    assert digest == hashlib.sha256(canonical(body).encode()).hexdigest()
    assert body == {
        "format": 1,
        "asset": "filler1",
        "location": ["acme", "plant1"],
        "source": "filler1",
        "driver": "toy",
        "granularity": "tag",
        "profile": "full",
        "groups": {"fast": {"interval_ms": 1000}},
        "tags": {
            "motor/speed": {
                "group": "fast",
                "type": "float64",
                "unit": "Hz",
                "low": 0.0,
                "high": 50.0,
                "access": "read-write",
                "description": "Speed of the drive",
                "original_name": "MOT.1 Drehzahl",
            },
            "count": {"group": "fast", "type": "int64", "access": "read"},
        },
        "strings_beyond_2_53": ["count"],
    }


def test_meta_says_how_to_read_what_is_text_and_how_long_arrays_are() -> None:
    of = layout(
        Tag("id", DataType.BYTES),
        Tag("since", DataType.DATETIME, count=0),
        Tag("event", DataType.JSON),
        Tag("wave", DataType.INT64, count=8),
    )
    asset = asset_of(of)
    common = {"group": "fast", "access": "read"}
    assert asset.meta["tags"] == {
        "id": {**common, "type": "bytes", "contentEncoding": "base16"},
        "since": {**common, "type": "datetime", "format": "date-time", "count": 0},
        "event": {**common, "type": "json"},
        "wave": {**common, "type": "int64", "count": 8},
    }
    assert asset.meta["strings_beyond_2_53"] == ["wave"]


def test_the_hash_changes_with_the_model_and_only_then() -> None:
    def digest(tag: Tag) -> str:
        return asset_of(layout(tag)).hash

    tag = Tag("speed", DataType.FLOAT64, "Hz")
    assert digest(tag) == digest(dataclasses.replace(tag))
    assert digest(tag) != digest(dataclasses.replace(tag, unit="1/min"))


def test_states() -> None:
    assert manifest.online(7, 5, 4)["state"] == "online"
    assert manifest.offline(7, 4) == {"state": "offline", "reason": "connection lost", "boot": 7, "session_ms": 4}
    assert manifest.offline(7, 4, 9)["timestamp_ms"] == 9
