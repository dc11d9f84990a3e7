"""TOML to be pasted into a configuration."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def table(name: str, keys: Mapping[str, Any]) -> str:
    """One entry of an array of tables, with a line for each key."""
    return "\n".join([f"[[{name}]]", *(f"{key(name)} = {value(item)}" for name, item in keys.items())]) + "\n"


def key(name: str) -> str:
    """A key, in quotes where it must be."""
    return name if _BARE.fullmatch(name) else _text(name)


def value(item: Any) -> str:
    """One value. Raises TypeError for what TOML doesn't have."""
    match item:
        case bool():
            return "true" if item else "false"
        case str():
            return _text(item)
        case int() | float():
            return repr(item)
        case list() | tuple():
            return f"[{', '.join(map(value, item))}]"
        case dict():
            return "{" + ", ".join(f"{key(name)} = {value(part)}" for name, part in item.items()) + "}"
    raise TypeError(f"TOML has no {type(item).__name__}")


def _text(item: str) -> str:
    # A basic string of TOML escapes as JSON does, but DEL too.
    return json.dumps(item, ensure_ascii=False).replace("\x7f", "\\u007f")
