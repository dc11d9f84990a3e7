"""Rows on stdout as they are found, and a line of progress on stderr while there is a terminal to draw it on."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

import click
import orjson

from gateway.cli.output import printable

_REDRAW_S = 0.1
_BAR = 20
_ERASE = "\r\x1b[K"


class Stream:
    """Give it rows, texts and progress in any order; call :meth:`end` at the end, whatever happened."""

    def __init__(self) -> None:
        self._on_terminal = sys.stdout.isatty()
        self._drawing = sys.stderr.isatty()
        self._widths: list[int] = []
        self._drawn = False
        self._drawn_s = 0.0

    def row(self, headings: Sequence[str], cells: Sequence[object]) -> None:
        """One row of a table, its headings above the first: aligned on a terminal, tab-separated in a pipe."""
        if not self._widths:
            self._widths = [len(heading) for heading in headings]
            self._line(headings)
        self._line([printable(cell) for cell in cells])

    def body(self, body: Mapping[str, Any]) -> None:
        """One line of newline-delimited JSON."""
        self.text(orjson.dumps(body, default=str).decode())

    def text(self, text: str) -> None:
        self._erase()
        click.echo(text)

    def progress(self, text: str, done: int = 0, total: int = 0) -> None:
        """What is being done now. `total` is 0 if it isn't known."""
        now = time.monotonic()
        if not self._drawing or now - self._drawn_s < _REDRAW_S:
            return
        self._drawn_s = now
        line = printable(text)
        if total:
            full = _BAR * min(done, total) // total
            line = f"{'█' * full}{'░' * (_BAR - full)} {done}/{total}  {line}"
        # A line that is wrapped couldn't be erased again.
        click.echo(_ERASE + line[: shutil.get_terminal_size().columns - 1], nl=False, err=True)
        self._drawn = True

    def end(self) -> None:
        self._erase()

    def _line(self, cells: Sequence[str]) -> None:
        if not self._on_terminal:
            self.text("\t".join(cells))
            return
        self._widths = [max(width, len(cell)) for width, cell in zip(self._widths, cells, strict=True)]
        self.text("  ".join(cell.ljust(width) for cell, width in zip(cells, self._widths, strict=True)).rstrip())

    def _erase(self) -> None:
        if self._drawn:
            click.echo(_ERASE, nl=False, err=True)
            self._drawn = False
