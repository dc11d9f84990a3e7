"""TOML to be pasted into a configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def table(name: str, keys: Mapping[str, Any]) -> str:
    """One entry of an array of tables, with a line for each key."""
    return "\n".join([f"[[{name}]]", *(f"{key} = {value(item)}" for key, item in keys.items())]) + "\n"


def value(item: Any) -> str:
    """One value. Raises TypeError for what TOML doesn't have."""
    match item:
        case bool():
            return "true" if item else "false"
        case str():
            # A basic string of TOML escapes as JSON does, but DEL too.
            return json.dumps(item, ensure_ascii=False).replace("\x7f", "\\u007f")
        case int() | float():
            return repr(item)
        case list() | tuple():
            return f"[{', '.join(map(value, item))}]"
        case dict():
            return "{" + ", ".join(f"{key} = {value(part)}" for key, part in item.items()) + "}"
    raise TypeError(f"TOML has no {type(item).__name__}")
