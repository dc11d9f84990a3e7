"""Ready descriptions of instruments, as data: one TOML file each, in the words of :class:`DeviceOptions`.

A file has two more keys, which describe it: `summary`, and `source`, the public document it follows.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import tomli

from drivers.common.quoting import quoted

FOLDER = Path(__file__).parent


def names() -> tuple[str, ...]:
    """Every preset, sorted."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.toml")))


@cache
def _read(name: str) -> dict[str, Any]:
    return tomli.loads((FOLDER / f"{name}.toml").read_text())


def about(name: str) -> tuple[str, str]:
    """Summary and source of a preset."""
    body = _read(name)
    return body["summary"], body["source"]


def merged(given: Mapping[str, Any]) -> dict[str, Any]:
    """Device options with those of their preset below. Raises ValueError, in one sentence, if there is none."""
    name = given["preset"]
    if name not in names():
        raise ValueError(f"there is no preset {quoted(name)}: there are {', '.join(names())}")
    base = copy.deepcopy(_read(name))
    del base["summary"], base["source"]
    return _over(base, given)


def _over(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Tables are merged key by key; anything else is replaced."""
    out = dict(base)
    for key, value in given.items():
        below = base.get(key)
        out[key] = _over(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return out
