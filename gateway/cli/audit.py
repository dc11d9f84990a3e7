"""``tidegate audit``: who changed what, and whether the log of it is whole."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for
from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, config_option, emit_json, emit_line, fail, json_option, note, printable
from gateway.control.client import ControlClient, NotRunning

_LOOK_S = 1.0


@click.command()
@config_option
@json_option
@click.option("-f", "--follow", is_flag=True, help="Go on as rows come. Ends with Ctrl-C.")
@click.option("--verify", "verifying", is_flag=True, help="Check every row and the chain they form. 1: it isn't whole.")
@click.option("-n", "--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="The newest so many.")
@click.option("--action", help="Only this action, or those below it: write, user.add, session.")
@click.option("--actor", help="Only what this user or token did.")
@click.option("--subject", help="Only what was done to this: a device, DEVICE/TAG, a user.")
def audit(
    config_path: Path,
    as_json: bool,
    follow: bool,
    verifying: bool,
    limit: int,
    action: str | None,
    actor: str | None,
    subject: str | None,
) -> None:
    """Show the audit log, oldest row first. With --json: a line of JSON for each row."""
    settings = load_or_exit(config_path, check_secrets=False)
    client = client_for(config_path, settings.socket)
    if verifying:
        _verify(client, settings.data_dir / "audit", as_json)
    wanted = {"action": action, "actor": actor, "subject": subject}
    show = emit_line if as_json else _print
    with answering():
        rows = client.get("/v1/audit", limit=limit, **wanted)["rows"]
        for row in reversed(rows):
            show(row)
        last = rows[0]["number"] if rows else 0
        try:
            while follow:
                time.sleep(_LOOK_S)
                for row in reversed(client.get("/v1/audit", limit=1000, after=last, **wanted)["rows"]):
                    show(row)
                    last = row["number"]
        except KeyboardInterrupt:
            return


def _verify(client: ControlClient, directory: Path, as_json: bool) -> None:
    """By the gateway, or on its files while it doesn't run. Ends the command."""
    with answering():
        try:
            found = client.call("GET", "/v1/audit/verification", timeout_s=60.0)
        except NotRunning:
            from gateway.audit import verify

            if not directory.is_dir():
                fail(f"there is no audit log in {directory}", "start the gateway once: tidegate run", Exit.UNREACHABLE)
            found = verify(directory).to_json()
    if as_json:
        emit_json(found)
    else:
        for finding in found["findings"]:
            click.echo(f"{finding['file']}:{finding['line']}: {finding['message']}")
        whole = "is whole" if found["sound"] else "isn't whole"
        note(f"the audit log {whole}: rows {found['first']} to {found['last']}, the last with the hash {found['hash']}")
    sys.exit(Exit.OK if found["sound"] else Exit.FAILED)


def _print(row: dict[str, Any]) -> None:
    details = " ".join(f"{key}={_short(value)}" for key, value in row["details"].items() if value not in (None, ""))
    who = f"{row['actor']} ({row['role']}, {row['via']})"
    line = f"{row['at']}  {row['action']:<14} {row['outcome']:<8} {row['subject']}  by {who}  {details}"
    click.echo(printable(line.rstrip()))


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:79]}…"
