"""File systems and the disk image, without loop devices or mounts, the same bit for bit from the same contents."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from image import bootstate
from image.places import CHECKOUT
from image.release import Release
from image.rootfs import Root
from image.toolbox import Toolbox
from image.trees import set_times

SIGNATURE = 0x54474154
SLOT_MIB = 512
DATA_MIB = 188
"""As delivered; it grows to the end of the disk at the first start. It rounds the whole up to 1,280 MiB."""
_BOOT_MIB = 64
_ALIGN_MIB = 4
_BOOT_LABEL = "TIDEGATE"
SHIPPED = "tidegate-shipped.txt"
"""On the boot partition: what was delivered there. A wipe deletes the rest (image/boot/init)."""
_CONFIG_TXT = "arm_64bit=1\nenable_uart=1\nupstream_kernel=1\nkernel=u-boot.bin\n"
_CONSOLES = {"rpi": "ttyS1", "rpi5": "ttyAMA10"}
"""The serial line on the pins of the header, or of the debug connector, by the names of Debian's kernel."""
# The journal of a root that is never written would be read at every start for nothing.
_ROOT_FEATURES = "^has_journal,^metadata_csum_seed,^orphan_file"
_DATA_FEATURES = "^metadata_csum_seed,^orphan_file"
_UUID = "54474154-0000-4000-8000-00000000000{}"


def root_ext4(tree: Path, release: Release, box: Toolbox, out: Path) -> None:
    """The file system of a slot in the file ``out``, as small as it can be: an update writes every block of it."""
    _ext4(box, out, SLOT_MIB, number=2, label="root", features=_ROOT_FEATURES, epoch=release.epoch, tree=tree)
    box.run(["resize2fs", "-f", "-M", out], env={"SOURCE_DATE_EPOCH": str(release.epoch)})


def disk_image(root_file: Path, root: Root, release: Release, box: Toolbox, work: Path, out: Path) -> None:
    """The whole disk in the sparse file ``out``: boot state, boot partition, slot A, an empty slot B, data."""
    folder = work / "disk"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "state.bin").write_bytes(bootstate.encode(bootstate.FRESH))
    _boot_partition(root, release, box, folder)
    _ext4(box, folder / "data.ext4", DATA_MIB, number=4, label="data", features=_DATA_FEATURES, epoch=release.epoch)
    os.link(root_file, folder / "root.ext4")
    (folder / "empty").mkdir()
    (folder / "genimage.cfg").write_text(_genimage(out.name))
    box.run(
        [
            *("genimage", "--config", folder / "genimage.cfg", "--inputpath", folder, "--outputpath", out.parent),
            *("--rootpath", folder / "empty", "--tmppath", folder / "tmp"),
        ]
    )
    shutil.rmtree(folder)


def _genimage(name: str) -> str:
    start = _ALIGN_MIB + _BOOT_MIB
    offsets = (_ALIGN_MIB, start, start + SLOT_MIB, start + 2 * SLOT_MIB)
    boot, slot_a, slot_b, data = (f"offset = {offset}M size" for offset in offsets)
    return f"""\
image {name} {{
  hdimage {{
    partition-table-type = "mbr"
    disk-signature = {SIGNATURE:#x}
    align = {_ALIGN_MIB}M
  }}
  partition state {{ in-partition-table = "false" image = "state.bin" offset = {bootstate.OFFSET} }}
  partition boot {{ partition-type = 0xC bootable = "true" image = "boot.vfat" {boot} = {_BOOT_MIB}M }}
  partition root-a {{ partition-type = 0x83 image = "root.ext4" {slot_a} = {SLOT_MIB}M }}
  partition root-b {{ partition-type = 0x83 {slot_b} = {SLOT_MIB}M }}
  partition data {{ partition-type = 0x83 image = "data.ext4" {data} = {DATA_MIB}M }}
}}
"""


def _boot_partition(root: Root, release: Release, box: Toolbox, folder: Path) -> None:
    boot = folder / "boot"
    boot.mkdir()
    for place in ("usr/lib/raspi-firmware", "usr/lib/u-boot/rpi_arm64"):
        for file in sorted((root.boot_files / place).iterdir()):
            if place.endswith("raspi-firmware") or file.name == "u-boot.bin":
                (shutil.copytree if file.is_dir() else shutil.copyfile)(file, boot / file.name)
    for file in root.device_trees:
        shutil.copyfile(file, boot / file.name)
    (boot / "config.txt").write_text(_CONFIG_TXT)
    script = (CHECKOUT / "image/boot/boot.cmd").read_text().replace("@CONSOLE@", _CONSOLES[release.variant])
    (folder / "boot.cmd").write_text(script)
    env = {"SOURCE_DATE_EPOCH": str(release.epoch)}
    box.run(
        [
            "mkimage",
            "-A",
            "arm64",
            "-T",
            "script",
            "-C",
            "none",
            "-n",
            "tidegate",
            "-d",
            folder / "boot.cmd",
            boot / "boot.scr",
        ],
        env=env,
    )
    (boot / SHIPPED).write_text(shipped(boot))
    set_times(boot, release.epoch)
    box.script(
        'truncate -s "$2M" "$1.vfat"\n'
        'mkfs.vfat --invariant -F 32 -n "$3" -i "$4" "$1.vfat" >/dev/null\n'
        'cd "$1"\nls -A | LC_ALL=C sort | xargs -d "\\n" sh -c \'mcopy -smpQ -i "$0.vfat" "$@" ::\' "$1"',
        boot,
        str(_BOOT_MIB),
        _BOOT_LABEL,
        f"{SIGNATURE:08x}",
        env=env,
    )


def shipped(boot: Path) -> str:
    """The list of what is in the folder, one path a line. Its own name comes last: so a list is known to be whole."""
    names = sorted(path.relative_to(boot).as_posix() for path in boot.rglob("*") if path.is_file())
    return "".join(f"{name}\n" for name in (*names, SHIPPED))


def _ext4(
    box: Toolbox, out: Path, mib: int, *, number: int, label: str, features: str, epoch: int, tree: Path | None = None
) -> None:
    uuid = _UUID.format(number)
    out.unlink(missing_ok=True)
    box.run(
        [
            *(
                "mke2fs",
                "-q",
                "-t",
                "ext4",
                "-b",
                "4096",
                "-m",
                "0" if tree else "1",
                "-O",
                features,
                "-L",
                label,
                "-U",
                uuid,
            ),
            *(
                "-E",
                f"hash_seed={uuid},lazy_itable_init=0,root_owner=0:0",
                *(("-d", tree) if tree else ("-J", "size=16")),
            ),
            *(out, f"{mib}M"),
        ],
        env={"SOURCE_DATE_EPOCH": str(epoch)},
    )
