"""``tidegate test``: the way to a configured device, through the running gateway or without one."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.drivers import link_of
from gateway.cli.ladder import drawn, show
from gateway.cli.loading import load_or_exit
from gateway.cli.output import config_option, json_option, note
from gateway.control.client import NotRunning

if TYPE_CHECKING:
    from gateway.diagnostics.rungs import Rung


@click.command()
@click.argument("device")
@config_option
@socket_option
@json_option
def test(device: str, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Test the way to DEVICE: name, link, session, identity, test read. The rung that fails says what mends it.

    While the gateway runs the device is asked through it, between two polls: nothing is disturbed. Without it the
    device is asked on a connection of its own.
    """
    with answering("see its devices: tidegate status"):
        try:
            show(_running(config_path, socket, device), as_json=as_json)
            return
        except NotRunning:
            if socket is not None:
                raise
    note("no gateway runs: the device is asked on a connection of its own")
    settings = load_or_exit(config_path, check_secrets=False, unfinished=True)
    link = link_of(settings, device)

    def ladder() -> AsyncGenerator[Rung, None]:
        from gateway.diagnostics.ladder import climb_device

        return climb_device(link, device)

    show(drawn(ladder), as_json=as_json)


def _running(config_path: Path, socket: Path | None, device: str) -> Iterator[Mapping[str, Any]]:
    client = client_for(config_path, socket)
    for event in client.events("/v1/tests/device", "POST", {"device": device}):
        yield event.data
