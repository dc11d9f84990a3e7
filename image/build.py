"""From layers to artefacts: the steps of a build in their order."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from image import disk, rootfs
from image.base import Base, base
from image.keys import Signer, signer
from image.layers import Recipe, recipe
from image.places import Places
from image.release import Release, release_of
from image.steps import megabytes, step
from image.toolbox import Toolbox, toolbox


@dataclass(frozen=True, slots=True)
class Shop:
    """What every build of a variant starts from."""

    where: Places
    box: Toolbox
    recipe: Recipe
    base: Base
    signer: Signer
    release: Release


def shop(where: Places, variant: str, *, version: str | None = None, refresh: bool = False) -> Shop:
    box = toolbox(where)
    layers = recipe(variant)
    who = signer(where.cache / "keys")
    return Shop(
        where, box, layers, base(layers, box, where, refresh=refresh), who, release_of(variant, who.kind, version)
    )


def make_root(at: Shop, packages: list[Path], work: Path) -> rootfs.Root:
    with step("root"):
        root = rootfs.unpack(at.base, at.recipe, at.box, work)
    with step("packages of our own installed"):
        rootfs.install(root, packages, at.box)
    with step("kernel, initramfs, release") as current:
        rootfs.finish(root, at.release, at.signer.keyring.read_bytes(), at.box)
        current.note = f"{rootfs.used_kib(root.tree, at.box) / 1024:.0f} MiB used"
    return root


def make_disk(at: Shop, root: rootfs.Root, work: Path, out: Path) -> tuple[Path, Path]:
    """(root file system, disk image) in ``out``."""
    root_file, image = work / "root.ext4", out / f"{at.release.name}.img"
    with step("root file system") as current:
        disk.root_ext4(root, at.release, at.box, root_file)
        current.note = megabytes(root_file.stat().st_blocks * 512)
    with step("disk image") as current:
        image.unlink(missing_ok=True)
        disk.disk_image(root_file, root, at.release, at.box, work, image)
        current.note = megabytes(image.stat().st_size)
    return root_file, image
