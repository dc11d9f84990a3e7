"""What this slot holds, and which of two versions is newer."""

from __future__ import annotations

import re
from configparser import ConfigParser
from configparser import Error as Unparsable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

RELEASE: Final = Path("/usr/lib/tidegate/appliance/release")
SYSTEM_CONF: Final = Path("/etc/rauc/system.conf")
_VERSION: Final = re.compile(r"(\d+(?:\.\d+)*)(?:[-~]([0-9A-Za-z.~-]+))?(?:\+.*)?")


@dataclass(frozen=True, slots=True)
class Release:
    """One release, as its own file says."""

    version: str
    compatible: str


def release_of(path: Path = RELEASE) -> Release:
    """``NAME=value`` lines. Raises OSError; what isn't said is empty."""
    lines = (line.partition("=") for line in path.read_text().splitlines())
    told = {name.strip(): value.strip() for name, _, value in lines}
    return Release(told.get("VERSION", ""), told.get("COMPATIBLE", ""))


def floor_of(path: Path = SYSTEM_CONF) -> str:
    """The oldest version that the release that runs lets be installed; empty if it says nothing."""
    parser = ConfigParser(interpolation=None)
    try:
        parser.read(path)
        return parser.get("system", "min-bundle-version", fallback="")
    except Unparsable:
        return ""


def is_older(version: str, than: str) -> bool:
    """By the order of semantic versioning, numbers that are missing being 0. What is no version is older than any."""
    return _key(version) < _key(than)


def _key(version: str) -> tuple[tuple[int, ...], bool, tuple[tuple[bool, int, str], ...]]:
    found = _VERSION.fullmatch(version.strip())
    if found is None:
        return (), False, ()
    numbers = [int(part) for part in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    words = re.split(r"[.~-]", found[2]) if found[2] else []
    # Without a word behind it a version comes after all that have one; numbers come before words.
    before = tuple((not word.isdigit(), int(word) if word.isdigit() else 0, word) for word in words)
    return (0, *numbers), not words, before
