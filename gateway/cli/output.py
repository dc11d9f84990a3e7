"""How every command speaks: data on stdout, everything else on stderr, one exit code per kind of outcome."""

from __future__ import annotations

import enum
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TextIO

import click
import orjson

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
    type=click.Path(path_type=Path),
    envvar="TIDEGATE_CONFIG",
    default=DEFAULT_CONFIG,
    show_default=True,
    show_envvar=True,
    help="The configuration file; conf.d/*.toml beside it is read too.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def fail(message: str, mend: str | None = None, code: Exit = Exit.FAILED) -> NoReturn:
    """End the command: one sentence on stderr, what to do next under it."""
    click.secho(f"tidegate: {message}", err=True, fg="red" if colourful(sys.stderr) else None)
    if mend:
        click.echo(f"  → {mend}", err=True)
    sys.exit(int(code))


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


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on stdout: aligned for people on a terminal, tab-separated for pipes."""
    if not sys.stdout.isatty():
        click.echo("\t".join(headings))
        for row in rows:
            click.echo("\t".join(str(cell) for cell in row))
        return
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    view = Table(*headings, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        view.add_row(*(str(cell) for cell in row))
    Console(no_color=not colourful(sys.stdout)).print(view)
