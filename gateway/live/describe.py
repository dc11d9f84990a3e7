"""What is to be known about one tag: where it comes from, what is done to it, where it goes."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from gateway.live.directory import Directory, Entry
from gateway.live.plain import whole
from gateway.model import Record
from gateway.northbound.uns import Encoder, Unpublishable
from gateway.settings import MqttSettings, ReportPolicy

LONGEST_PAYLOAD: Final = 4096
"""Of a longer one the beginning is shown."""
_LENGTH: Final = 2
"""Bytes of a topic's length before it."""


def describe(directory: Directory, entry: Entry) -> dict[str, Any]:
    """A tag as it is configured, JSON-ready."""
    group, tag = entry.group, entry.tag
    poll, link = group.settings.poll, group.link
    point, rules = poll.points[entry.column], group.settings.rules[entry.column]
    options = _options(point.options)
    return {
        "tag": entry.name,
        "device": group.device.name,
        "path": tag.path,
        "group": poll.name,
        "link": link.name,
        "driver": link.kind.name,
        "far_end": link.kind.describe_link(link.options),
        "address": options.get(link.kind.address_key),
        "options": options,
        "mode": "subscribe" if poll.subscribed else "poll",
        "interval_ms": round(poll.interval_s * 1000),
        "stale_ms": None if poll.stale_s is None else round(poll.stale_s * 1000),
        "wire_type": rules.wire_type.value,
        "type": tag.type.value,
        "count": tag.count,
        "scale": rules.scale,
        "offset": rules.offset,
        "unit": tag.unit,
        "low": tag.low,
        "high": tag.high,
        "clamp": rules.clamp,
        "report": _report(rules.report),
        "description": tag.description,
        "original_name": tag.original_name,
        "writable": tag.writable,
        "location": list(group.layout.location),
        "destinations": [
            {
                "sink": sink.name,
                "topic": directory.topic(entry, sink),
                "granularity": sink.granularity,
                "profile": sink.profile,
                "retain": sink.retain,
            }
            for sink in directory.sinks
        ],
    }


def payloads(directory: Directory, entry: Entry) -> list[dict[str, Any]]:
    """The message in which each sink publishes the tag, of the last report that had it: ``sink``, ``topic``,
    ``payload`` (text), ``bytes`` (its length) and ``retain``; ``error`` instead where there can't be one. Empty if that
    is too many reports of the tag's group ago."""
    last = entry.group.current.last_record(entry.column)
    if last is None:
        return []
    return [{"sink": sink.name, **_payload(*last, sink)} for sink in directory.sinks]


def _payload(record: Record, position: int, sink: MqttSettings) -> dict[str, Any]:
    encoder = Encoder(root=sink.root, granularity=sink.granularity, profile=sink.profile, retain=sink.retain)
    only = None if sink.granularity == "asset" else [position]
    try:
        messages = encoder.encode(Record(record.id, record.boot, record.seq, record.batch, record.backfill, only))
    except Unpublishable as error:
        return {"error": str(error)}
    body = messages.payloads[0]
    return {
        "topic": messages.topics[0][_LENGTH:].decode(),
        "payload": body[:LONGEST_PAYLOAD].decode(errors="replace"),
        "bytes": len(body),
        "retain": messages.retain,
    }


def current(entry: Entry, *, wall_ns: int, mono_ns: int) -> tuple[Any, int, int | None]:
    """(value as JSON in full, quality, ms since 1970 when it was last heard of; None: never)."""
    state = entry.group.current.state()
    heard_ns = state.heard_ns(entry.column)
    at_ms = None if heard_ns < 0 else (wall_ns - max(0, mono_ns - heard_ns)) // 1_000_000
    return whole(state.values[entry.column]), state.quality(entry.column), at_ms


def _report(policy: ReportPolicy | None) -> dict[str, Any] | None:
    if policy is None:
        return None
    return {
        "deadband": policy.deadband,
        "deadband_percent": policy.deadband_percent,
        "min_interval_ms": round(policy.min_interval_s * 1000),
        "max_interval_ms": None if policy.max_interval_s is None else round(policy.max_interval_s * 1000),
    }


def _options(options: Any) -> dict[str, Any]:
    """A driver's options as they would be written, without those that are as by default."""
    return options.model_dump(mode="json", exclude_defaults=True) if isinstance(options, BaseModel) else {}
