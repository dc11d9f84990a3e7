"""Climbing a ladder to its end, and settings to climb with."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from gateway.config.candidate import candidate_link
from gateway.diagnostics.rungs import Rung, State
from gateway.settings import GatewaySettings, JournalSettings, LinkSettings


def gateway(directory: Path) -> GatewaySettings:
    return GatewaySettings(
        "gw1",
        ("acme", "plant1"),
        directory / "data",
        directory / "data" / "control.sock",
        "trusted",
        JournalSettings(directory / "data" / "journal.db"),
        (),
        (),
    )


def modbus(directory: Path, port: int, *tags: dict[str, Any], host: str = "127.0.0.1", **more: Any) -> LinkSettings:
    link = {"driver": "modbus", "host": host, "port": port, "timeout_ms": 200, **more}
    return candidate_link(link, {}, tags, gateway(directory), directory)


async def climbed(ladder: AsyncIterator[Rung]) -> dict[str, Rung]:
    """Every rung's end, by its id, in order. What ends has begun, unless it was never tried."""
    ends: dict[str, Rung] = {}
    running: set[str] = set()
    async for rung in ladder:
        if rung.state is State.RUNNING:
            running.add(rung.id)
            continue
        assert (rung.id in running) or rung.state is State.SKIPPED
        assert rung.sentence
        assert "\n" not in rung.sentence
        assert rung.state is not State.FAILED or rung.mend
        ends[rung.id] = rung
    return ends


def states(ends: dict[str, Rung]) -> list[str]:
    return [f"{rung.id} {rung.state}" for rung in ends.values()]
