"""``tidegate mqtt test``: the way to a broker, with or without a running gateway."""

from __future__ import annotations

import difflib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.ladder import drawn, show
from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, config_option, fail, json_option, note

if TYPE_CHECKING:
    from gateway.diagnostics.rungs import Rung


@click.group()
def mqtt() -> None:
    """Test the way to a broker, rung by rung."""


@mqtt.command()
@click.argument("sink", required=False)
@config_option
@json_option
def test(sink: str | None, config_path: Path, as_json: bool) -> None:
    """Test the broker of SINK: name, link, TLS, CONNECT, publish, and whether the message comes back.

    Without SINK: of the only one. It uses a client id of its own, so that a running gateway keeps its connection, and
    publishes one message, not retained, below the gateway's own topic.
    """
    settings = load_or_exit(config_path)
    names = [each.name for each in settings.sinks]
    if not names:
        fail("the configuration has no sink", "add a [[sink]]", Exit.CONFIG)
    if sink is None and len(names) > 1:
        fail(f"there are {len(names)} sinks", f"name one: {', '.join(names)}", Exit.USAGE)
    chosen = next((each for each in settings.sinks if each.name == (sink or names[0])), None)
    if chosen is None:
        close = difflib.get_close_matches(sink or "", names, n=1)
        meant = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(names)}"
        fail(f"the configuration has no sink {sink!r}", meant, Exit.USAGE)
    if not as_json:
        note(f"{chosen.name}: {chosen.host}:{chosen.port}")

    def ladder() -> AsyncGenerator[Rung, None]:
        from gateway.diagnostics.broker import climb_broker

        return climb_broker(settings, chosen)

    show(drawn(ladder), as_json=as_json)
