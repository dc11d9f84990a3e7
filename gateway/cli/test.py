"""``tidegate test``: the way to a configured device, through the running gateway or without one."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.drivers import link_of
from gateway.cli.ladder import show
from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, config_option, fail, json_option, note
from gateway.cli.status import client_for, socket_option
from gateway.control.client import NotPermitted, NotRunning, Refused

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
    try:
        show(_running(config_path, socket, device), as_json=as_json)
    except NotRunning as error:
        if socket is not None:
            fail(str(error), "start it with: tidegate run", Exit.UNREACHABLE)
    except NotPermitted as error:
        fail(str(error), "run as root or as a member of the socket's group", Exit.DENIED)
    except Refused as error:
        fail(str(error), error.mend or "see its devices: tidegate status", Exit.USAGE)
    else:
        return
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
