"""What a build says while it goes on: one line per step, with its seconds and whether the cache had it."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_WIDE = 44


class Step:
    """One step of the build under way; ``note`` is shown behind its seconds."""

    def __init__(self) -> None:
        self.note = ""


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Show ``title`` and, when the block has ended, the seconds it took. A step that fails shows no seconds."""
    started = time.monotonic()
    current = Step()
    yield current
    say(f"{title:<{_WIDE}} {time.monotonic() - started:7.1f} s  {current.note}".rstrip())


def say(line: str) -> None:
    """One line to whoever watches the build."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def megabytes(size: int) -> str:
    """A size in bytes for people, in MB of 10⁶ bytes."""
    return f"{size / 1e6:.1f} MB"
