"""The base: Debian for arm64 as its packages leave it. It costs nearly all of a build's time and is kept in the cache.

Its maintainer scripts are the only thing in a build that runs under emulation. What they would do at length and can be
done natively afterwards is kept from them: ``depmod``, and an initramfs.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from image.deb import Control, build_deb
from image.layers import Recipe
from image.mirrors import mirrors, proxies
from image.places import Places, key_of
from image.steps import megabytes, step
from image.toolbox import DEBIAN_OPTIONS, SUITES, Toolbox

ARCHITECTURE = "arm64"
_COMPONENTS = "main non-free-firmware"
_EPOCH = "1"
"""Of the base alone, so that nothing in it depends on when it was made. An image has its own date."""

_STAND_IN = Control(
    package="tidegate-initramfs",
    version="1",
    architecture="all",
    summary="stands in for initramfs-tools",
    description="The image's build makes the initramfs; a box never does.",
    provides=("linux-initramfs-tool",),
)
_ESSENTIAL_HOOK = r"""
chroot "$1" dpkg-divert --quiet --local --rename --add /usr/sbin/depmod
ln -s /bin/true "$1/usr/sbin/depmod"
"""
_CUSTOMIZE_HOOK = r"""
rm "$1/usr/sbin/depmod"
chroot "$1" dpkg-divert --quiet --local --rename --remove /usr/sbin/depmod
rm -f "$1"/vmlinuz* "$1"/initrd.img*
mkdir -p "$OUT/boot" "$DEBS"
cd "$OUT/boot"
[ -z "$BOOT_PACKAGES" ] || APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get -q download $BOOT_PACKAGES
mv -f "$1"/var/cache/apt/archives/*.deb "$DEBS/" 2>/dev/null || true
"""
_SETUP_HOOK = r"""
mkdir -p "$1/var/cache/apt/archives"
cp -l "$DEBS"/*.deb "$1/var/cache/apt/archives/" 2>/dev/null || true
"""


@dataclass(frozen=True, slots=True)
class Base:
    """A base that is ready: ``root.tar`` and, below ``boot``, the packages of the boot partition."""

    folder: Path

    @property
    def root(self) -> Path:
        return self.folder / "root.tar"

    @property
    def boot(self) -> Path:
        return self.folder / "boot"


def base_key(recipe: Recipe) -> str:
    """What names the base of a recipe: everything that decides about it, except what the mirrors have today."""
    return key_of(
        [
            *DEBIAN_OPTIONS,
            *SUITES,
            *recipe.all_of("suites"),
            _COMPONENTS,
            *recipe.all_of("packages"),
            "boot",
            *recipe.all_of("boot_packages"),
            *(_ESSENTIAL_HOOK, _CUSTOMIZE_HOOK, _SETUP_HOOK, repr(_STAND_IN)),
        ]
    )


def base(recipe: Recipe, box: Toolbox, where: Places, *, refresh: bool = False) -> Base:
    """The base of a recipe, from the cache or made. ``refresh`` makes it anew, with what the mirrors have today."""
    folder = where.cache / f"base-{recipe.variant}-{base_key(recipe)}"
    with step(f"base of {recipe.variant}") as current:
        if refresh or not folder.is_dir():
            current.note = "made, "
            _make(folder, recipe, box, where)
        else:
            current.note = "cached, "
        current.note += megabytes((folder / "root.tar").stat().st_size)
    return Base(folder)


def _make(folder: Path, recipe: Recipe, box: Toolbox, where: Places) -> None:
    with tempfile.TemporaryDirectory(dir=where.cache, prefix=".base-") as scratch:
        fresh = Path(scratch, "base")
        fresh.mkdir()
        stand_in = build_deb(box, _STAND_IN, Path(scratch, "stand-in"), Path(scratch), epoch=0)
        sources = Path(scratch, "sources.list")
        sources.write_text(mirrors().sources((*SUITES, *recipe.all_of("suites")), _COMPONENTS))
        box.run(
            [
                *("mmdebstrap", "--mode=root", "--variant=minbase", f"--architectures={ARCHITECTURE}", "--format=tar"),
                *DEBIAN_OPTIONS,
                *(f"--aptopt={proxy}" for proxy in proxies()),
                *("--skip=download/empty", "--skip=essential/unlink"),
                "--hook-dir=/usr/share/mmdebstrap/hooks/file-mirror-automount",
                f"--setup-hook={_SETUP_HOOK}",
                f"--essential-hook={_ESSENTIAL_HOOK}",
                f"--customize-hook={_CUSTOMIZE_HOOK}",
                f"--include={stand_in}",
                f"--include={','.join(recipe.all_of('packages'))}",
                *(SUITES[0], fresh / "root.tar", sources),
            ],
            env={
                # Beside the packages that are kept, which become links in it.
                "TMPDIR": scratch,
                "OUT": str(fresh),
                "DEBS": str(where.cache / "debs"),
                "BOOT_PACKAGES": " ".join(recipe.all_of("boot_packages")),
                "SOURCE_DATE_EPOCH": _EPOCH,
            },
        )
        box.script('[ ! -e "$1" ] || rm -r "$1"\nmv -T "$2" "$1"', folder, fresh)
