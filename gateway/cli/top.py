"""``tidegate top``: the values of the running gateway as a table that keeps up with them."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import Exit, colourful, config_option, emit_line, fail, json_option, printable
from gateway.control.client import ServerEvent
from gateway.durations import duration
from gateway.model import is_bad, is_good

_CHROME_LINES = 4
"""Of the screen: headings, the summary, the line below and the cursor's own."""
_ICONS = {"good": "●", "uncertain": "▲", "bad": "✖"}
_COLOURS = {"good": "", "uncertain": "yellow", "bad": "red"}


@dataclass(slots=True)
class Row:
    """One tag."""

    tag: str
    unit: str
    group: int
    value: Any = None
    quality: int = 0
    heard_ms: int | None = None


@dataclass(slots=True)
class Board:
    """What the stream adds up to."""

    rows: list[Row] = field(default_factory=list)
    names: dict[str, str] = field(default_factory=dict)
    at_ms: int = 0

    def take(self, event: ServerEvent) -> None:
        body = event.data
        self.at_ms = body["t"]
        if event.event == "snapshot":
            table, groups = body["tags"], body["groups"]
            self.names = {}
            self.rows = [
                Row(f"{groups[group]['device']}/{path}", unit or "", group)
                for path, unit, group in zip(table["path"], table["unit"], table["group"], strict=True)
            ]
        self.names |= body.get("names", {})
        heard = dict(zip(body.get("g", ()), body.get("ga", ()), strict=True))
        if heard:
            for row in self.rows:
                if row.group in heard:
                    row.heard_ms = self.at_ms - heard[row.group]
        size = len(body["i"])
        qualities, ages = body.get("q", [0] * size), body.get("a", [None] * size)
        for index, value, quality, age in zip(body["i"], body["v"], qualities, ages, strict=True):
            row = self.rows[index]
            row.value, row.quality = value, quality
            if age is not None:
                row.heard_ms = None if age < 0 else self.at_ms - age

    def bad_first(self) -> Sequence[Row]:
        """Every row, the worst first; among equals in the order of the configuration."""
        return sorted(self.rows, key=lambda row: -(row.quality >> 30))


@click.command()
@click.argument("pattern", default="*")
@config_option
@socket_option
@json_option
@click.option("--device", help="Tags of this device only.")
@click.option("--errors", is_flag=True, help="Only tags whose quality isn't good.")
@click.option(
    "--interval-ms",
    type=click.IntRange(250, 60_000),
    default=1000,
    show_default=True,
    help="Time between two looks.",
)
@click.option("-n", "--count", type=click.IntRange(min=1), help="Stop after so many looks.")
def top(
    pattern: str,
    config_path: Path,
    socket: Path | None,
    as_json: bool,
    device: str | None,
    errors: bool,
    interval_ms: int,
    count: int | None,
) -> None:
    """Show the values whose DEVICE/TAG matches PATTERN, the worst first, until Ctrl-C.

    In a pipe each look is printed below the one before; with --json as the stream's own events.
    """
    events = client_for(config_path, socket).events(
        "/v1/live", match=pattern, device=device, errors=errors, interval_ms=interval_ms
    )
    try:
        with answering():
            if as_json:
                for number, event in enumerate(events, 1):
                    emit_line({"event": event.event, **event.data})
                    if number == count:
                        return
            elif _show(events, errors, count):
                return
    except KeyboardInterrupt:
        return
    fail("the gateway stopped", "see its log, then: tidegate status", Exit.UNREACHABLE)


def _show(events: Iterator[ServerEvent], errors: bool, count: int | None) -> bool:
    """Draw until the stream ends (False), or `count` looks were drawn (True)."""
    from rich.console import Console
    from rich.live import Live

    board = Board()
    console = Console(no_color=not colourful(sys.stdout), highlight=False)
    screen = Live(console=console, auto_refresh=False, screen=True) if console.is_terminal else None
    with screen or contextlib.nullcontext():
        for number, event in enumerate(events, 1):
            board.take(event)
            if screen is None:
                console.print(_drawn(board, errors, None))
            else:
                screen.update(_drawn(board, errors, max(1, console.height - _CHROME_LINES)), refresh=True)
            if number == count:
                return True
    return False


def _drawn(board: Board, errors: bool, lines: int | None) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = [row for row in board.bad_first() if not errors or not is_good(row.quality)]
    shown = rows if lines is None else rows[:lines]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, expand=lines is not None)
    table.add_column("tag", overflow="ellipsis", no_wrap=True)
    for heading in ("value", "unit", "quality", "age"):
        table.add_column(heading, no_wrap=True, justify="right" if heading in ("value", "age") else "left")
    for row in shown:
        kind = _kind(row.quality)
        name = board.names.get(str(row.quality), "")
        cells = [printable(row.tag), _value(row.value), printable(row.unit), f"{_ICONS[kind]} {name}", _age(board, row)]
        table.add_row(*(Text(cell, style=_COLOURS[kind]) for cell in cells))
    counts = {kind: sum(_kind(row.quality) == kind for row in board.rows) for kind in _ICONS}
    summary = ", ".join(f"{number} {kind}" for kind, number in counts.items() if number) or "no tags"
    hidden = len(rows) - len(shown)
    more = f"; {hidden} more, narrow them down with a pattern or --errors" if hidden else ""
    return Group(Text(summary + more, style="bold"), table)


def _kind(quality: int) -> str:
    return "bad" if is_bad(quality) else "good" if is_good(quality) else "uncertain"


def _value(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return f"{_value(value['head'])}… ({value['cut']})"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return printable(value)


def _age(board: Board, row: Row) -> str:
    if row.heard_ms is None:
        return "never"
    return duration((board.at_ms - row.heard_ms) / 1000)
