"""The project's packages: ``tidegate``, made by image/packages/build.py, and what a ``package.toml`` declares."""

from __future__ import annotations

import shutil
import tempfile
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from image.deb import SCRIPTS, Control, build_deb
from image.errors import BuildError
from image.layers import VARIANTS
from image.packages.build import BuildFailed, Compiler, Target, build, install_wheel, wheel
from image.places import CHECKOUT, Places, exclusive
from image.release import Release, release_of
from image.steps import megabytes, step
from image.toolbox import Toolbox, toolbox
from image.trees import copy_tree

TRIXIE, BOOKWORM = (3, 13), (3, 11)
"""The Python of Debian 13 and of Debian 12."""
GATEWAY = "tidegate"
PACKAGES = CHECKOUT / "image" / "packages"
_MACHINES = (
    ("arm64", TRIXIE, "trixie"),
    ("amd64", TRIXIE, "trixie"),
    ("arm64", BOOKWORM, "bookworm"),
    ("amd64", BOOKWORM, "bookworm"),
)


@dataclass(frozen=True, slots=True)
class Parcel:
    """A package that a ``package.toml`` declares. ``install``: (path or pattern in the checkout, place in the root)."""

    name: str
    summary: str
    description: str
    depends: tuple[str, ...]
    python: str
    module: str
    install: tuple[tuple[str, str], ...]
    scripts: dict[str, str]


def parcel_of(folder: Path) -> Parcel:
    """The package declared in ``folder``. Raises BuildError with the file where it can't be read."""
    file = folder / "package.toml"
    try:
        said = tomllib.loads(file.read_text())
        return Parcel(
            name=folder.name,
            summary=said["summary"],
            description=said["description"].strip(),
            depends=tuple(said["depends"]),
            python=said["python"],
            module=said["module"],
            install=tuple(said["install"].items()),
            scripts={name: (folder / name).read_text() for name in SCRIPTS if (folder / name).exists()},
        )
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BuildError(f"{file} can't be read: {error}") from error
    except KeyError as error:
        raise BuildError(f"{file}: the key {error} is missing") from error


def packages_of_box(names: Iterable[str], release: Release, box: Toolbox, where: Places, out: Path) -> list[Path]:
    """The packages of a box, built into ``out`` in the order of ``names``."""
    target, made = Target("arm64", TRIXIE), []
    for name in names:
        with step(f"package {name}") as current:
            if name == GATEWAY:
                made.append(_gateway(target, release, box.root, where, out))
            else:
                made.append(_declared(parcel_of(PACKAGES / name), target, release, box, where, out))
            current.note = megabytes(made[-1].stat().st_size)
    return made


def packages_for_debian(version: str | None, where: Places) -> list[Path]:
    """The gateway's package for every machine it can be installed on: ``out/<suite>/``."""
    with exclusive(where.cache):
        box = toolbox(where)
    release, made = release_of(VARIANTS[0], "", version), []
    for architecture, python, suite in _MACHINES:
        folder = where.out / suite
        folder.mkdir(parents=True, exist_ok=True)
        with step(f"tidegate for {suite}, {architecture}") as current:
            root = box.root if python == TRIXIE else None
            made.append(_gateway(Target(architecture, python), release, root, where, folder))
            current.note = megabytes(made[-1].stat().st_size)
    return made


def _gateway(target: Target, release: Release, root: Path | None, where: Places, out: Path) -> Path:
    try:
        return build(
            target, out, version=release.version, cache=where.cache / "packages", root=root, epoch=release.epoch
        )
    except BuildFailed as error:
        raise BuildError(str(error)) from error


def _declared(parcel: Parcel, target: Target, release: Release, box: Toolbox, where: Places, out: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="parcel-", dir=where.work) as work:
        tree = Path(work, "tree")
        site = tree / target.site
        site.mkdir(parents=True)
        try:
            install_wheel(wheel(Path(work), CHECKOUT / parcel.python), site)
            Compiler(target, box.root).compile(site, parcel.module)
        except BuildFailed as error:
            raise BuildError(str(error)) from error
        for source, place in files_of(parcel):
            if source.is_dir():
                copy_tree(source, tree / place.lstrip("/"))
            else:
                to = tree / place.lstrip("/")
                to.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, to)
        control = Control(
            package=parcel.name,
            version=release.version,
            architecture="all",
            summary=parcel.summary,
            description=parcel.description,
            depends=tuple(need.replace("@VERSION@", release.version) for need in parcel.depends),
            scripts=parcel.scripts,
        )
        return build_deb(box, control, tree, out, epoch=release.epoch)


def files_of(parcel: Parcel) -> Iterator[tuple[Path, str]]:
    """(source, place of its own): a pattern may match nothing, a path must be there."""
    for said, place in parcel.install:
        if "*" in said:
            yield from ((path, f"{place}/{path.name}") for path in sorted(CHECKOUT.glob(said)) if path.is_file())
        elif (CHECKOUT / said).exists():
            yield CHECKOUT / said, place
        else:
            raise BuildError(
                f"{parcel.name}: there is no {said} in the checkout: look at 'install' of its package.toml"
            )
