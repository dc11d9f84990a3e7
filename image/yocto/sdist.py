"""What the source archive of a Python package (an sdist, PEP 517 and 643) says of itself."""

from __future__ import annotations

import hashlib
import tarfile
import tomllib
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from image.errors import BuildError

_CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"


@dataclass(frozen=True, slots=True)
class Crate:
    """A Rust package that is compiled in, as `Cargo.lock` pins it."""

    name: str
    version: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Sdist:
    """One archive. `stem` is its name without ".tar.gz"; `md5` is by path within, of all that looks like a licence."""

    name: str
    version: str
    stem: str
    sha256: str
    summary: str
    homepage: str
    licence: str | None
    licence_files: tuple[str, ...]
    md5: dict[str, str]
    backend: str | None
    build_requires: tuple[Requirement, ...]
    crates: tuple[Crate, ...]


def read(path: Path) -> Sdist:
    """Read an archive `.tar.gz`. Raises BuildError where it isn't an sdist."""
    with tarfile.open(path) as archive:
        stem = path.name.removesuffix(".tar.gz")
        files = {member.name.removeprefix(f"{stem}/"): member for member in archive.getmembers() if member.isfile()}

        def content(name: str) -> bytes:
            file = archive.extractfile(files[name])
            assert file is not None  # a plain file, by the selection above
            return file.read()

        if "PKG-INFO" not in files:
            raise BuildError(f"{path}: no sdist, it has no PKG-INFO; let `make yocto` fetch it again")
        metadata = message_from_bytes(content("PKG-INFO"))
        project = tomllib.loads(content("pyproject.toml").decode()) if "pyproject.toml" in files else {}
        system: dict[str, Any] = project.get("build-system", {})
        top = [name for name in files if "/" not in name]
        licences = _licence_files(metadata, top)
        return Sdist(
            name=canonicalize_name(metadata["Name"]),
            version=metadata["Version"],
            stem=stem,
            sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
            summary=" ".join(str(metadata["Summary"]).split()),
            homepage=_homepage(metadata),
            licence=_licence(metadata),
            licence_files=licences,
            md5={
                name: hashlib.md5(content(name), usedforsecurity=False).hexdigest()
                for name in files
                if _licence_like(name) or name in licences
            },
            backend=system.get("build-backend"),
            build_requires=tuple(map(Requirement, system.get("requires", []))),
            crates=_crates(content("Cargo.lock").decode()) if "Cargo.lock" in files else (),
        )


def _licence(metadata: Message) -> str | None:
    """An SPDX expression: the field for one, or an older free text that happens to be one."""
    free: str = metadata["License"] or ""
    return metadata["License-Expression"] or (free if free in ("Apache-2.0", "BSD-3-Clause", "MIT") else None)


def _licence_like(name: str) -> bool:
    return any(word in Path(name).name.upper() for word in ("LICENSE", "LICENCE", "COPYING", "EDL", "EPL"))


def _licence_files(metadata: Message, top: list[str]) -> tuple[str, ...]:
    declared = [name for name in metadata.get_all("License-File", []) if "AUTHORS" not in name and "NOTICE" not in name]
    return tuple(declared or sorted(name for name in top if _licence_like(name)))


def _homepage(metadata: Message) -> str:
    urls = dict(entry.split(", ", 1) for entry in metadata.get_all("Project-URL", []))
    folded = {label.casefold(): url for label, url in urls.items()}
    for label in ("homepage", "home", "repository", "source", "source code", "github", "documentation"):
        if label in folded:
            return folded[label]
    return str(metadata["Home-page"] or f"https://pypi.org/project/{metadata['Name']}/")


def _crates(lock: str) -> tuple[Crate, ...]:
    packages = tomllib.loads(lock)["package"]
    return tuple(Crate(p["name"], p["version"], p["checksum"]) for p in packages if p.get("source") == _CRATES_IO)
