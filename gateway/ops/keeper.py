"""Keeps secrets that somebody types, each in a private file of its own, so that the configuration can refer to it.

A secret that changes is another file: a configuration that comes back still refers to the one from before. The same
text under the same name is the same file, however often it is handed in.
"""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from gateway.ops.files import write_atomically

MOST = 1000
"""Files at most: nothing forgets them, since an earlier configuration may come back."""
_SALT = ".salt"


class Full(Exception):
    """There are too many secrets already."""


class Keeper:
    """One directory, made with the first secret."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def keep(self, name: str, text: str) -> Path:
        """The file that holds `text` from now on. `name` is one path segment. Raises Full or OSError."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        digest = hashlib.sha256(self._salt() + text.encode()).hexdigest()[:12]
        path = self._directory / f"{name}-{digest}"
        if path.exists():
            return path
        if sum(1 for _ in self._directory.iterdir()) > MOST:
            raise Full(f"{self._directory} holds {MOST} secrets, the most that are kept")
        write_atomically(path, text.encode(), mode=0o600)
        return path

    def _salt(self) -> bytes:
        """So that a file's name says nothing about what is in it."""
        path = self._directory / _SALT
        if not path.exists():
            write_atomically(path, secrets.token_bytes(32), mode=0o600)
        return path.read_bytes()
