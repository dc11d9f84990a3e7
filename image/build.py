"""From layers to artefacts: the steps of a build in their order."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from image import disk, rootfs
from image.base import Base, base
from image.bundle import bundle
from image.errors import BuildError
from image.inventory import bill_of_materials, inventory, table
from image.keys import Signer, signer
from image.layers import Recipe, recipe
from image.parcel import packages_of_box
from image.places import CHECKOUT, Places, exclusive, key_of, sha256_of
from image.release import Release, release_of
from image.steps import megabytes, say, step
from image.toolbox import Toolbox, toolbox
from image.trees import copy_tree, set_times

FLAWS = CHECKOUT / "image" / "flaws"
_STAMP = "stamp"
ROOT_LIMIT = 350 << 20
"""What the root may take, in bytes: an update's time follows from it, and the slot must hold the next ones."""
COMPRESSED_LIMIT = 200_000_000


@dataclass(frozen=True, slots=True)
class Shop:
    """What every build of a variant starts from."""

    where: Places
    box: Toolbox
    recipe: Recipe
    base: Base
    signer: Signer
    release: Release

    @property
    def work(self) -> Path:
        return self.where.work / self.recipe.variant

    @property
    def stamp(self) -> str:
        """What a root in ``work`` was made of, as far as it can be told without building."""
        return key_of([self.recipe.key, self.base.folder.name, replace(self.release, version="").text()])


def shop(where: Places, variant: str, *, version: str | None = None, refresh: bool = False) -> Shop:
    """Toolbox, base and keys of a variant, made where the cache hasn't got them."""
    who = signer(where.cache / "keys")
    layers = recipe(variant)
    release = release_of(variant, who.kind, version)
    with exclusive(where.cache):
        box = toolbox(where).seeing(*who.files)
        at = Shop(where, box, layers, base(layers, box, where, refresh=refresh), who, release)
    at.work.mkdir(parents=True, exist_ok=True)
    return at


def build_image(at: Shop) -> list[Path]:
    """Everything of a release, in ``build/image``. Raises BuildError where it became larger than it may."""
    out, name = at.where.out, at.release.name
    packages = packages_of_box(at.recipe.all_of("own_packages"), at.release, at.box, at.where, out)
    root = make_root(at, packages)
    root_file, image = at.work / "root.ext4", out / f"{name}.img"
    make_disk(at, root, root_file, image)
    with step("compressed image") as current:
        compressed = out / f"{name}.img.zst"
        at.box.run(["zstd", "-q", "-f", "-12", "-T0", image, "-o", compressed])
        current.note = megabytes(compressed.stat().st_size)
    if compressed.stat().st_size > COMPRESSED_LIMIT:
        raise BuildError(f"{compressed} is larger than {megabytes(COMPRESSED_LIMIT)}: look at what the layers bring")
    made = [image, compressed, make_bundle(at, root_file, out / f"{name}.raucb"), *packages, *_lists(at, root)]
    with step("checksums"):
        lines = (f"{sha256_of(file)}  {file.name}\n" for file in sorted(made))
        (out / "SHA256SUMS").write_text("".join(lines))
    say(str(image))
    return made


def make_root(at: Shop, packages: list[Path]) -> rootfs.Root:
    """The root of a release, in the work folder. Raises BuildError where it is larger than it may be."""
    (at.work / _STAMP).unlink(missing_ok=True)
    with step("root: base and layers"):
        root = rootfs.unpack(at.base, at.recipe, at.box, at.work)
    with step("root: packages of our own"):
        rootfs.install(root, packages, at.recipe, at.box)
    with step("root: kernel, initramfs, release") as current:
        rootfs.finish(root, at.release, at.signer.keyring.read_bytes(), at.box)
        used = rootfs.used(root.tree, at.box)
        current.note = f"{used / (1 << 20):.0f} MiB used"
    if used > ROOT_LIMIT:
        raise BuildError(
            f"the root takes {used >> 20} MiB, more than {ROOT_LIMIT >> 20}: look at what the layers bring"
        )
    (at.work / _STAMP).write_text(at.stamp)
    return root


def make_disk(at: Shop, root: rootfs.Root, root_file: Path, image: Path) -> None:
    """The root's file system and the disk image with it."""
    with step("root file system") as current:
        disk.root_ext4(root.tree, at.release, at.box, root_file)
        current.note = megabytes(root_file.stat().st_size)
    with step("disk image") as current:
        image.unlink(missing_ok=True)
        disk.disk_image(root_file, root, at.release, at.box, at.work, image)
        current.note = megabytes(image.stat().st_size)


def make_bundle(at: Shop, root_file: Path, out: Path) -> Path:
    with step("bundle") as current:
        bundle(root_file, at.release, at.signer, at.box, at.work, out)
        current.note = megabytes(out.stat().st_size)
    return out


def relabelled_bundle(at: Shop, out: Path, flaw: str | None) -> Path:
    """A bundle of the root built last under another version, and with a flaw where a test wants one.

    Where there is no such root it is built first.
    """
    if flaw is not None and not (FLAWS / flaw).is_dir():
        raise BuildError(
            f"there is no flaw {flaw!r}: choose one of {', '.join(sorted(p.name for p in FLAWS.iterdir()))}"
        )
    stamp = at.work / _STAMP
    if not stamp.exists() or stamp.read_text() != at.stamp:
        packages = packages_of_box(at.recipe.all_of("own_packages"), at.release, at.box, at.where, at.work)
        make_root(at, packages)
    tree = at.work / "relabelled"
    # Links: what is written below replaces files and doesn't change them.
    at.box.script('rm -rf "$2"\ncp -al "$1" "$2"', at.work / "root", tree)
    rootfs.label(tree, at.release)
    if flaw is not None:
        copy_tree(FLAWS / flaw, tree)
    set_times(tree, at.release.epoch)
    root_file = at.work / "relabelled.ext4"
    disk.root_ext4(tree, at.release, at.box, root_file)
    made = make_bundle(at, root_file, out)
    shutil.rmtree(tree)
    root_file.unlink()
    return made


def _lists(at: Shop, root: rootfs.Root) -> list[Path]:
    """The table of packages and the bill of materials."""
    with step("lists of what is inside") as current:
        controls = (at.box.run(["dpkg-deb", "-f", file]).decode() for file in sorted(at.base.boot.glob("*.deb")))
        items = inventory(root.tree, controls)
        name = at.where.out / at.release.name
        manifest, bill = Path(f"{name}.manifest.tsv"), Path(f"{name}.cdx.json")
        manifest.write_text(table(items))
        bill.write_text(bill_of_materials(items, at.release))
        current.note = f"{len(items)} packages"
    return [manifest, bill]
