"""What `requirements/runtime.lock`, written by `uv pip compile --universal --generate-hashes`, says of each package."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from image.yocto.known import Known

LOCK = Path("requirements/runtime.lock")

ROOT = "tidegate"

_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^\s+#\s+(?:via\s+)?([A-Za-z0-9._-]+)(?:\s|$)")


@dataclass(frozen=True, slots=True)
class Locked:
    """A package at one version: the sha256 of each of its files, and which packages of the lock ask for it."""

    name: str
    version: str
    sha256: frozenset[str]
    wanted_by: frozenset[str]


def read(text: str, python: str) -> dict[str, Locked]:
    """The packages of the lock that Linux on arm64 needs with that version of Python ("3.14"), by canonical name."""
    return {package.name: package for package in _packages(text, python)}


def needs(packages: dict[str, Locked], name: str) -> list[str]:
    """What that package asks for, among those of the lock, in the order of names."""
    return sorted(package.name for package in packages.values() if name in package.wanted_by)


def made(packages: dict[str, Locked], known: Known) -> list[Locked]:
    """Those that the layer has a recipe for."""
    return [
        package
        for package in packages.values()
        if package.name not in known.left_out and package.name not in known.theirs
    ]


def _packages(text: str, python: str) -> Iterator[Locked]:
    environment = {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "aarch64",
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "python_version": python,
        "python_full_version": f"{python}.0",
    }
    for entry in re.split(r"^(?=[A-Za-z0-9])", text, flags=re.MULTILINE):
        if not entry.strip() or entry.startswith("#"):
            continue
        requirement = Requirement(entry.split("\\", 1)[0].splitlines()[0])
        if requirement.marker is not None and not requirement.marker.evaluate(environment):
            continue
        (version,) = (part.version for part in requirement.specifier)
        wanted_by = {
            canonicalize_name(found[1])
            for line in entry.splitlines()
            if (found := _VIA.match(line)) and found[1] != "via"
        }
        yield Locked(
            canonicalize_name(requirement.name), version, frozenset(_HASH.findall(entry)), frozenset(wanted_by)
        )
