"""A configuration with every default filled in, JSON-ready, for whoever shows it: links, devices, groups, tags."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import tomli
from pydantic import BaseModel

from gateway.changes.bodies import DeviceView, GroupView, LinkView, SettingsView, TagView
from gateway.changes.meaning import Named, named
from gateway.config.tree import Tree
from gateway.driver import Point
from gateway.model import Tag
from gateway.settings import DeviceSettings, GatewaySettings, GroupSettings, LinkSettings, TagRules


def view(tree: Tree, settings: GatewaySettings) -> SettingsView:
    """What `tree` resolves to. Names lead back to it: they make the paths that `gateway.config.edit` takes.

    Of each link, device and sink also the ``file`` it stands in; of each device its ``template``; of each group its
    ``tags_csv``, and whether it comes ``from_template``.
    """
    raw = named(tree)
    files = _files(tree)
    return {
        "digest": tree.digest,
        "gateway": {
            "id": settings.id,
            "location": list(settings.location),
            "data_dir": str(settings.data_dir),
            "socket": str(settings.socket),
            "clock": settings.clock,
        },
        "journal": plain(settings.journal),
        "sinks": [
            {"name": sink.name, "file": files.get(("sink", sink.name)), "settings": plain(sink)}
            for sink in settings.sinks
        ],
        "links": [_link(link, raw, files) for link in settings.links],
        "templates": [
            {"name": name, "file": files.get(("template", name)), "driver": template.get("driver")}
            for name, template in raw.get("template", {}).items()
        ],
    }


def plain(value: Any) -> Any:
    """Settings and a driver's options as JSON says them. Secrets are references and stay so."""
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


def _link(link: LinkSettings, raw: Named, files: dict[tuple[str, str], str]) -> LinkView:
    return {
        "name": link.name,
        "file": files.get(("link", link.name)),
        "driver": link.kind.name,
        "to": link.kind.describe_link(link.options),
        "options": plain(link.options),
        "breaker": plain(link.breaker),
        "devices": [_device(device, raw, files) for device in link.devices],
    }


def _device(device: DeviceSettings, raw: Named, files: dict[tuple[str, str], str]) -> DeviceView:
    own = raw.get("device", {}).get(device.name, {})
    template = own.get("template")
    base = raw.get("template", {}).get(template, {}).get("group", {})
    return {
        "name": device.name,
        "file": files.get(("device", device.name)),
        "template": template,
        "location": list(device.groups[0].poll.layout.location) if device.groups else [],
        "options": plain(device.options),
        "groups": [_group(group, own.get("group", {}), base) for group in device.groups],
    }


def _group(group: GroupSettings, own: Named, base: Named) -> GroupView:
    poll = group.poll
    written = base.get(poll.name, {}) | own.get(poll.name, {})
    return {
        "name": poll.name,
        "interval_ms": poll.interval_s * 1000,
        "subscribed": poll.subscribed,
        "stale_ms": None if poll.stale_s is None else poll.stale_s * 1000,
        "tags_csv": written.get("tags_csv"),
        "from_template": poll.name in base and poll.name not in own,
        "tags": [
            _tag(tag, point, rules)
            for tag, point, rules in zip(poll.layout.tags, poll.points, group.rules, strict=True)
        ],
    }


def _tag(tag: Tag, point: Point, rules: TagRules) -> TagView:
    return {
        "name": tag.path,
        "type": point.type.value,
        "published_type": tag.type.value,
        "count": tag.count,
        "unit": tag.unit,
        "description": tag.description,
        "original_name": tag.original_name,
        "writable": tag.writable,
        "rules": plain(rules),
        "options": plain(point.options),
    }


def _files(tree: Tree) -> dict[tuple[str, str], str]:
    """Which file a named table of the top level stands in."""
    found: dict[tuple[str, str], str] = {}
    for file in tree.tables:
        for section, items in tomli.loads(tree.files.get(file, b"").decode("utf-8-sig")).items():
            for item in items if isinstance(items, list) else []:
                if isinstance(item, dict):
                    found.setdefault((section, str(item.get("name"))), file)
    return found
