"""Other programs, called so that what goes wrong is one sentence."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

_LONGEST_S = 600.0


class CommandFailed(Exception):
    """A program couldn't be run, or failed. One sentence: which, and what it said last."""


def run(command: Sequence[str], *, stdin: str | None = None, longest_s: float = _LONGEST_S) -> str:
    """Its standard output. Raises CommandFailed."""
    try:
        done = subprocess.run(
            command, input=stdin, capture_output=True, text=True, errors="replace", timeout=longest_s, check=False
        )
    except OSError as error:
        raise CommandFailed(f"{command[0]} can't be run: {error.strerror or error}") from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"{command[0]} didn't end within {longest_s:.0f} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise CommandFailed(f"{command[0]} failed: {said[-1] if said else f'exit code {done.returncode}'}")
    return done.stdout
