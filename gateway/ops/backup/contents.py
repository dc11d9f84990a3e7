"""What a backup of a gateway holds: configuration, accounts, what drivers keep, files the configuration names, audit.

The journal isn't among it: values are data, not settings, and too many.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel

from gateway.ops.backup.archive import LeftOut, Piece
from gateway.secrets import Secret
from gateway.settings import GatewaySettings

_MAX_ONE: Final = 1 << 20
_MAX_AUDIT: Final = 4 << 20


@dataclass(frozen=True, slots=True)
class Places:
    """Where one gateway keeps things."""

    config: Path
    """The main file."""
    data_dir: Path
    accounts: Path
    """The file."""
    audit: Path
    """The directory."""

    @property
    def drivers(self) -> Path:
        return self.data_dir / "drivers"

    @property
    def restored_audit(self) -> Path:
        """Where the audit log of a backup is kept beside the gateway's own."""
        return self.data_dir / "audit-restored"

    def roots(self) -> Mapping[str, Path]:
        """Where files may stand that the configuration names, for a backup to hold them, by how it names these."""
        return {"config": self.config.absolute().parent, "data": self.data_dir.absolute()}


def contents(
    settings: GatewaySettings, places: Places, configuration: Mapping[str, bytes]
) -> tuple[list[Piece], list[LeftOut]]:
    """(what is there, what isn't taken and why). Blocking. Raises OSError for what is there but can't be read.

    `configuration`: the files of its tree, by name.
    """
    pieces = [Piece(f"configuration/{name}", body, secret=False) for name, body in sorted(configuration.items())]
    left_out: list[LeftOut] = []
    if places.accounts.exists():
        pieces.append(Piece(f"accounts/{places.accounts.name}", places.accounts.read_bytes(), secret=True))
    for path in _files_below(places.drivers):
        _take(path, f"drivers/{path.relative_to(places.drivers)}", pieces, left_out)
    taken = {os.path.normpath(places.config.parent / name) for name in configuration}
    taken |= {os.path.normpath(path) for path in _files_below(places.drivers)}
    for path in sorted(set(named_files(settings))):
        if os.path.normpath(path) not in taken and path.is_file():
            name = _name_of(path, places)
            if name is None:
                left_out.append(LeftOut(name=str(path), why="it stands outside the gateway's own directories"))
            else:
                _take(path, name, pieces, left_out)
    _take_audit(places.audit, pieces, left_out)
    return pieces, left_out


def named_files(settings: GatewaySettings) -> Iterator[Path]:
    """Every file the configuration names besides itself: certificates, keys, secrets."""
    for sink in settings.sinks:
        yield from _paths_in((sink.tls, sink.password))
    for link in settings.links:
        yield from _paths_in(link.options)
        for device in link.devices:
            yield from _paths_in(device.options)
            for group in device.groups:
                for point in group.poll.points:
                    yield from _paths_in(point.options)


def is_public(body: bytes) -> bool:
    """Whether it holds nothing but certificates or revocation lists."""
    from cryptography import x509  # imported when a backup is made: see gateway.ops.backup.sealing

    if b"PRIVATE KEY" in body:
        return False
    for parse in (
        x509.load_pem_x509_certificates,
        x509.load_der_x509_certificate,
        x509.load_pem_x509_crl,
        x509.load_der_x509_crl,
    ):
        try:
            parse(body)
        except ValueError:
            continue
        return True
    return False


def _paths_in(value: Any) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Secret):
        if value.source == "file":
            yield Path(value.name)
    elif isinstance(value, BaseModel):
        for _, member in value:
            yield from _paths_in(member)
    elif is_dataclass(value):
        for each in fields(value):
            yield from _paths_in(getattr(value, each.name))
    elif isinstance(value, list | tuple):
        for member in value:
            yield from _paths_in(member)
    elif isinstance(value, dict):
        yield from _paths_in(list(value.values()))


def _name_of(path: Path, places: Places) -> str | None:
    for root, directory in places.roots().items():
        relative = os.path.relpath(os.path.normpath(path), directory)
        if not relative.startswith(".."):
            return f"files/{root}/{relative}"
    return None


def _files_below(directory: Path) -> list[Path]:
    """Plain files only, no links."""
    return sorted(path for path in directory.rglob("*") if stat.S_ISREG(path.lstat().st_mode))


def _take(path: Path, name: str, pieces: list[Piece], left_out: list[LeftOut]) -> None:
    if path.stat().st_size > _MAX_ONE:
        left_out.append(LeftOut(name=str(path), why=f"it has over {_MAX_ONE >> 20} MiB"))
        return
    body = path.read_bytes()
    pieces.append(Piece(name, body, secret=not is_public(body)))


def _take_audit(directory: Path, pieces: list[Piece], left_out: list[LeftOut]) -> None:
    """The newest rows that fit."""
    left = _MAX_AUDIT
    files = sorted(directory.glob("rows-*.jsonl"), reverse=True)
    for path in files:
        body = path.read_bytes()
        left -= len(body)
        if left < 0:
            left_out.append(LeftOut(name=str(path), why="the newest of the audit log are enough"))
        else:
            pieces.append(Piece(f"audit/{path.name}", body, secret=True))
