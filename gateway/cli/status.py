"""``tidegate status``: how the running gateway is doing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.cli.loading import socket_of
from gateway.cli.output import Exit, config_option, emit_json, fail, json_option, table
from gateway.control.client import ControlClient, NotPermitted, NotRunning

socket_option = click.option(
    "--socket", type=click.Path(path_type=Path), help="The control socket, where the configuration isn't at hand."
)


def client_for(config_path: Path, socket: Path | None) -> ControlClient:
    return ControlClient(socket_of(config_path, socket))


@click.command()
@config_option
@socket_option
@json_option
def status(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Show links, devices, journal, sinks and the ledger of the running gateway."""
    try:
        body = client_for(config_path, socket).status()
    except NotRunning as error:
        fail(str(error), "start it with: tidegate run", Exit.UNREACHABLE)
    except NotPermitted as error:
        fail(str(error), "run as root or as a member of the socket's group", Exit.DENIED)
    if as_json:
        emit_json(body)
    else:
        _print(body)


def _print(body: dict[str, Any]) -> None:
    gateway = body["gateway"]
    clock = "trusted" if gateway["clock_trusted"] else "not trusted"
    click.echo(
        f"{gateway['id']}  version {gateway['version']}  boot {gateway['boot']}"
        f"  up {gateway['uptime_s']:.0f} s  clock {clock}\n"
    )
    for heading, rows in _sections(body):
        if rows:
            table(heading, rows)
            click.echo()


def _sections(body: dict[str, Any]) -> list[tuple[list[str], list[list[object]]]]:
    raise NotImplementedError
