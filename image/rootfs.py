"""The root of a slot: the base with the layers over it, the project's packages, and nothing that differs by build."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from image.base import Base
from image.errors import BuildError
from image.initramfs import initramfs
from image.layers import Recipe, matching
from image.release import Release
from image.toolbox import Toolbox
from image.trees import copy_tree, link, remove, set_times

APPLIANCE = "usr/lib/tidegate/appliance"
RAUC = "etc/rauc/system.conf"
KEYRING = "etc/rauc/keyring.pem"


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
    device_trees = take_device_trees(tree, kernel, work)
    _thin_out(tree, recipe)
    for path in matching(tree / "usr/lib/modules" / kernel / "kernel", recipe.all_of("remove_modules")):
        remove(path)
    box.run(["depmod", "-b", tree, kernel])
    for layer in recipe.layers:
        if layer.files.is_dir():
            copy_tree(layer.files, tree)
    for place, target in recipe.links:
        link(tree, place, target)
    for unit in recipe.all_of("mask"):
        link(tree, f"/etc/systemd/system/{unit}", "/dev/null")
    if recipe.all_of("enable"):
        box.run(["chroot", tree, "systemctl", "--quiet", "enable", *recipe.all_of("enable")])
    compile_python(box, tree, [f"/{path.relative_to(tree)}" for path in sorted(tree.glob("usr/lib/python3*"))])
    boot_files = work / "boot-files"
    shutil.rmtree(boot_files, ignore_errors=True)
    for package in sorted(base.boot.glob("*.deb")):
        box.run(["dpkg-deb", "-x", package, boot_files])
    return Root(tree, device_trees, boot_files)


def install(root: Root, packages: list[Path], recipe: Recipe, box: Toolbox) -> None:
    """Install packages of our own with their maintainer scripts. What they depend on must be there."""
    if packages:
        # Maintainer scripts ask the kernel, and leave notes where a machine that runs has them.
        box.script(
            'mount -t proc proc "$1/proc"\nmount -t tmpfs tmpfs "$1/run"\n'
            'tree=$1\nshift\nexec dpkg --force-unsafe-io --root="$tree" --install "$@"',
            root.tree,
            *packages,
            env={"DEBIAN_FRONTEND": "noninteractive"},
        )
    _thin_out(root.tree, recipe)
    # Wheels bring what only a debugger reads.
    libraries = sorted((root.tree / "usr/lib/tidegate").rglob("*.so"))
    if libraries:
        box.run(["aarch64-linux-gnu-strip", "--strip-debug", "--preserve-dates", *libraries])


def finish(root: Root, release: Release, keyring: bytes, box: Toolbox) -> None:
    """Kernel, initramfs, what names the release; then everything goes that says when or where it was built."""
    tree = root.tree
    kernel = kernel_of(tree)
    boot = tree / "boot"
    # Newer packages keep it beside the modules, and only perhaps in /boot.
    beside = tree / "usr/lib/modules" / kernel / "vmlinuz"
    plain = beside if beside.is_file() else boot / f"vmlinuz-{kernel}"
    # U-Boot unpacks it: booti knows gzip by its first bytes.
    packed = box.run(["gzip", "-9", "-n", "-c", plain])
    for path in (plain, boot / "vmlinuz"):
        remove(path)
    (boot / "vmlinuz").write_bytes(packed)
    for file in boot.iterdir():
        if file.name != "vmlinuz":
            remove(file)
    (boot / "initrd").write_bytes(initramfs(tree, kernel, root.boot_files / "usr/bin/busybox", box))
    (tree / KEYRING).write_bytes(keyring)
    system = tree / RAUC
    system.write_text(re.sub(r"(?m)^compatible=.*$", f"compatible={release.compatible}", system.read_text()))
    label(tree, release)
    # Empty, not missing: it is written at the first start, and the machine isn't asked as for a new installation.
    (tree / "etc/machine-id").write_text("")
    remove(tree / "var/lib/dbus/machine-id")
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
            remove(path)
    (tree / "data").mkdir(exist_ok=True)
    # As old as /usr: nothing is to be brought up to date at the first start (systemd-update-done.service(8)).
    for folder in ("etc", "var"):
        (tree / folder / ".updated").touch()
    set_times(tree, release.epoch)


def label(tree: Path, release: Release) -> None:
    """Say in ``tree`` which release it is, in files of its own: those there may belong to another tree, too."""
    os_release = tree / "usr/lib/os-release"
    others = re.sub(r"(?m)^IMAGE_.*\n", "", os_release.read_text())
    for path, text in (
        (tree / APPLIANCE / "release", release.text()),
        (os_release, f"{others}IMAGE_ID={release.compatible}\nIMAGE_VERSION={release.version}\n"),
    ):
        remove(path)
        path.write_text(text)


def kernel_of(tree: Path) -> str:
    """The version of the one kernel in ``tree``."""
    found = sorted(path.name for path in (tree / "usr/lib/modules").glob("*"))
    if len(found) != 1:
        raise BuildError(f"{tree} holds {len(found)} kernels, not one: look at 'packages' of the layers")
    return found[0]


def compile_python(box: Toolbox, tree: Path, folders: list[str]) -> None:
    """Compile modules natively, never to be compared with their sources again: the root is read-only."""
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


def used(tree: Path, box: Toolbox) -> int:
    """What the tree takes on a disk in bytes, as du counts it."""
    return int(box.run(["du", "-sk", tree]).split()[0]) << 10


def _thin_out(tree: Path, recipe: Recipe) -> None:
    for path in matching(tree, recipe.all_of("remove")):
        remove(path)


def take_device_trees(tree: Path, kernel: str, work: Path) -> tuple[Path, ...]:
    """Move the Raspberry Pi's device trees out of the root; those of other boards go. Raises BuildError."""
    places = (
        tree / f"usr/lib/linux-image-{kernel}",
        tree / f"usr/lib/modules/{kernel}/dtb",
        tree / f"usr/lib/modules/{kernel}/dtbs",
    )
    kept = work / "device-trees"
    shutil.rmtree(kept, ignore_errors=True)
    kept.mkdir()
    # In newer kernels' packages the first is a link to the second.
    for place in places:
        for file in sorted(place.glob("broadcom/bcm2[78]*-rpi-*.dtb")):
            shutil.copyfile(file, kept / file.name)
        remove(place)
    found = tuple(sorted(kept.iterdir()))
    if not found:
        raise BuildError(f"the kernel {kernel} brings no device tree of a Raspberry Pi")
    return found
