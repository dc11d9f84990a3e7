"""``python -m image``: build the appliance's image, its packages and its update bundles."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from image.build import FLAWS, build_image, relabelled_bundle, shop
from image.check import check
from image.errors import BuildError
from image.layers import VARIANTS
from image.parcel import packages_for_debian
from image.places import Places, exclusive, places
from image.steps import say
from image.toolbox import toolbox


def main(arguments: Sequence[str]) -> int:
    """The exit code: 0, or 1 where a build failed, which is said on standard error."""
    told = _parse(arguments)
    started = time.monotonic()
    # What is put into trees is for all to read, whoever builds.
    os.umask(0o022)
    where = places(told.out)
    try:
        with exclusive(where.work):
            _do(told, where)
    except BuildError as error:
        sys.stderr.write(f"image: {error}\n")
        return 1
    say(f"{'in all':<44} {time.monotonic() - started:7.1f} s")
    return 0


def _do(told: argparse.Namespace, where: Places) -> None:
    if told.command == "packages":
        packages_for_debian(told.version, where)
        return
    if told.command == "toolbox":
        with exclusive(where.cache):
            toolbox(where)
        return
    at = shop(where, told.variant, version=told.version, refresh=told.refresh)
    match told.command:
        case "build":
            build_image(at)
        case "bundle":
            name = f"{at.release.name}{f'-{told.flaw}' if told.flaw else ''}.raucb"
            say(str(relabelled_bundle(at, (told.file or where.out / name).resolve(), told.flaw)))
        case "check":
            check(at, build_image(at))
        case "base":
            say(str(at.base.folder))


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m image", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, help_text in (
        ("build", "the image, its bundle, packages and lists"),
        ("packages", "the gateway's package for Debian 12 and 13, arm64 and amd64"),
        ("bundle", "an update bundle of what was built last, under another version"),
        ("check", "as build, then once more to compare byte by byte"),
        ("base", "only what is kept in the cache: toolbox and base"),
        ("toolbox", "only the Debian whose programs build the rest"),
    ):
        command = commands.add_parser(name, help=help_text, description=help_text)
        command.add_argument("--variant", choices=VARIANTS, default=VARIANTS[0], help="the boards it is for")
        command.add_argument("--version", help="default: the project's")
        command.add_argument("--out", type=Path, help="default: build/image")
        command.add_argument("--refresh", action="store_true", help="make the base anew, with today's packages")
        if name == "bundle":
            command.add_argument(
                "--flaw", choices=sorted(path.name for path in FLAWS.iterdir()), help="what it gets wrong"
            )
            command.add_argument("--file", type=Path, help="where to write it")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
