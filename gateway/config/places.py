"""Where in the user's files something stands: a key of a TOML file, or a cell of a CSV file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeAlias

KeyPath: TypeAlias = tuple[str | int, ...]
"""Keys and array positions from the root: ``("device", 0, "group", 1, "interval_ms")``."""


class Place(Protocol):
    """Something a problem can point at. Hashable."""

    def child(self, *keys: str | int) -> Place:
        """A key below this place."""
        ...

    @property
    def label(self) -> str:
        """What a user calls it: ``device.group.interval_ms``, ``column "scale"``."""
        ...


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the merged TOML document."""

    path: KeyPath

    def child(self, *keys: str | int) -> Self:
        return type(self)((*self.path, *keys))

    @property
    def label(self) -> str:
        return ".".join(key for key in self.path if isinstance(key, str))


@dataclass(frozen=True, slots=True)
class Cell:
    """A row of a CSV file, or one cell of it."""

    file: Path
    row: int
    column: str | None = None

    def child(self, *keys: str | int) -> Self:
        # Columns are flat: `report.deadband` of a tag table is the column `deadband`, `write.min` is `write_min`.
        names = [key for key in keys if isinstance(key, str)]
        if names[:1] == ["write"]:
            return type(self)(self.file, self.row, "_".join(names))
        return type(self)(self.file, self.row, names[-1] if names else self.column)

    @property
    def label(self) -> str:
        return f'column "{self.column}"' if self.column else "the row"
