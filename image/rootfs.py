"""The root file system of a slot: the base with the layers over it, everything a release needs, and nothing that differs from build to build."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from image.base import Base
from image.errors import BuildError
from image.initramfs import initramfs
from image.layers import Recipe, matching
from image.release import Release
from image.toolbox import Toolbox

APPLIANCE = "usr/lib/tidegate/appliance"
KEYRING = "etc/rauc/keyring.pem"
_SYSTEM_PYTHON = "usr/lib/python3"


@dataclass(frozen=True, slots=True)
class Root:
    """A root that is put together, and beside it what belongs on the boot partition."""

    tree: Path
    device_trees: tuple[Path, ...]
    boot_files: Path
    """Where the boot partition's packages are unpacked."""


def unpack(base: Base, recipe: Recipe, box: Toolbox, work: Path) -> Root:
    """The base unpacked into ``work`` with what the layers remove, add, mask and enable."""
    tree = work / "root"
    box.script('rm -rf "$1"\nmkdir -p "$1"\ntar --numeric-owner --xattrs -xpf "$2" -C "$1"', tree, base.root)
    kernel = kernel_of(tree)
    device_trees = _take_device_trees(tree, kernel, work)
    for path in matching(tree, recipe.all_of("remove")):
        _remove(path)
    for path in matching(tree / "usr/lib/modules" / kernel / "kernel", recipe.all_of("remove_modules")):
        _remove(path)
    box.run(["depmod", "-b", tree, kernel])
    for layer in recipe.layers:
        if layer.files.is_dir():
            copy_tree(layer.files, tree)
    for place, target in recipe.links:
        _link(tree, place, target)
    for unit in recipe.all_of("mask"):
        _link(tree, f"/etc/systemd/system/{unit}", "/dev/null")
    if recipe.all_of("enable"):
        box.run(["chroot", tree, "systemctl", "--quiet", "enable", *recipe.all_of("enable")])
    compile_python(box, tree, [f"/{path.relative_to(tree)}" for path in sorted(tree.glob("usr/lib/python3*"))])
    boot_files = work / "boot-files"
    shutil.rmtree(boot_files, ignore_errors=True)
    for package in sorted(base.boot.glob("*.deb")):
        box.run(["dpkg-deb", "-x", package, boot_files])
    return Root(tree, device_trees, boot_files)


def install(root: Root, packages: list[Path], box: Toolbox) -> None:
    """Install packages of our own with their maintainer scripts. What they depend on must be there."""
    if packages:
        box.run(
            ["dpkg", f"--root={root.tree}", "--force-unsafe-io", "--install", *packages],
            env={"DEBIAN_FRONTEND": "noninteractive", "DPKG_DEB_THREADS_MAX": "1"},
        )


def finish(root: Root, release: Release, keyring: bytes, box: Toolbox) -> None:
    """Kernel, initramfs, what names the release; then everything goes that says when or where it was built."""
    tree = root.tree
    kernel = kernel_of(tree)
    boot = tree / "boot"
    (boot / f"vmlinuz-{kernel}").rename(boot / "vmlinuz")
    for file in boot.iterdir():
        if file.name != "vmlinuz":
            _remove(file)
    (boot / "initrd").write_bytes(initramfs(tree, kernel, root.boot_files / "usr/bin/busybox", box))
    about = tree / APPLIANCE
    about.mkdir(parents=True, exist_ok=True)
    (about / "release").write_text(release.text())
    ring = tree / KEYRING
    ring.parent.mkdir(parents=True, exist_ok=True)
    ring.write_bytes(keyring)
    os_release = tree / "usr/lib/os-release"
    os_release.write_text(os_release.read_text() + f"IMAGE_ID={release.compatible}\nIMAGE_VERSION={release.version}\n")
    # Empty, not missing: it is written at the first start, and the machine isn't asked as for a new installation.
    (tree / "etc/machine-id").write_text("")
    _remove(tree / "var/lib/dbus/machine-id")
    for pattern in (
        "var/log/*",
        "var/cache/ldconfig/*",
        "var/lib/dpkg/*-old",
        "var/lib/systemd/random-seed",
        "tmp/*",
        "run/*",
        "etc/*-",
    ):
        for path in sorted(tree.glob(pattern)):
            _remove(path)
    (tree / "data").mkdir(exist_ok=True)
    set_times(tree, release.epoch)


def kernel_of(tree: Path) -> str:
    """The version of the one kernel in ``tree``."""
    found = sorted(path.name for path in (tree / "usr/lib/modules").glob("*"))
    if len(found) != 1:
        raise BuildError(f"{tree} holds {len(found)} kernels, not one: look at 'packages' of the layers")
    return found[0]


def compile_python(box: Toolbox, tree: Path, folders: list[str]) -> None:
    """Compile modules natively. They are never looked at again for changes: the root is read-only, and its times are all the same."""
    for cached in (path for folder in folders for path in (tree / folder.lstrip("/")).rglob("__pycache__")):
        shutil.rmtree(cached)
    box.run(
        [
            *("python3", "-m", "compileall", "-q", "-f", "-j", "0", "--invalidation-mode", "unchecked-hash"),
            *("-s", tree, "-p", "/"),
            *(f"{tree}{folder}" for folder in folders),
        ],
        env={"PYTHONHASHSEED": "0"},
    )


def copy_tree(source: Path, target: Path) -> None:
    """Copy files and links over a root; a file may be run by all if it may be by its owner, and belongs to root."""
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_symlink():
            place.unlink(missing_ok=True)
            place.symlink_to(os.readlink(path))
        elif path.is_dir():
            place.mkdir(mode=0o755, exist_ok=True)
        else:
            place.unlink(missing_ok=True)
            shutil.copyfile(path, place)
            place.chmod(0o755 if path.stat().st_mode & 0o100 else 0o644)


def set_times(tree: Path, epoch: int) -> None:
    """Nothing is newer than ``epoch``."""
    for folder, names, files in os.walk(tree):
        for path in (folder, *(os.path.join(folder, name) for name in (*names, *files))):
            if os.lstat(path).st_mtime > epoch:
                os.utime(path, (epoch, epoch), follow_symlinks=False)


def used_kib(tree: Path, box: Toolbox) -> int:
    """What the tree takes on a disk, as du counts it."""
    return int(box.run(["du", "-sk", "--apparent-size", tree]).split()[0])


def _take_device_trees(tree: Path, kernel: str, work: Path) -> tuple[Path, ...]:
    """Move the Raspberry Pi's device trees out of the root; those of other boards go."""
    places = (
        tree / f"usr/lib/linux-image-{kernel}",
        tree / f"usr/lib/modules/{kernel}/dtb",
        tree / f"usr/lib/modules/{kernel}/dtbs",
    )
    kept = work / "device-trees"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    for place in filter(Path.is_dir, places):
        for file in sorted(place.glob("broadcom/bcm2[78]*-rpi-*.dtb")):
            shutil.copyfile(file, kept / file.name)
        shutil.rmtree(place)
    found = tuple(sorted(kept.iterdir()))
    if not found:
        raise BuildError(f"the kernel {kernel} brings no device tree of a Raspberry Pi")
    return found


def _link(tree: Path, place: str, target: str) -> None:
    path = tree / place.lstrip("/")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove(path)
    path.symlink_to(target)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
