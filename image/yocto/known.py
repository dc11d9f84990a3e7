"""`packages.toml`: the release of OpenEmbedded that the layer is for, and what single packages need."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PACKAGES = Path(__file__).with_name("packages.toml")


@dataclass(frozen=True, slots=True)
class Package:
    """What one package's recipe needs beyond its archive."""

    summary: str = ""
    licence: str | None = None
    licence_files: tuple[str, ...] = ()
    inherit: tuple[str, ...] = ()
    depends: tuple[str, ...] = ()
    rdepends: tuple[str, ...] = ()
    rprovides: tuple[str, ...] = ()
    build_options: tuple[str, ...] = ()
    stripped: bool = False
    body: str = ""


@dataclass(frozen=True, slots=True)
class Known:
    """The whole file. `backends` are versions by canonical name; `left_out` and `theirs` are reasons by name."""

    release: str
    python: str
    backends: dict[str, str]
    left_out: dict[str, str]
    theirs: dict[str, str]
    names: dict[str, str]
    packages: dict[str, Package]

    def recipe_name(self, package: str) -> str:
        """OpenEmbedded's name of a Python package."""
        return self.names.get(package, f"python3-{package}")

    def recipe_names(self, packages: Iterable[str]) -> list[str]:
        """OpenEmbedded's names of those that a box gets, in order."""
        return sorted(self.recipe_name(package) for package in packages if package not in self.left_out)


def load() -> Known:
    """Read `packages.toml`."""
    document = tomllib.loads(PACKAGES.read_text())
    release = document["openembedded"]
    return Known(
        release=release["release"],
        python=release["python"],
        backends=release["backends"],
        left_out=document["left-out"],
        theirs=document["theirs"],
        names=document["names"],
        packages={name: _package(entry) for name, entry in document["package"].items()},
    )


def _package(entry: dict[str, Any]) -> Package:
    fields: dict[str, Any] = {
        key.replace("-", "_"): tuple(value) if isinstance(value, list) else value for key, value in entry.items()
    }
    return Package(**fields)
