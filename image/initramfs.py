"""The initramfs: busybox, the first program, and the kernel modules from power-on to a mounted disk. Made natively."""

from __future__ import annotations

import lzma
from pathlib import Path

from image.cpio import Entry, archive
from image.errors import BuildError
from image.places import CHECKOUT
from image.toolbox import Toolbox

_INIT = CHECKOUT / "image" / "boot" / "init"
APPLETS = (
    *(
        "cat",
        "chmod",
        "chroot",
        "cmp",
        "cp",
        "cut",
        "dd",
        "find",
        "grep",
        "head",
        "insmod",
        "mkdir",
        "mount",
        "mv",
        "od",
        "reboot",
        "rm",
        "sh",
    ),
    *("sleep", "stat", "switch_root", "sync", "tail", "tr", "umount"),
)
MODULES = (
    # What a disk is behind: SD and eMMC of the boards, USB, and the emulated machine.
    *("virtio_blk", "virtio_pci", "virtio_mmio", "virtio_scsi", "sd_mod"),
    *(
        "sdhci_iproc",
        "bcm2835",
        "mmc_block",
        "i2c_bcm2835",
        "gpio_raspberrypi_exp",
        "clk_raspberrypi",
        "gpio_regulator",
    ),
    *("sdhci_brcmstb", "pcie_brcmstb", "reset_raspberrypi", "xhci_pci", "usb_storage", "uas", "dwc2", "nvme"),
    # What is on it.
    *("ext4", "crc32c_generic", "crc32c", "overlay"),
    # The boot partition, which a wipe reads and writes: nothing loads the tables of its names when it is mounted.
    *("vfat", "nls_cp437", "nls_iso8859_1"),
)
"""Wanted with what they depend on. One that a kernel has built in, or doesn't have, is left out."""
_EVERYWHERE = frozenset({"overlay", "vfat", "nls_cp437", "nls_iso8859_1"})
"""Of these, what no board does without."""


def initramfs(root: Path, kernel: str, busybox: Path, box: Toolbox) -> bytes:
    """The initramfs for the kernel in ``root``, whose modules and ``modules.dep`` are there, compressed with zstd."""
    folder = root / "usr/lib/modules" / kernel
    names, entries = [], []
    for file in closure((folder / "modules.dep").read_text(), MODULES):
        data = (folder / file).read_bytes()
        name = Path(file).name.removesuffix(".xz")
        names.append(name)
        entries.append(Entry.file(f"lib/modules/{name}", lzma.decompress(data) if file.endswith(".xz") else data))
    loaded = {_module(name) for name in (*names, *(folder / "modules.builtin").read_text().split())}
    if missing := sorted(_EVERYWHERE - loaded):
        raise BuildError(f"the kernel {kernel} has no module {missing[0]!r}: look at 'remove_modules' of the layers")
    tree = [
        *map(Entry.folder, ("bin", "dev", "etc", "lib", "lib/modules", "proc", "root", "run", "sys", "tmp")),
        Entry.character_device("dev/console", 5, 1),
        Entry.file("bin/busybox", busybox.read_bytes(), 0o755),
        *(Entry.link(f"bin/{applet}", "busybox") for applet in APPLETS),
        Entry.file("init", _INIT.read_bytes(), 0o755),
        *entries,
        Entry.file("lib/modules/order", "".join(f"{name}\n" for name in names).encode()),
    ]
    return box.run(["zstd", "-q", "-15", "-T1", "-c"], data=archive(tree))


def closure(modules_dep: str, wanted: tuple[str, ...]) -> list[str]:
    """The files of the modules wanted and of all they depend on, in an order in which they can be loaded.

    ``modules_dep`` is that of depmod: ``file: what it needs, the nearest first``.
    """
    needs = {file: rest.split() for file, _, rest in (line.partition(":") for line in modules_dep.splitlines())}
    by_name = {_module(file): file for file in needs}
    order: dict[str, None] = {}
    for name in wanted:
        if name in by_name:
            for file in (*reversed(needs[by_name[name]]), by_name[name]):
                order.setdefault(file)
    return list(order)


def _module(file: str) -> str:
    """The name by which the kernel knows a module."""
    return Path(file).name.partition(".")[0].replace("-", "_")
