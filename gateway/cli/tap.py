"""``tidegate tap``: watch values as the running gateway takes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import Exit, colourful, config_option, emit_line, fail, json_option, moment
from gateway.model import is_bad, is_good


@click.command()
@click.argument("pattern", default="*")
@config_option
@socket_option
@json_option
@click.option("-n", "--count", type=click.IntRange(min=1), help="Stop after so many values.")
def tap(pattern: str, config_path: Path, socket: Path | None, as_json: bool, count: int | None) -> None:
    """Watch values whose DEVICE/TAG matches PATTERN, as the journal takes them.

    PATTERN is a shell pattern, such as 'filler1/*' or '*/temperature'. Ends with Ctrl-C.
    """
    show = emit_line if as_json else _print
    with answering():
        try:
            for seen, value in enumerate(client_for(config_path, socket).values(pattern), 1):
                show(value)
                if seen == count:
                    return
        except KeyboardInterrupt:
            return
    fail("the gateway stopped", "see its log, then: tidegate status", Exit.UNREACHABLE)


def _print(body: dict[str, Any]) -> None:
    at = moment(body["timestamp_ms"], exact=True)
    quality = body["quality"]
    unit = f" {body['unit']}" if body["unit"] else ""
    line = f"{at}  {body['tag']:<40}  {body['value']!s:>20}{unit:<8}  {body['quality_name']}"
    colour = None if is_good(quality) else "red" if is_bad(quality) else "yellow"
    click.echo(click.style(line, fg=colour) if colour and colourful(sys.stdout) else line)
