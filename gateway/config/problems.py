"""What is wrong with a configuration: one sentence, its place, its mend, and all of them at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to mend. Its text is what a user sees."""

    file: Path
    line: int | None
    """1-based; in a CSV file the row's first line. None where the file as a whole is meant."""
    message: str
    hint: str | None = None
    """How to mend it."""

    @property
    def place(self) -> str:
        return f"{self.file}:{self.line}" if self.line else str(self.file)

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}"
        return f"{text}\n  → {self.hint}" if self.hint else text


class ConfigErrors(Exception):
    """The configuration can't be used. Never empty; in the order of files and lines."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)
