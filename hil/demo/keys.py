"""Single keys from a terminal, without waiting for the Enter key."""

from __future__ import annotations

import os
import select
import sys
import termios
import time
import tty
from types import TracebackType

_ARROWS = {b"\x1b[C": "right", b"\x1b[D": "left", b"\x1bOC": "right", b"\x1bOD": "left"}


class Keys:
    """``with Keys() as keys``: the terminal gives keys at once, and is as before afterwards."""

    def __init__(self) -> None:
        self._terminal = sys.stdin.isatty()

    def __enter__(self) -> Keys:
        if self._terminal:
            self._before = termios.tcgetattr(sys.stdin)
            tty.setcbreak(sys.stdin)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._terminal:
            termios.tcsetattr(sys.stdin, termios.TCSADRAIN, self._before)

    def wait(self, seconds: float) -> str | None:
        """The next key pressed within `seconds`: its character, ``left`` or ``right``."""
        if not self._terminal:
            time.sleep(seconds)
            return None
        readable, _, _ = select.select([sys.stdin], [], [], seconds)
        if not readable:
            return None
        pressed = os.read(sys.stdin.fileno(), 16)
        if not pressed:  # the terminal is gone
            self._terminal = False
            return "q"
        return _ARROWS.get(pressed) or pressed[:1].decode("ascii", "ignore")
