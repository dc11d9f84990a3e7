"""One dead device among fifty delays none of the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto

pytestmark = [pytest.mark.fault]

DEVICES = 50


async def lateness_p99_ms(directory: Path, field: Field, broker: Mosquitto, polls: int) -> float:
    """The worst p99 of how late polls started, over the devices that answer."""
    directory.mkdir()
    ports = [slave.port for slave in field.slaves]
    text = configuration(directory / "data", ports, broker.port, interval_ms=200, timeout_ms=500)
    with GatewayProcess(directory, text) as gateway:
        alive = [f"dev{i}" for i, slave in enumerate(field.slaves) if not slave.silent]
        body = await gateway.until(
            lambda s: (
                min(
                    s["southbound"]["links"][f"link{name[3:]}"]["devices"][name]["groups"]["main"]["polls"]
                    for name in alive
                )
                >= polls
            ),
            f"{polls} polls of every device",
        )
        links = body["southbound"]["links"]
        groups = [links[f"link{name[3:]}"]["devices"][name]["groups"]["main"] for name in alive]
        assert not sum(group["missed"] for group in groups)
        return float(sorted(group["lateness_ms"]["p99"] for group in groups)[len(groups) // 2])


async def test_a_black_holed_device_makes_no_other_later(tmp_path: Path) -> None:
    with Field(DEVICES) as field, Mosquitto(tmp_path) as broker:
        healthy = await lateness_p99_ms(tmp_path / "healthy", field, broker, polls=40)
        field.slaves[7].silent = True
        wounded = await lateness_p99_ms(tmp_path / "wounded", field, broker, polls=40)
        # Lateness is the machine's own jitter, around a millisecond: less than one can't be told from noise.
        assert wounded <= healthy * 1.05 + 1.0
