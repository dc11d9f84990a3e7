"""Configurations written as YAML, for a gateway that reads TOML."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: to_toml
short_description: Write a dictionary as TOML
description:
  - Writes a dictionary as a TOML document, in the order of its keys; lists of dictionaries become arrays of tables.
  - A key whose value is null is left out.
version_added: 0.1.0
positional: _input
options:
  _input:
    description: What is written.
    type: dict
    required: true
"""

EXAMPLES = r"""
text: "{{ {'gateway': {'id': 'gw1'}, 'sink': [{'name': 'plant', 'host': 'broker'}]} | tidegate.fleet.to_toml }}"
"""

RETURN = r"""
_value:
  description: The TOML document.
  type: str
"""

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def to_toml(document: Any) -> str:
    if not isinstance(document, Mapping):
        raise AnsibleFilterError(f"to_toml takes a dictionary, not a {type(document).__name__}")
    return "\n".join(_table(document, ())).strip() + "\n"


def _table(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    """Plain keys first: what follows a heading belongs to it."""
    for key, value in table.items():
        if value is not None and not _is_table(value) and not _is_tables(value):
            yield f"{_key(key)} = {_value(value)}"
    for key, value in table.items():
        inner = (*path, _key(key))
        if _is_table(value):
            yield from ("", f"[{'.'.join(inner)}]")
            yield from _table(value, inner)
        elif _is_tables(value):
            for each in value:
                yield from ("", f"[[{'.'.join(inner)}]]")
                yield from _table(each, inner)


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _key(key: Any) -> str:
    text = str(key)
    return text if _BARE.fullmatch(text) else json.dumps(text)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case float():
            return str(value) if math.isfinite(value) else {math.inf: "inf", -math.inf: "-inf"}.get(value, "nan")
        case str():
            # A JSON string is a TOML basic string, but for what JSON leaves as it is.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case list() | tuple():
            return f"[{', '.join(_value(each) for each in value)}]"
        case Mapping():
            pairs = ", ".join(f"{_key(key)} = {_value(each)}" for key, each in value.items() if each is not None)
            return f"{{ {pairs} }}"
    raise AnsibleFilterError(f"TOML has nothing for a {type(value).__name__}")


class FilterModule:
    def filters(self) -> dict[str, Any]:
        return {"to_toml": to_toml}
