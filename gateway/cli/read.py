"""``tidegate read``: what tags are now."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import Exit, config_option, emit_json, json_option, moment, table
from gateway.model import is_bad


@click.command()
@click.argument("tags", metavar="DEVICE/TAG...", nargs=-1, required=True)
@config_option
@socket_option
@json_option
@click.option("--fresh", is_flag=True, help="Ask the devices now, instead of saying what was read last.")
def read(tags: tuple[str, ...], config_path: Path, socket: Path | None, as_json: bool, fresh: bool) -> None:
    """Show what each DEVICE/TAG is, with its quality and its age. Exit code 1 if one of them is bad."""
    client = client_for(config_path, socket)
    rows: list[dict[str, Any]] = []
    with answering():
        for tag in tags:
            known = client.get(f"/v1/tags/{quote(tag)}")["current"]
            rows.append({**known, **client.post("/v1/reads", {"tag": tag}, timeout_s=100.0)} if fresh else known)
    if as_json:
        emit_json(rows if len(rows) > 1 else rows[0])
    else:
        table(
            ["tag", "value", "unit", "quality", "time"],
            (
                [
                    row["tag"],
                    "–" if row["value"] is None else row["value"],
                    row["unit"],
                    row["quality_name"],
                    "never" if row["timestamp_ms"] is None else moment(row["timestamp_ms"], exact=True),
                ]
                for row in rows
            ),
        )
    sys.exit(Exit.FAILED if any(is_bad(row["quality"]) for row in rows) else Exit.OK)
