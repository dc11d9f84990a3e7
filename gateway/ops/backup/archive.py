"""A backup as one file: a manifest and the files it vouches for, as a compressed tar, sealed with a passphrase or not.

What is read here may come from anybody: it is bounded before it is unpacked, only plain files with plain names are
taken, and what the manifest doesn't name by its hash isn't there.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.ops.backup.sealing import LEAST_PASSPHRASE, CantOpen, is_sealed, seal, unseal

FORMAT: Final = 1
MAX_FILE: Final = 16 << 20
"""Bytes of a whole backup."""
MAX_UNPACKED: Final = 32 << 20
MAX_FILES: Final = 3000

Part = Literal["configuration", "accounts", "drivers", "files", "audit"]

_MANIFEST = "manifest.json"
_NAME = re.compile(r"(?:configuration|accounts|drivers|files|audit)(?:/[^/\x00-\x1f\x7f\\]{1,200}){1,8}")


class BackupRefused(Exception):
    """A file that is no backup of ours, or can't be opened, or asks for too much. One sentence, and what to do."""

    def __init__(self, message: str, mend: str | None = None) -> None:
        super().__init__(message)
        self.mend = mend


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ManifestEntry(_Model):
    name: Annotated[str, Field(max_length=2000)]
    """Its name in the archive, the part first."""
    size: Annotated[int, Field(ge=0, le=MAX_UNPACKED)]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
    secret: bool


class LeftOut(_Model):
    name: str
    why: str


class Manifest(_Model):
    format: int
    made_ms: int
    gateway: str
    software: str
    main: str
    """The configuration's main file."""
    entries: Annotated[list[ManifestEntry], Field(max_length=MAX_FILES)]
    left_out: Annotated[list[LeftOut], Field(max_length=MAX_FILES)]


@dataclass(frozen=True, slots=True)
class Piece:
    """One file of a backup."""

    name: str
    body: bytes
    secret: bool


@dataclass(frozen=True, slots=True)
class Backup:
    """An opened one, all its hashes checked."""

    manifest: Manifest
    files: Mapping[str, bytes]

    def of(self, part: Part) -> dict[str, bytes]:
        """The files of one part, by their names in it."""
        start = f"{part}/"
        return {name.removeprefix(start): body for name, body in self.files.items() if name.startswith(start)}


def pack(
    pieces: Sequence[Piece],
    *,
    gateway: str,
    software: str,
    main: str,
    made_ms: int,
    passphrase: str | None,
    left_out: Sequence[LeftOut] = (),
) -> bytes:
    """One file. Without a passphrase it holds no secret: those are left out, and the manifest says so.

    Raises BackupRefused.
    """
    if passphrase is not None and len(passphrase) < LEAST_PASSPHRASE:
        raise BackupRefused(f"a passphrase needs at least {LEAST_PASSPHRASE} characters", "use several words")
    kept = [piece for piece in pieces if passphrase is not None or not piece.secret]
    gone = [
        LeftOut(name=each.name, why="it is secret, and the backup isn't sealed") for each in pieces if each not in kept
    ]
    manifest = Manifest(
        format=FORMAT,
        made_ms=made_ms,
        gateway=gateway,
        software=software,
        main=main,
        entries=[
            ManifestEntry(
                name=piece.name,
                size=len(piece.body),
                sha256=hashlib.sha256(piece.body).hexdigest(),
                secret=piece.secret,
            )
            for piece in kept
        ],
        left_out=[*left_out, *gone],
    )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add(tar, _MANIFEST, orjson.dumps(manifest.model_dump(), option=orjson.OPT_INDENT_2), made_ms)
        for piece in kept:
            _add(tar, piece.name, piece.body, made_ms)
    if buffer.tell() > MAX_UNPACKED or len(kept) > MAX_FILES:
        raise BackupRefused(f"there is more than a backup holds ({MAX_UNPACKED >> 20} MiB, {MAX_FILES} files)")
    body = gzip.compress(buffer.getbuffer(), 6, mtime=made_ms // 1000)
    if passphrase is not None:
        body = seal(body, passphrase)
    if len(body) > MAX_FILE:
        raise BackupRefused(f"the backup would have over {MAX_FILE >> 20} MiB")
    return body


def unpack(body: bytes, passphrase: str | None) -> Backup:
    """Raises BackupRefused; then nothing of it was believed."""
    if len(body) > MAX_FILE:
        raise BackupRefused(f"it has over {MAX_FILE >> 20} MiB, more than any backup of ours")
    if is_sealed(body):
        if passphrase is None:
            raise BackupRefused("it is sealed with a passphrase", "give the passphrase it was made with")
        try:
            body = unseal(body, passphrase)
        except CantOpen as error:
            raise BackupRefused(str(error), "try again, or take another backup") from None
    files = _unpacked(_inflated(body))
    manifest = _manifest(files.pop(_MANIFEST, None))
    named = {entry.name: entry for entry in manifest.entries}
    if len(named) != len(manifest.entries) or named.keys() != files.keys():
        raise BackupRefused("its files aren't those that its manifest names", "take another backup")
    for name, entry in named.items():
        if entry.size != len(files[name]) or entry.sha256 != hashlib.sha256(files[name]).hexdigest():
            raise BackupRefused(f"{name} isn't what the manifest says: it was changed", "take another backup")
    return Backup(manifest, files)


def _add(tar: tarfile.TarFile, name: str, body: bytes, made_ms: int) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = len(body), 0o600, made_ms // 1000
    tar.addfile(member, io.BytesIO(body))


def _inflated(body: bytes) -> bytes:
    inflater = zlib.decompressobj(31)
    try:
        plain = inflater.decompress(body, MAX_UNPACKED + 1)
    except zlib.error:
        raise BackupRefused("it is no backup of a gateway", "name a file made by: tidegate backup") from None
    if len(plain) > MAX_UNPACKED:
        raise BackupRefused(f"it unpacks to over {MAX_UNPACKED >> 20} MiB, more than any backup of ours")
    if not inflater.eof:
        raise BackupRefused("its end is missing", "copy it again, or take another backup")
    return plain


def _unpacked(plain: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as tar:
            for member in tar:
                if len(files) > MAX_FILES:
                    raise BackupRefused(f"it holds over {MAX_FILES} files, more than any backup of ours")
                if not member.isreg() or not _is_plain(member.name) or member.name in files:
                    raise BackupRefused(f"it holds {member.name[:200]!r}, which no backup of ours does")
                content = tar.extractfile(member)
                assert content is not None
                files[member.name] = content.read()
                if len(files[member.name]) != member.size:
                    raise BackupRefused("its end is missing", "copy it again, or take another backup")
    except (tarfile.TarError, ValueError, OSError, EOFError) as error:
        raise BackupRefused(f"it can't be read: {error}", "name a file made by: tidegate backup") from None
    return files


def _is_plain(name: str) -> bool:
    if name == _MANIFEST:
        return True
    return bool(_NAME.fullmatch(name)) and not any(part in (".", "..") for part in name.split("/"))


def _manifest(body: bytes | None) -> Manifest:
    try:
        document = orjson.loads(body or b"")
        if isinstance(document, dict) and document.get("format") != FORMAT:
            raise BackupRefused(
                f"it has the format {str(document.get('format'))[:20]}, and this software knows {FORMAT}",
                "update the gateway first",
            )
        return Manifest.model_validate(document)
    except (orjson.JSONDecodeError, ValidationError):
        raise BackupRefused("it has no manifest of ours", "name a file made by: tidegate backup") from None
