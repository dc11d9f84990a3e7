"""What the room refuses: a code for programs, one sentence, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gateway.changes.bodies import ProblemBody
from gateway.config.problems import Problem


class ChangeRefused(Exception):
    """A change isn't made. `status` is that of HTTP: 409 for whatever doesn't fit how things are."""

    def __init__(self, status: int, code: str, message: str, mend: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.mend = mend
        self.more = more
        """Further facts, JSON-ready."""
        self.problems: Sequence[ProblemBody] = ()


class Invalid(ChangeRefused):
    """A configuration with problems."""

    def __init__(self, problems: Sequence[ProblemBody], what: str = "the draft") -> None:
        count = len(problems)
        super().__init__(
            409,
            "config-invalid",
            f"{what} has {count} problem{'s' if count != 1 else ''}",
            "mend what is listed, then try again",
        )
        self.problems = problems


def problem_body(problem: Problem, main: Path) -> ProblemBody:
    """Files of the configuration by their names in it, others by their paths."""
    try:
        file = problem.file.relative_to(main.parent)
    except ValueError:
        file = problem.file
    return {"message": problem.message, "mend": problem.hint, "file": str(file), "line": problem.line}
