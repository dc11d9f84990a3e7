"""``tidegate why``: where on its way to MQTT a tag stops."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import Exit, colourful, config_option, emit_json, json_option, note, printable
from gateway.control.client import segment

_MARKS = {"ok": ("✔", "green"), "note": ("▲", "yellow"), "stop": ("✖", "red")}


@click.command()
@click.argument("tag")
@config_option
@socket_option
@json_option
def why(tag: str, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Say why TAG (DEVICE/PATH) isn't in MQTT, or that it is: its whole way, with what was last seen at each stage.

    The exit code is 1 if it doesn't arrive.
    """
    with answering():
        answer = client_for(config_path, socket).get(f"/v1/why/{segment(tag)}")
    if as_json:
        emit_json(answer)
    else:
        for step in answer["steps"]:
            _line(step)
        click.echo(f"\n{printable(answer['tag'])}: {printable(answer['sentence'])}")
        if answer["mend"]:
            note(f"  → {printable(answer['mend'])}")
    if not answer["arrives"]:
        sys.exit(int(Exit.FAILED))


def _line(step: Mapping[str, Any]) -> None:
    mark, colour = _MARKS[step["mark"]]
    shown = click.style(mark, fg=colour) if colourful(sys.stdout) else mark
    name = step["stage"] if step["sink"] is None else f"{step['stage']} ({step['sink']})"
    click.echo(f"{shown} {name:<22} {printable(step['sentence'])}")
