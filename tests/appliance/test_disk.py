"""The data partition grows to the end of the disk. The partition table is a real one, in a file."""

from __future__ import annotations

import os
import struct
import subprocess
from pathlib import Path

import pytest
from tidegate_appliance.commands import CommandFailed
from tidegate_appliance.disk import NotGrown, grow, partition_at

from tests.appliance.programs import Programs

MIB = 2048
"""Sectors."""
SIGNATURE = 0x54474154
LAYOUT = [
    (4 * MIB, 64 * MIB, 0xC),
    (68 * MIB, 512 * MIB, 0x83),
    (580 * MIB, 512 * MIB, 0x83),
    (1092 * MIB, 64 * MIB, 0x83),
]


class Disk:
    """A disk image and what the kernel would say of it under ``/sys``."""

    def __init__(self, directory: Path, size: int) -> None:
        self.image = directory / "dev" / "mmcblk0"
        self.image.parent.mkdir()
        self.mount_point = directory / "data"
        self.mount_point.mkdir()
        self.sys = directory / "sys"
        table = b"".join(struct.pack("<B3xB3xII", 0, kind, start, length) for start, length, kind in LAYOUT)
        with self.image.open("wb") as file:
            file.write(b"boot code".ljust(440, b"\0") + struct.pack("<IH", SIGNATURE, 0) + table + b"\x55\xaa")
            file.truncate(size * 512)
        self.seen_by_kernel(size)

    def seen_by_kernel(self, size: int) -> None:
        disk = self.sys / "devices/platform/mmc/mmcblk0"
        for number, (start, length, _) in enumerate(self.table(), 1):
            entry = disk / f"mmcblk0p{number}"
            entry.mkdir(parents=True, exist_ok=True)
            for name, value in (("partition", number), ("start", start), ("size", length)):
                (entry / name).write_text(f"{value}\n")
        (disk / "size").write_text(f"{size}\n")
        device = self.mount_point.stat().st_dev
        link = self.sys / "dev/block" / f"{os.major(device)}:{os.minor(device)}"
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(disk / "mmcblk0p4")

    def table(self) -> list[tuple[int, int, int]]:
        found = [struct.unpack_from("<B3xB3xII", self.head, 446 + 16 * at) for at in range(4)]
        return [(start, length, kind) for _, kind, start, length in found]

    @property
    def head(self) -> bytes:
        with self.image.open("rb") as file:
            return file.read(512)

    @property
    def before_table(self) -> bytes:
        return self.head[:446]

    def grow(self) -> bool:
        return grow(self.mount_point, self.sys, self.image.parent)


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path, 3000 * MIB)


def test_only_the_length_of_the_last_partition_changes(disk: Disk, programs: Programs) -> None:
    programs.replace("partx", "resize2fs")
    before = disk.before_table
    assert disk.grow()
    assert disk.table()[:3] == LAYOUT[:3]
    start, length, kind = disk.table()[3]
    assert (start, kind) == LAYOUT[3][::2]
    assert start + length == 3000 * MIB
    assert disk.before_table == before, "the disk's signature, of which every PARTUUID is made"
    device = disk.image.parent
    assert programs.calls == [f"partx --update --nr 4 {device}/mmcblk0", f"resize2fs {device}/mmcblk0p4"]


def test_a_disk_that_is_full_size_is_left_alone(disk: Disk, programs: Programs) -> None:
    programs.replace("partx", "resize2fs")
    disk.grow()
    disk.seen_by_kernel(3000 * MIB)
    programs.replace("sfdisk", script="exit 1")
    assert not disk.grow()
    assert not any(call.startswith("sfdisk") for call in programs.calls)


def test_after_a_power_cut_before_the_file_system_grew_it_grows_at_the_next_start(
    disk: Disk, programs: Programs
) -> None:
    programs.replace("partx")
    programs.replace("resize2fs", script="exit 1")  # as if the power had gone there
    with pytest.raises(CommandFailed):
        disk.grow()
    disk.seen_by_kernel(3000 * MIB)  # what the kernel reads of the table at the next start
    programs.replace("resize2fs")
    assert not disk.grow()
    assert programs.calls[-1].startswith("resize2fs ")


def test_a_partition_with_another_behind_it_is_left_alone(disk: Disk, programs: Programs) -> None:
    programs.replace("sfdisk", "partx", "resize2fs")
    (disk.sys / "devices/platform/mmc/mmcblk0/mmcblk0p3/start").write_text(f"{2000 * MIB}\n")
    with pytest.raises(NotGrown, match="another partition lies behind"):
        disk.grow()
    assert programs.calls == []


def test_what_is_no_partition_is_said(disk: Disk) -> None:
    (disk.sys / "devices/platform/mmc/mmcblk0/mmcblk0p4/partition").unlink()
    with pytest.raises(NotGrown, match="isn't a partition"):
        partition_at(disk.mount_point, disk.sys)


def test_the_tool_reads_the_table_as_the_test_does(disk: Disk) -> None:
    told = subprocess.run(["sfdisk", "--dump", disk.image], capture_output=True, text=True, check=True).stdout
    assert f"label-id: 0x{SIGNATURE:08x}" in told
    assert f"start={1092 * MIB:12d}, size={64 * MIB:12d}, type=83" in told
