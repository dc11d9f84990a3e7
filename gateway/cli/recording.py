"""What a provisioning file did, for the audit log: handed to the gateway, and kept until one takes it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from gateway.control.client import ControlClient
from gateway.ops.provisioning import LONGEST_RECORDED, MOST_RECORDED, Setting


@dataclass(frozen=True, slots=True)
class Row:
    """One setting that was applied or refused."""

    file: str
    name: str
    outcome: str
    said: str


@dataclass(frozen=True, slots=True)
class Unrecorded:
    """What the audit log hasn't got yet, applied settings before refused ones."""

    rows: tuple[Row, ...] = ()
    left_out: int = 0
    """So many more."""

    @classmethod
    def of(cls, kept: Any) -> Self:
        """As it was kept; nothing where that isn't what was written here."""
        try:
            return cls(tuple(Row(**row) for row in kept["rows"]), int(kept["left_out"]))
        except (KeyError, TypeError, ValueError):
            return cls()

    def and_of(self, file: Path, settings: Iterable[Setting]) -> Unrecorded:
        """With what became of these. What was unchanged is no news."""
        new = (
            Row(*map(_fitting, (str(file), each.name, each.outcome, each.said)))
            for each in settings
            if each.outcome != "unchanged"
        )
        # A file whose turn comes at every start, since no gateway runs, says the same each time.
        rows = sorted(dict.fromkeys((*self.rows, *new)), key=lambda row: row.outcome != "applied")
        return Unrecorded(tuple(rows[:MOST_RECORDED]), self.left_out + len(rows[MOST_RECORDED:]))

    def hand_to(self, client: ControlClient) -> None:
        """Raises NotRunning, NotPermitted or Refused; then nothing may count as recorded."""
        if self.rows:
            client.post("/v1/audit/provisioning", self.to_json())

    def to_json(self) -> Mapping[str, Any]:
        return {"rows": [asdict(row) for row in self.rows], "left_out": self.left_out}


def _fitting(text: str) -> str:
    return text.encode("utf-8", "replace").decode()[:LONGEST_RECORDED]
