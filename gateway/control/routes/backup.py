"""Backup and restore."""

from __future__ import annotations

import asyncio
import hashlib
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pydantic import Field

from gateway.actors import Role
from gateway.audit import AuditLog
from gateway.config import ConfigErrors
from gateway.control.operation import Answer, Body, Call, File, NoQuery, Operation, Refusal, file
from gateway.control.restoring import made
from gateway.ops.backup.archive import MAX_FILE, Backup, BackupRefused, Part, unpack
from gateway.ops.backup.restore import PARTS, Restorer, RestoreReport
from gateway.ops.backup.sealing import is_sealed
from gateway.ops.files import write_atomically
from gateway.settings import GatewaySettings

_MOST_PASSPHRASE = 1000


class HasSettings(Protocol):
    """`gateway.runtime.Runtime`, as far as this door needs it."""

    @property
    def settings(self) -> GatewaySettings: ...


class Wish(Body):
    passphrase: str | None = Field(
        default=None,
        min_length=12,
        max_length=_MOST_PASSPHRASE,
        description="Seals the backup. Without one it holds no secret: no accounts, keys or passwords.",
    )


class Restoring(Body):
    upload: str = Field(pattern="^[0-9a-f]{16}$", description="Id of the uploaded file.")
    passphrase: str | None = Field(default=None, max_length=_MOST_PASSPHRASE, description="It was sealed with.")
    dry_run: bool = Field(default=True, description="Only say what would become of each thing.")
    parts: list[Part] = Field(default=list(PARTS), min_length=1, max_length=len(PARTS), description="Only these.")


@dataclass(frozen=True, slots=True)
class Upload:
    id: str
    size: int
    sealed: bool
    """Whether a passphrase opens it."""


class Uploads:
    """The one backup that was uploaded last, on the disk: it may be large, and waits for a person."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keep(self, body: bytes) -> Upload:
        """Blocking. Raises OSError."""
        write_atomically(self._path, body, 0o600)
        return Upload(_id(body), len(body), is_sealed(body))

    def opened(self, upload: str, passphrase: str | None) -> Backup:
        """Blocking. Raises Refusal or OSError."""
        body = self._path.read_bytes() if self._path.exists() else b""
        if _id(body) != upload:
            raise Refusal(404, "no-such-upload", "that file isn't here any more", "upload it again")
        try:
            return unpack(body, passphrase)
        except BackupRefused as error:
            raise _refused(error) from None

    def forget(self) -> None:
        """Blocking. Raises OSError."""
        self._path.unlink(missing_ok=True)


def operations(
    runtime: HasSettings, audit: AuditLog, config: Path, restorer: Restorer, uploads: Uploads
) -> list[Operation[Any, Any]]:
    async def make_backup(call: Call[NoQuery, Wish]) -> File:
        settings = runtime.settings
        await audit.record(call.actor, "backup.make", settings.id, "asked", sealed=call.body.passphrase is not None)
        try:
            body = await asyncio.to_thread(made, config, settings, call.body.passphrase, time.time_ns() // 1_000_000)
        except BackupRefused as error:
            raise _refused(error) from None
        except ConfigErrors as errors:
            raise Refusal(409, "unreadable", str(errors.problems[0]), "mend that first: tidegate check") from None
        except OSError as error:
            raise Refusal(409, "unreadable", f"{error.filename}: {error.strerror}", "mend its permissions") from None
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        return File(body, "application/octet-stream", f"tidegate-{settings.id}-{stamp}.backup")

    async def upload_backup(call: Call[NoQuery, bytes]) -> Upload:
        return await asyncio.to_thread(uploads.keep, call.body)

    async def restore_backup(call: Call[NoQuery, Restoring]) -> RestoreReport:
        wish = call.body
        backup = await asyncio.to_thread(uploads.opened, wish.upload, wish.passphrase)
        named = {"upload": wish.upload, "parts": wish.parts}
        if not wish.dry_run:
            await audit.record(call.actor, "backup.restore", backup.manifest.gateway, "asked", **named)
        report = await restorer.restore(backup, call.actor, dry_run=wish.dry_run, parts=wish.parts)
        if not wish.dry_run:
            outcome = "done" if report.applied else "refused"
            await audit.record(call.actor, "backup.restore", backup.manifest.gateway, outcome, **named)
        if report.applied:
            await asyncio.to_thread(uploads.forget)
        return report

    return [
        Operation(
            "POST", "/v1/backup", "make_backup", Role.ADMIN,
            "Make a backup: configuration, accounts, certificates and keys, audit log; not the journal.",
            make_backup, file("application/octet-stream", description="The backup."), body=Wish, refusals=(409,),
        ),
        Operation(
            "PUT", "/v1/restore/upload", "upload_backup", Role.ADMIN,
            "Hand over a backup that is to be restored; it takes the place of one handed over before.",
            upload_backup, Answer(Upload), body=bytes, max_body=MAX_FILE,
        ),
        Operation(
            "POST", "/v1/restore", "restore_backup", Role.ADMIN,
            "Restore the uploaded backup, all of it or nothing, or say what that would do.",
            restore_backup, Answer(RestoreReport), body=Restoring, refusals=(409,),
        ),
    ]  # fmt: skip


def _id(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]


def _refused(error: BackupRefused) -> Refusal:
    return Refusal(422, "backup-refused", f"the backup can't be used: {error}", error.mend)
