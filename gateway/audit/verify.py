"""Whether an audit log still says what it was told: every row's own hash, the chain, the numbers, the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

from gateway.audit.files import files_in, head_in
from gateway.audit.row import NOTHING_BEFORE, BadLine, Row, parse

MOST_FINDINGS = 1000


@dataclass(frozen=True, slots=True)
class Finding:
    """Something wrong at one place."""

    file: str
    line: int
    """Counts from 1; 0: the file as a whole."""
    message: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a look at every row found."""

    rows: int
    first: int
    last: int
    """Numbers of the first and the last row there is; 0 if there is none."""
    hash: str
    """Of the last row: kept elsewhere, it proves later that nothing up to here was changed."""
    findings: tuple[Finding, ...]
    """At most MOST_FINDINGS."""

    @property
    def sound(self) -> bool:
        return not self.findings

    def to_json(self) -> dict[str, Any]:
        return {
            "sound": self.sound,
            "rows": self.rows,
            "first": self.first,
            "last": self.last,
            "hash": self.hash,
            "findings": [asdict(finding) for finding in self.findings],
        }


def verify(directory: Path) -> Verification:
    """Read every row of the log in a directory, a line in memory at a time. Raises OSError."""
    return _Verifier(directory).run()


class _Verifier:
    def __init__(self, directory: Path) -> None:
        self._directory = directory
        # First, because the log may grow meanwhile: rows behind it are no finding.
        self._head = head_in(directory)
        self._findings: list[Finding] = []
        self._rows = 0
        self._first: Row | None = None
        self._last: Row | None = None
        self._skipped = 0
        """Lines since the last row that can't be read, each of them perhaps one of the rows that are missing."""
        self._dropped: dict[int, str | None] = {}
        """Last rows of what the log itself dropped, and their hashes. A power cut may leave a file that the newest of
        them names: it is said before it is done."""

    def run(self) -> Verification:
        files = files_in(self._directory)
        for number, path in files:
            self._file(number, path)
        if self._first is not None and self._first.number > 1:
            self._check_beginning(self._first, files[0][1].name)
        self._check_end(files[-1][1].name if files else "head")
        last = self._last
        return Verification(
            self._rows,
            self._first.number if self._first else 0,
            last.number if last else 0,
            last.hash if last else NOTHING_BEFORE,
            tuple(self._findings[:MOST_FINDINGS]),
        )

    def _file(self, number: int, path: Path) -> None:
        try:
            with path.open("rb") as file:
                for position, line in enumerate(_lines(file), 1):
                    self._line(path.name, position, number, line)
        except FileNotFoundError:
            return  # the log dropped it meanwhile

    def _line(self, file: str, position: int, number: int, line: bytes) -> None:
        if not line.endswith(b"\n"):
            # A row is being written, or a power cut tore it: it never counted.
            return
        try:
            row = parse(line[:-1])
        except BadLine as error:
            after = f"the row after number {self._last.number}" if self._last else "the first row"
            self._find(file, position, f"{after} {error}")
            self._skipped += 1
            return
        last = self._last
        if last is None:
            self._first = row
            if row.number != number:
                self._find(file, position, f"rows {number} to {row.number - 1} are missing")
            elif number == 1 and row.before != NOTHING_BEFORE:
                self._find(file, position, "row 1 follows a row that isn't there")
        elif row.number <= last.number:
            self._find(file, position, f"row {row.number} stands behind row {last.number}")
        elif row.number - last.number - 1 > self._skipped:
            self._find(file, position, f"rows {last.number + 1} to {row.number - 1} are missing")
        elif not self._skipped and row.before != last.hash:
            self._find(file, position, f"row {row.number} was written after another row {last.number} than this one")
        self._skipped = 0
        self._rows += 1
        self._last = row
        if row.action == "audit.drop":
            self._dropped[int(row.details.get("last", 0))] = row.details.get("hash")
        self._check_head(file, position, row)

    def _check_beginning(self, first: Row, file: str) -> None:
        last = first.number - 1
        if last not in self._dropped:
            self._find(file, 1, f"rows 1 to {last} are missing, and no row says that they were dropped")
        elif self._dropped[last] not in (None, first.before):
            self._find(file, 1, f"row {first.number} was written after another row than the one that was dropped")

    def _check_head(self, file: str, position: int, row: Row) -> None:
        if row.number == self._head.number and row.hash != self._head.hash:
            self._find(file, position, f"row {row.number} isn't the one that was written")

    def _check_end(self, file: str) -> None:
        last = self._last.number if self._last else 0
        if self._head.number > last + self._skipped:
            self._find(file, 0, f"rows {last + 1} to {self._head.number} are missing at the end")

    def _find(self, file: str, position: int, message: str) -> None:
        if len(self._findings) < MOST_FINDINGS:
            self._findings.append(Finding(file, position, message))


def _lines(file: BinaryIO) -> Iterator[bytes]:
    """Lines, none longer than a row can be: a file of one endless line isn't one of ours."""
    while line := file.readline(1 << 16):
        yield line
