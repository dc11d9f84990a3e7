"""What the gateway says about itself and its assets: ``_meta``, ``_namespace``, ``_state`` and ``_ledger``.

Pure functions from settings to JSON-ready dicts. A hash is SHA-256 over the canonical JSON (RFC 8785) of everything
else in the document, so that a subscriber can tell in one comparison whether a model changed, and check it.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from gateway import __version__
from gateway.model import DataType, Tag
from gateway.northbound.uns import asset_topic
from gateway.settings import DeviceSettings, GatewaySettings, LinkSettings, MqttSettings

FORMAT = 1
"""Version of the documents below."""


class Health(Protocol):
    """How a device is, as southbound tells it."""

    @property
    def device(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def detail(self) -> str: ...
    @property
    def since_ns(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Asset:
    """One device as the namespace knows it."""

    source: str
    topic: str
    meta: Mapping[str, Any]

    @property
    def hash(self) -> str:
        digest = self.meta["hash"]
        assert isinstance(digest, str)
        return digest


def gateway_topic(settings: GatewaySettings, root: str) -> str:
    return asset_topic(root, (*settings.location, settings.id))


def namespace(settings: GatewaySettings, mqtt: MqttSettings, known: Sequence[Asset]) -> dict[str, Any]:
    """The manifest: which assets this gateway speaks for, where, and which version of each model."""
    return _hashed(
        {
            "format": FORMAT,
            "gateway": settings.id,
            "granularity": mqtt.granularity,
            "profile": mqtt.profile,
            "assets": [
                {"topic": asset.topic, "source": asset.source, "tags": len(asset.meta["tags"]), "hash": asset.hash}
                for asset in known
            ],
        }
    )


def online(boot: int, now_ms: int, session_ms: int) -> dict[str, Any]:
    return {
        "timestamp_ms": now_ms,
        "state": "online",
        "boot": boot,
        "session_ms": session_ms,
        "version": __version__,
    }


def offline(boot: int, session_ms: int, now_ms: int | None = None) -> dict[str, Any]:
    """`now_ms` is None in the Last Will: it is written at connect, so it can only name the session that ended."""
    body: dict[str, Any] = {} if now_ms is None else {"timestamp_ms": now_ms}
    reason = "connection lost" if now_ms is None else "stopped"
    return {**body, "state": "offline", "reason": reason, "boot": boot, "session_ms": session_ms}


def device_state(health: Health, boot: int) -> dict[str, Any]:
    body: dict[str, Any] = {"timestamp_ms": health.since_ns // 1_000_000, "state": health.state, "boot": boot}
    return {**body, "detail": health.detail} if health.detail else body


def ledger(body: Mapping[str, Any], topics: Mapping[str, str]) -> dict[str, Any]:
    """The journal's ledger with the topic of every source that is still configured."""
    sources = {
        source: {"topic": topics[source], **account} if source in topics else account
        for source, account in body.get("sources", {}).items()
    }
    return {**body, "sources": sources}


def encode(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(body)


def canonical(value: Any) -> str:
    """RFC 8785: one text for one JSON value. Raises ValueError for NaN and infinities, TypeError for a foreign type."""
    if value is None or isinstance(value, (bool, str)):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, Mapping):
        names = sorted(value, key=lambda name: name.encode("utf-16-be", "surrogatepass"))
        return "{" + ",".join(f"{canonical(name)}:{canonical(value[name])}" for name in names) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(canonical, value)) + "]"
    raise TypeError(f"{type(value).__name__} isn't JSON")


def digest(body: Mapping[str, Any]) -> str:
    """SHA-256 over the canonical JSON, in hex."""
    return hashlib.sha256(canonical(body).encode()).hexdigest()


def asset(link: LinkSettings, device: DeviceSettings, mqtt: MqttSettings) -> Asset:
    """A device with at least one poll group."""
    location = device.groups[0].poll.layout.location
    topic = asset_topic(mqtt.root, location)
    tags: dict[str, Any] = {}
    groups: dict[str, Any] = {}
    strings: list[str] = []
    for group in device.groups:
        poll = group.poll
        groups[poll.name] = {"interval_ms": round(poll.interval_s * 1000)}
        for tag in poll.layout.tags:
            tags[tag.path] = {"group": poll.name, **_tag(tag)}
            if tag.type.exceeds_json:
                strings.append(tag.path)
    meta = {
        "format": FORMAT,
        "asset": location[-1],
        "location": list(location[:-1]),
        "source": device.name,
        "driver": link.kind.name,
        "granularity": mqtt.granularity,
        "profile": mqtt.profile,
        "groups": groups,
        "tags": tags,
        "strings_beyond_2_53": strings,
    }
    return Asset(device.name, topic, _hashed(meta))


_HINTS = {DataType.BYTES: {"contentEncoding": "base16"}, DataType.DATETIME: {"format": "date-time"}}
"""How to read the text that a value of such a type is, in the words of JSON Schema 2020-12."""


def _tag(tag: Tag) -> dict[str, Any]:
    described = {
        "type": tag.type.value,
        **_HINTS.get(tag.type, {}),
        "count": tag.count,
        "unit": tag.unit,
        "low": tag.low,
        "high": tag.high,
        "access": "read-write" if tag.writable else "read",
        "description": tag.description,
        "original_name": tag.original_name,
    }
    return {name: value for name, value in described.items() if value is not None}


def _hashed(body: dict[str, Any]) -> dict[str, Any]:
    return {**body, "hash": digest(body)}


def _number(value: float) -> str:
    """ECMAScript's Number::toString, which RFC 8785 §3.2.2.3 asks for."""
    if not math.isfinite(value):
        raise ValueError("JSON has no NaN and no infinities")
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    # repr gives the shortest digits that read back as the same number, as ECMAScript does; only the layout differs.
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    point = len(whole) + int(exponent or 0)
    raw = whole + fraction
    digits = raw.lstrip("0")
    point -= len(raw) - len(digits)
    digits = digits.rstrip("0")
    count = len(digits)
    if count <= point <= 21:
        return f"{sign}{digits}{'0' * (point - count)}"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    tail = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{tail}e{'+' if point > 0 else '-'}{abs(point - 1)}"
