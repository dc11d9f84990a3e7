"""A test ladder on the terminal: a line a rung, what mends the one that failed, and the exit code."""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.output import Exit, colourful, emit_line, note, printable

if TYPE_CHECKING:
    from gateway.diagnostics.rungs import Rung

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


def drawn(ladder: Callable[[], AsyncGenerator[Rung, None]]) -> Iterator[Mapping[str, Any]]:
    """The rungs of a ladder that is climbed in a loop of its own, as they come."""
    rungs: queue.SimpleQueue[Mapping[str, Any] | BaseException | None] = queue.SimpleQueue()

    async def climb() -> None:
        async for rung in ladder():
            rungs.put(rung.to_json())

    def run() -> None:
        try:
            asyncio.run(climb())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            rungs.put(error)
        else:
            rungs.put(None)

    threading.Thread(target=run, name="ladder", daemon=True).start()
    while (rung := rungs.get()) is not None:
        if isinstance(rung, BaseException):
            raise rung
        yield rung


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
