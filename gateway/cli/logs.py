"""``tidegate logs``: what the running gateway's log said of late."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import Exit, colourful, config_option, emit_line, fail, json_option, moment, note

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
_COLOURS = {"warning": "yellow", "error": "red"}


class _Ago(click.ParamType[int]):
    """``90s``, ``10m``, ``2h`` or ``1d`` ago, as ms since 1970 UTC."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        found = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if not found:
            self.fail(f"{value!r} isn't a duration such as 90s, 10m, 2h or 1d", param, ctx)
        return max(0, int((time.time() - int(found[1]) * _UNITS_S[found[2]]) * 1000))


@click.command()
@config_option
@socket_option
@json_option
@click.option("-f", "--follow", is_flag=True, help="Go on as the gateway goes on. Ends with Ctrl-C.")
@click.option(
    "--level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="debug",
    show_default=True,
    help="The least that is shown. What the gateway doesn't log isn't there: see tidegate run --log-level.",
)
@click.option("--since", type=_Ago(), default=0, help="Only the last 90s, 10m, 2h or 1d.")
@click.option("--match", default="", help="Only what has this text in it, in whatever case.")
@click.option("-n", "--limit", type=click.IntRange(1, 2000), default=200, show_default=True, help="The newest so many.")
def logs(
    config_path: Path,
    socket: Path | None,
    as_json: bool,
    follow: bool,
    level: str,
    since: int,
    match: str,
    limit: int,
) -> None:
    """Show the last log entries of the running gateway, which keeps about 2,000 of them in memory.

    Secrets are crossed out. With --json: a line of JSON for each entry.
    """
    client = client_for(config_path, socket)
    wanted: dict[str, Any] = {"level": level, "since": since, "match": match}
    show = emit_line if as_json else _print
    with answering():
        body = client.get("/v1/logs", limit=limit, **wanted)
        for entry in body["entries"]:
            show(entry)
        if not follow:
            return
        try:
            for event in client.events("/v1/logs/stream", **wanted, after=body["last_id"]):
                if event.event == "log":
                    show(event.data)
                else:
                    note(f"{event.data['missed']} entries came too fast and are missing here")
        except KeyboardInterrupt:
            return
    fail("the gateway stopped", "see why: journalctl -u tidegate, then: tidegate status", Exit.UNREACHABLE)


def _print(entry: dict[str, Any]) -> None:
    at = moment(entry["timestamp_ms"], exact=True)
    text = f"{at}  {entry['level']:<7}  {entry['logger'].removeprefix('gateway.')}: {entry['message']}"
    if entry["traceback"]:
        text += "\n" + entry["traceback"]
    lines = ["".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line) for line in text.split("\n")]
    colour = _COLOURS.get(entry["level"])
    shown = "\n".join(lines)
    click.echo(click.style(shown, fg=colour) if colour and colourful(sys.stdout) else shown)
