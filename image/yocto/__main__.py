"""`python -m image.yocto build/sdists`: writes the recipes of the Python packages.

Their archives are in that folder: `make yocto` fetches them.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from pathlib import Path

from image.errors import BuildError
from image.yocto import known, lock, recipe, sdist

LAYER = Path(__file__).with_name("meta-tidegate")
RECIPES = LAYER / "recipes-devtools" / "python"
REQUIREMENTS = LAYER / "recipes-tidegate" / "tidegate" / "tidegate-requirements.inc"
VERSION = LAYER / "conf" / "tidegate-version.inc"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m image.yocto", description=__doc__)
    parser.add_argument(
        "sdists",
        type=Path,
        nargs="?",
        help="the folder with the archives; without it, what has to be in there is listed",
    )
    arguments = parser.parse_args()
    facts = known.load()
    packages = lock.read(lock.LOCK.read_text(), facts.python)
    try:
        if arguments.sdists is None:
            print("\n".join(f"{package.name}=={package.version}" for package in lock.made(packages, facts)))  # noqa: T201 - what it is asked for
        else:
            write(arguments.sdists, packages, facts)
    except BuildError as error:
        sys.exit(str(error))


def write(sdists: Path, packages: dict[str, lock.Locked], facts: known.Known) -> None:
    """Make every recipe anew. Raises BuildError where an archive is missing or isn't the one that the lock names."""
    files = {}
    for package in lock.made(packages, facts):
        archive = _archive(sdists, package)
        files[recipe.file_name(archive, facts)] = recipe.render(archive, lock.needs(packages, package.name), facts)
        if archive.crates:
            files[f"{facts.recipe_name(package.name)}-crates.inc"] = recipe.render_crates(archive)
    RECIPES.mkdir(parents=True, exist_ok=True)
    for stale in RECIPES.iterdir():
        if stale.name not in files:
            stale.unlink()
    for file, text in files.items():
        (RECIPES / file).write_text(text)
    REQUIREMENTS.write_text(recipe.render_requirements(lock.needs(packages, lock.ROOT), facts))
    VERSION.write_text(recipe.render_version(tomllib.loads(Path("pyproject.toml").read_text())["project"]["version"]))


def _archive(sdists: Path, package: lock.Locked) -> sdist.Sdist:
    stems = {f"{package.name.replace('-', letter)}-{package.version}" for letter in "-_."}
    for path in sorted(sdists.glob("*.tar.gz")):
        if path.name.removesuffix(".tar.gz").lower() in stems:
            archive = sdist.read(path)
            if archive.sha256 not in package.sha256:
                raise BuildError(
                    f"{path}: it isn't the file that {lock.LOCK} names; remove it and run `make yocto` again"
                )
            return archive
    raise BuildError(f"{sdists}: the source of {package.name} {package.version} is missing; let `make yocto` fetch it")


if __name__ == "__main__":
    main()
