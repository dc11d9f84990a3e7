"""Whether the same inputs give the same bytes: what follows the base is built once more, elsewhere, and compared."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from image.build import Shop, make_disk, make_root
from image.errors import BuildError
from image.parcel import packages_of_box
from image.places import sha256_of
from image.steps import say


def check(at: Shop, made: list[Path]) -> None:
    """Build the packages and the disk image of ``made`` again. Raises BuildError where one differs."""
    say("once more, to compare:")
    work = at.where.work / "built-once-more"
    out = work / "out"
    out.mkdir(parents=True, exist_ok=True)
    apart = replace(at, where=replace(at.where, out=out, work=work))
    apart.work.mkdir(exist_ok=True)
    packages = packages_of_box(at.recipe.all_of("own_packages"), at.release, at.box, apart.where, out)
    root = make_root(apart, packages)
    make_disk(apart, root, apart.work / "root.ext4", out / f"{at.release.name}.img")
    again = {file.name: sha256_of(file) for file in out.iterdir() if file.is_file()}
    different = []
    for file in made:
        if file.name in again:
            first = sha256_of(file)
            say(f"{'identical' if first == again[file.name] else 'DIFFERENT'}  {first}  {file.name}")
            if first != again[file.name]:
                different.append(file.name)
    if different:
        names = ", ".join(different)
        raise BuildError(f"two builds of the same inputs differ in {names}: compare {out} with {at.where.out}")
    at.box.run(["rm", "-rf", work])
