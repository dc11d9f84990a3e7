"""How the configuration files as they stand differ from what runs. Read anew only where something has changed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.config import ConfigErrors, load
from gateway.config.document import in_place
from gateway.config.reading import DiskFiles
from gateway.diagnostics.repairs import Flaw
from gateway.settings import GatewaySettings


@dataclass(frozen=True, slots=True)
class Found:
    flaws: Sequence[Flaw]
    """What is wrong with them."""
    differs: bool
    """They are in order, and say something else than what runs."""


class OnDisk:
    """One configuration's files. Reading a large configuration takes a second of a small machine's time, and the
    question is asked every few seconds. Call from one thread at a time."""

    def __init__(self, main: Path) -> None:
        self._main = main
        self._files: DiskFiles | None = None
        self._settings: GatewaySettings | None = None
        self._found = Found((), False)

    def look(self, settings: GatewaySettings) -> Found:
        """`settings`: what runs."""
        if self._files is None or self._settings is not settings or not self._unchanged(self._files):
            # In this order: what is replaced while it is read has then changed since.
            self._files = self._seen()
            self._settings = settings
            try:
                self._found = Found((), load(self._main) != settings)
            except ConfigErrors as errors:
                self._found = Found([Flaw(each.place, each.message, each.hint) for each in errors.problems], False)
        return self._found

    def _seen(self) -> DiskFiles | None:
        """What there is now. None: it can't be told, so it is to be read anew the next time."""
        files = DiskFiles(self._main)
        try:
            tree = in_place(self._main)
            files.tables()
        except (ConfigErrors, OSError):
            return None
        for name in (*tree.files, *tree.outside):
            with contextlib.suppress(OSError):
                files.read(self._main.parent / name)
        return files

    def _unchanged(self, files: DiskFiles) -> bool:
        try:
            return files.unchanged()
        except OSError:
            return False
