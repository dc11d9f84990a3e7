"""What an image is made of: layers, each a folder ``NN-name`` with a ``layer.toml`` and perhaps files for the root."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from image.errors import BuildError
from image.places import CHECKOUT, key_of, tree_parts

LAYERS = CHECKOUT / "image" / "layers"
VARIANTS = ("rpi", "rpi5")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer. Paths and patterns are absolute within the root; ``*`` doesn't match a slash."""

    name: str
    description: str
    folder: Path
    variants: tuple[str, ...] = VARIANTS
    suites: tuple[str, ...] = ()
    """Suites of Debian beyond those every image uses."""
    packages: tuple[str, ...] = ()
    boot_packages: tuple[str, ...] = ()
    """Packages for the boot partition or the initramfs: unpacked beside the root, not installed."""
    own_packages: tuple[str, ...] = ()
    """Packages of this project, built from the checkout and installed."""
    remove: tuple[str, ...] = ()
    remove_modules: tuple[str, ...] = ()
    """Patterns below ``/usr/lib/modules/<kernel>/kernel``."""
    enable: tuple[str, ...] = ()
    """Units that start by themselves, besides those whose packages say so."""
    mask: tuple[str, ...] = ()
    """Units that must never start."""
    links: tuple[tuple[str, str], ...] = ()
    """(path, what the symbolic link at it points to)."""

    @property
    def files(self) -> Path:
        return self.folder / "files"


@dataclass(frozen=True, slots=True)
class Recipe:
    """The layers of one variant, bottom first."""

    variant: str
    layers: tuple[Layer, ...]

    def all_of(self, field: str) -> tuple[str, ...]:
        """What every layer says under ``field``, in order, once each."""
        return tuple(dict.fromkeys(value for layer in self.layers for value in getattr(layer, field)))

    @property
    def links(self) -> tuple[tuple[str, str], ...]:
        return tuple(link for layer in self.layers for link in layer.links)

    @property
    def key(self) -> str:
        """A name that changes with anything the layers say or hold."""
        return key_of(part for layer in self.layers for part in (layer.name, *tree_parts(layer.folder)))


def recipe(variant: str, folder: Path = LAYERS) -> Recipe:
    """The layers of ``variant``. Raises BuildError for a variant or a key that doesn't exist."""
    if variant not in VARIANTS:
        raise BuildError(f"there is no variant {variant!r}: choose one of {', '.join(VARIANTS)}")
    layers = (layer_of(path.parent) for path in sorted(folder.glob("*/layer.toml")))
    return Recipe(variant, tuple(layer for layer in layers if variant in layer.variants))


def layer_of(folder: Path) -> Layer:
    """The layer declared in ``folder``. Raises BuildError with the file and key where it is wrong."""
    file = folder / "layer.toml"
    try:
        said = tomllib.loads(file.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BuildError(f"{file} can't be read: {error}") from error
    if not isinstance(said.get("description"), str):
        raise BuildError(f"{file}: 'description' is missing: say in a sentence what the layer is for")
    values: dict[str, Any] = {"description": said.pop("description")}
    if "links" in said:
        links = said.pop("links")
        if not isinstance(links, dict) or not all(isinstance(target, str) for target in links.values()):
            raise BuildError(f"{file}: 'links' is no table of path = target")
        values["links"] = tuple(links.items())
    known = [field.name for field in fields(Layer) if field.name not in ("name", "folder", "description", "links")]
    for key, value in said.items():
        if key not in known:
            raise BuildError(
                f"{file}: there is no key {key!r}: the keys are {', '.join(['description', *known, 'links'])}"
            )
        values[key] = _strings(file, key, value)
    for variant in values.get("variants", ()):
        if variant not in VARIANTS:
            raise BuildError(f"{file}: there is no variant {variant!r}: choose from {', '.join(VARIANTS)}")
    return Layer(name=folder.name, folder=folder, **values)


def _strings(file: Path, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BuildError(f"{file}: {key!r} is no list of texts")
    return tuple(value)


def matching(root: Path, patterns: Iterable[str]) -> list[Path]:
    """What is at the patterns within ``root``, links not followed, in a fixed order."""
    return sorted({path for pattern in patterns for path in root.glob(pattern.lstrip("/"))})
