"""What a scan proposes to write: a link, a device on it and its first tags, as TOML ready to paste."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from textwrap import indent
from typing import Any

from gateway.toml import table

_LONGEST_NAME = 64


def name_from(text: str) -> str:
    """A name of a link or device made of what `text` has that may stand in one; empty if that is nothing."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-")[:_LONGEST_NAME]


def proposal(
    driver: str,
    link: Mapping[str, Any],
    device: Mapping[str, Any] | None = None,
    tags: Iterable[Mapping[str, Any]] = (),
    *,
    interval_ms: int = 1000,
    remark: str = "",
) -> str:
    """TOML tables of these keys, `name` first. The device is put on the link, the tags into one group of it.

    `remark`: a sentence about the link, which becomes a comment in its table.
    """
    head, *keys = table("link", {"name": link["name"], "driver": driver, **link}).splitlines()
    parts = ["\n".join([head, *([f"# {remark}"] if remark else []), *keys]) + "\n"]
    if device is not None:
        parts.append(table("device", {"name": device["name"], "link": link["name"], **device}))
        tables = [indent(table("device.group.tag", tag), 4 * " ") for tag in tags]
        if tables:
            group = table("device.group", {"name": "found", "interval_ms": interval_ms})
            parts += [indent(group, 2 * " "), *tables]
    return "\n".join(parts)
