"""Whether the same inputs give the same bytes: everything after the base is built twice and compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from image.build import Shop, make_disk, make_root
from image.errors import BuildError
from image.parcel import packages_of_box
from image.places import sha256_of
from image.steps import say, step


def check(at: Shop) -> None:
    """Build packages, root and disk image twice, in folders of different names. Raises BuildError where one differs."""
    first, second = _build(at, "check-a"), _build(at, "check-longer-b")
    for name in first:
        same = first[name] == second[name]
        say(f"{'identical' if same else 'DIFFERENT'}  {first[name]}  {name}")
    different = [name for name in first if first[name] != second[name]]
    if different:
        raise BuildError(f"two builds of the same inputs differ in {', '.join(different)}")


def _build(at: Shop, name: str) -> dict[str, str]:
    """The hashes of what a build in a folder of its own makes, which is removed with it."""
    work = at.where.work / name
    out = work / "out"
    out.mkdir(parents=True, exist_ok=True)
    apart = replace(at, where=replace(at.where, out=out, scratch=work))
    packages = packages_of_box(at.recipe.all_of("own_packages"), at.release, at.box, apart.where, out)
    root = make_root(apart, packages)
    root_file, image = apart.work / "root.ext4", out / "disk.img"
    make_disk(apart, root, root_file, image)
    files: list[Path] = [*packages, root.tree / "boot/initrd", root_file, image]
    with step("hashes"):
        hashes = {file.name: sha256_of(file) for file in files}
    at.box.run(["rm", "-rf", work])
    return hashes
