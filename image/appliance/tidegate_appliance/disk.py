"""The data partition takes what is left of the disk.

Three steps, each of which is whole or not there after a power cut: one sector of the partition table, the kernel's idea
of it, and the file system, which grows while it is in use under its own journal. Whatever is done already isn't done
again, so that after a cut the next start goes on.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from tidegate_appliance.commands import run

_SLACK_SECTORS = 2048
"""1 MiB: less than that at the end isn't worth a write to the partition table."""


class NotGrown(Exception):
    """The disk isn't as it should be. One sentence."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A partition as the kernel has it, in sectors of 512 bytes."""

    device: Path
    disk: Path
    number: int
    start: int
    size: int
    disk_size: int
    last: bool
    """No other one lies behind it."""

    @property
    def end(self) -> int:
        return self.start + self.size


def partition_at(mount_point: Path, sys: Path = Path("/sys"), dev: Path = Path("/dev")) -> Partition:
    """The partition that is mounted there. Raises NotGrown for what is no partition, and OSError."""
    number = mount_point.stat().st_dev
    entry = (sys / "dev" / "block" / f"{os.major(number)}:{os.minor(number)}").resolve()
    if not (entry / "partition").exists():
        raise NotGrown(f"{mount_point} isn't a partition of a disk, so there is nothing to grow")
    disk = entry.parent
    start = _number(entry / "start")
    others = [_number(other) for other in disk.glob(f"{disk.name}*/start")]
    return Partition(
        device=dev / entry.name,
        disk=dev / disk.name,
        number=_number(entry / "partition"),
        start=start,
        size=_number(entry / "size"),
        disk_size=_number(disk / "size"),
        last=start == max(others),
    )


def grow(mount_point: Path, sys: Path = Path("/sys"), dev: Path = Path("/dev")) -> bool:
    """To the end of the disk; False if the partition was there already. Raises NotGrown, CommandFailed, OSError."""
    partition = partition_at(mount_point, sys, dev)
    if not partition.last:
        raise NotGrown(f"another partition lies behind {partition.device}, so it can't grow")
    short = partition.disk_size - partition.end >= _SLACK_SECTORS
    if short:
        # The partition is in use, so the kernel won't read the whole table again: it is told of this one alone. The
        # disk's signature stays, and what looks like another file system's mark in the new room is left alone.
        sfdisk = ["sfdisk", "--quiet", "--no-reread", "--force", "--wipe=never", "--wipe-partitions=never"]
        run([*sfdisk, "-N", str(partition.number), str(partition.disk)], stdin=",+\n")
        run(["partx", "--update", "--nr", str(partition.number), str(partition.disk)])
    # Always: a cut may have come between the two.
    run(["resize2fs", str(partition.device)])
    return short


def _number(path: Path) -> int:
    return int(path.read_text())
