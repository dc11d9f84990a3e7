"""``tidegate doctor``: what needs repair, in plain words."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import Exit, colourful, config_option, emit_json, fail, json_option, note, printable
from gateway.control.client import NotRunning

_MARKS = {"error": ("✖", "red"), "warning": ("▲", "yellow"), "notice": ("●", "")}


@click.command()
@config_option
@socket_option
@json_option
def doctor(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """List what needs repair in the running gateway, the worst first, each with its cause and what mends it.

    The exit code is 1 if there is an error or a warning; notices, such as a broker that is away for a while, aren't.
    """
    with answering():
        try:
            found = client_for(config_path, socket).get("/v1/repairs")
        except NotRunning as error:
            mend = "start it with: tidegate run; before that, tidegate check looks at its configuration"
            fail(str(error), mend, Exit.UNREACHABLE)
    if as_json:
        emit_json(found)
    else:
        _show(found)
    if any(repair["severity"] != "notice" for repair in found):
        sys.exit(int(Exit.FAILED))


def _show(found: Sequence[Mapping[str, Any]]) -> None:
    if not found:
        click.echo("all is well")
    for repair in found:
        mark, colour = _MARKS[repair["severity"]]
        shown = click.style(mark, fg=colour) if colour and colourful(sys.stdout) else mark
        click.echo(f"{shown} {printable(repair['sentence'])}")
        if repair["cause"]:
            click.echo(f"  {printable(repair['cause'])}")
        click.echo(f"  → {printable(repair['mend'])}" + (f" ({repair['command']})" if repair["command"] else ""))
    if found:
        note(f"{len(found)} to see to")
