"""What ``tidegate status`` shows of groups that are subscribed to."""

import asyncio
from typing import Any

from gateway.cli.status import _print
from tests.southbound.harness import Field, Pushed, link, run


def test_each_subscribed_group_has_a_line(capsys) -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10), Pushed(), 1.0]})
    wire.units["d"].on_subscribe = lambda subscribed: subscribed.say() if subscribed.group.name == "g0" else None

    async def main() -> dict[str, Any]:
        async with Field([settings]) as field:
            await asyncio.sleep(9)
            subscribed = wire.units["d"].subscribed["g0"]
            subscribed.say(columns=[0])
            subscribed.receiver.lost(7, "the queue of the server overflowed")
            await asyncio.sleep(2)
            return field.supervisor.status()

    southbound = run(main)
    gateway = {"id": "gw1", "version": "1", "boot": 1, "uptime_s": 1.0, "clock_trusted": True}
    _print({"gateway": gateway, "southbound": southbound, "sinks": {}, "journal": {}, "ledger": {}})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    (first,) = [line for line in lines if line[:2] == ["d", "g0"]]
    assert first[2:13] == ["standing", "2", "s", "ago", "4", "0", "2", "of", "3", "7", "the"]
    (second,) = [line for line in lines if line[:2] == ["d", "g1"]]
    assert second[2:12] == ["standing", "never", "0", "0", "0", "of", "3", "0", "g1/t0", "BadWaitingForInitialData,"]
    assert not [line for line in lines if line[:2] == ["d", "g2"]]
