"""What a box says, from its first moment on: kept in a file with the time of each line, and waited for."""

from __future__ import annotations

import re
import threading
import time
from pathlib import Path
from typing import IO

_CONTROL = re.compile(
    r"\x1b\[[0-9;:?!]*[A-Za-z]"  # colours, the cursor
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)"  # titles, palettes
    r"|\x1b[()][A-Z0-9]|[\x00-\x08\x0b-\x1f]"
)
_TAIL = 40


class Silent(Exception):
    """What was waited for didn't come. A sentence, then the last lines."""


class Console:
    """Fed by threads, read by tests."""

    def __init__(self, log: Path) -> None:
        """`log` is begun anew."""
        log.parent.mkdir(parents=True, exist_ok=True)
        self.log = log
        self._file = log.open("w", encoding="utf-8")
        self._lines: list[str] = []
        self._partial: dict[str, str] = {}
        """What each stream has begun to say."""
        self._began = time.monotonic()
        self._heard = threading.Condition()

    def follow(self, stream: IO[bytes], name: str = "") -> threading.Thread:
        """Take over a stream until it ends. `name` is put before each line."""
        prefix = f"{name}: " if name else ""

        def read() -> None:
            while chunk := stream.read1(4096):  # type: ignore[attr-defined]
                self.feed(chunk, prefix)
            stream.close()

        thread = threading.Thread(target=read, name="console", daemon=True)
        thread.start()
        return thread

    def feed(self, chunk: bytes, prefix: str = "") -> None:
        with self._heard:
            begun = self._partial.get(prefix, "") + chunk.decode("utf-8", "replace")
            *lines, self._partial[prefix] = begun.split("\n")
            for line in lines:
                self._add(prefix + _CONTROL.sub("", line).rstrip())
            self._heard.notify_all()

    def note(self, sentence: str) -> None:
        """Something that the bench did, so that the log tells the whole story."""
        with self._heard:
            self._add(f"--- {sentence}")
            self._heard.notify_all()

    def mark(self) -> int:
        """Here: for `wait`."""
        with self._heard:
            return len(self._lines)

    def wait(self, pattern: str, timeout_s: float, mark: int = 0) -> re.Match[str]:
        """The first line after `mark` in which `pattern` is found; an unfinished one counts, too. Raises Silent."""
        wanted = re.compile(pattern)
        end = time.monotonic() + timeout_s
        at = mark
        with self._heard:
            while True:
                for line in self._lines[at:]:
                    if found := wanted.search(line):
                        return found
                at = max(mark, len(self._lines))
                for begun in self._partial.values():
                    if found := wanted.search(begun):
                        return found
                left = end - time.monotonic()
                if left <= 0:
                    raise Silent(f"not on the console within {timeout_s:.0f} s: {pattern}\n{self._tail()}")
                self._heard.wait(left)

    def tail(self) -> str:
        with self._heard:
            return self._tail()

    def close(self) -> None:
        with self._heard:
            for prefix, begun in self._partial.items():
                if begun:
                    self._add(prefix + begun)
            self._partial.clear()
            self._file.close()

    def _tail(self) -> str:
        return "\n".join(f"    {line}" for line in [*self._lines[-_TAIL:], *self._partial.values()] if line)

    def _add(self, line: str) -> None:
        self._lines.append(line)
        if not self._file.closed:
            self._file.write(f"{time.monotonic() - self._began:9.3f}  {line}\n")
            self._file.flush()
