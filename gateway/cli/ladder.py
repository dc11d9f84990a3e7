"""A test ladder on the terminal: a line a rung, what mends the one that failed, and the exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from gateway.cli.output import Exit, colourful, emit_line, note, printable

_MARKS = {"passed": ("✔", "green"), "failed": ("✖", "red"), "skipped": ("–", "")}


def show(rungs: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    """Print rungs as they end. Ends the command with exit code 4 if one failed."""
    failed = False
    for rung in rungs:
        if as_json:
            emit_line(rung)
        if rung["state"] == "running":
            continue
        failed = failed or rung["state"] == "failed"
        if not as_json:
            _line(rung)
    if failed:
        sys.exit(int(Exit.UNREACHABLE))


def _line(rung: Mapping[str, Any]) -> None:
    mark, colour = _MARKS[rung["state"]]
    shown = click.style(mark, fg=colour) if colour and colourful(sys.stdout) else mark
    took = f"  ({rung['duration_ms']:.0f} ms)" if rung["state"] != "skipped" else ""
    click.echo(f"{shown} {rung['title']:<19} {printable(rung['sentence'])}{took}")
    if rung["mend"]:
        note(f"  → {printable(rung['mend'])}")
    for row in rung["details"].get("tags", ()):
        value = "–" if row["value"] is None else row["value"]
        unit = f" {row['unit']}" if row["unit"] else ""
        click.echo(f"    {printable(row['tag'])}: {printable(value)}{unit}  {row['quality_name']}")
