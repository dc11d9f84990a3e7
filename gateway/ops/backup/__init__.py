"""Backup and restore: one file that holds what makes a gateway this gateway."""

from gateway.ops.backup.archive import MAX_FILE, Backup, BackupRefused, LeftOut, Part, pack, unpack
from gateway.ops.backup.contents import Places, contents
from gateway.ops.backup.restore import (
    PARTS,
    AccountsDoor,
    ConfigurationDoor,
    NotApplied,
    RestoredItem,
    Restorer,
    RestoreReport,
    resume,
)

__all__ = [
    "MAX_FILE",
    "PARTS",
    "AccountsDoor",
    "Backup",
    "BackupRefused",
    "ConfigurationDoor",
    "LeftOut",
    "NotApplied",
    "Part",
    "Places",
    "RestoreReport",
    "RestoredItem",
    "Restorer",
    "contents",
    "pack",
    "resume",
    "unpack",
]
