"""How every command speaks: data on stdout, everything else on stderr, one exit code per kind of outcome."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click
import orjson

from gateway.sentences import one_line

_LEAST_DETAIL = 20
"""Characters a table's last column has at least; a terminal too narrow for that wraps the lines."""

DEFAULT_CONFIG = Path("/etc/tidegate/tidegate.toml")


class Exit(enum.IntEnum):
    """Exit codes of ``tidegate``, the same for every command."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIG = 3
    UNREACHABLE = 4
    CONFLICT = 5
    DENIED = 6


config_option = click.option(
    "-c",
    "--config",
    "config_path",
    type=click.Path(path_type=Path, readable=False),  # said with the other problems, by the same exit code
    envvar="TIDEGATE_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=True,
    show_envvar=True,
    help="The configuration file; conf.d/*.toml beside it is read too.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
yes_option = click.option("-y", "--yes", is_flag=True, help="Don't ask. Without a terminal nobody can be asked.")


def fail(message: str, mend: str | None = None, code: Exit = Exit.FAILED) -> NoReturn:
    """End the command: one sentence on stderr, what to do next under it."""
    line = f"tidegate: {one_line(message)}"
    click.echo(click.style(line, fg="red") if colourful(sys.stderr) else line, err=True)
    if mend:
        click.echo(f"  → {mend}", err=True)
    sys.exit(int(code))


def confirmed(question: str, *, yes: bool) -> None:
    """Go on only if that is wanted: by `yes`, or by an answer on the terminal. Else the command ends."""
    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        fail("this needs a yes, and there is no terminal to ask on", "add --yes if it is meant", Exit.USAGE)
    if not click.confirm(question, err=True):
        fail("nothing was done", "call it again with --yes if it is meant")


def note(message: str) -> None:
    """Progress and remarks, on stderr."""
    click.echo(message, err=True)


def colourful(stream: TextIO) -> bool:
    """Whether colour is welcome: on a terminal, unless NO_COLOR says otherwise (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def emit_json(body: Any) -> None:
    """One JSON document on stdout."""
    click.echo(orjson.dumps(body, option=orjson.OPT_INDENT_2).decode())


def emit_line(body: Any) -> None:
    """One line of newline-delimited JSON on stdout, at once."""
    sys.stdout.buffer.write(orjson.dumps(body, option=orjson.OPT_APPEND_NEWLINE))
    sys.stdout.buffer.flush()


def moment(ms: float, *, exact: bool = False) -> str:
    """Milliseconds since 1970 as every command prints them, UTC: ``2026-01-31T12:00:00Z``; `exact`: to the ms."""
    text = datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds" if exact else "seconds")
    return text.replace("+00:00", "Z")


def printable(cell: object) -> str:
    """As one line that moves no cursor: names come from devices, and anybody may stand in radio range."""
    if isinstance(cell, list | tuple):
        return ", ".join(printable(item) for item in cell)
    text = "" if cell is None else str(cell)
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def print_patch(patch: str) -> None:
    """A unified diff, coloured on a terminal."""
    colours = {"+": "green", "-": "red", "@": "cyan"} if colourful(sys.stdout) else {}
    for line in patch.split("\n")[:-1]:
        shown = "".join(each if each.isprintable() or each == "\t" else "\N{REPLACEMENT CHARACTER}" for each in line)
        click.echo(click.style(shown, fg=colours.get(line[:1])) if colours else shown)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout: aligned for people on a terminal, tab-separated for pipes."""
    if not sys.stdout.isatty():
        click.echo("\t".join(headings))
        for row in rows:
            click.echo("\t".join(printable(cell) for cell in row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    view = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    # Numbers and names are worth nothing cut short: only the last column, where details stand, is folded.
    for heading in headings[:-1]:
        view.add_column(heading, no_wrap=True)
    view.add_column(headings[-1], overflow="fold")
    cells = [[printable(cell) for cell in row] for row in rows]
    for row in cells:
        view.add_row(*map(Text, row))  # a plain string would be read as markup
    console = Console(no_color=not colourful(sys.stdout))
    fixed = sum(max(len(line[at]) for line in [list(headings), *cells]) + 2 for at in range(len(headings) - 1))
    console.width = max(console.width, fixed + _LEAST_DETAIL)
    console.print(view)
