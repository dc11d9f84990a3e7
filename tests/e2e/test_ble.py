"""A Bluetooth sensor and a beacon, the whole gateway, a broker: three processes and the air."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hil.radio.kind import PORT_VARIABLE
from hil.radio.process import WorldProcess
from hil.radio.world import SENSOR, SETPOINT, advert
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.subscriber import Subscriber

pytestmark = [pytest.mark.e2e]

ROOT = Path(__file__).parents[2]
BEACON = "C0:00:00:00:00:03"

CONFIGURATION = """
[gateway]
id = "gw1"
enterprise = "acme"
site = "plant1"
data_dir = "{data}"
clock = "trusted"
[[sink]]
name = "plant"
host = "127.0.0.1"
port = {port}
[[link]]
name = "radio"
driver = "virtual-ble"
[[device]]
name = "cellar"
link = "radio"
address = "{beacon}"
format = "bthome"
[[device.group]]
name = "adverts"
stale_ms = 1500
[[device.group.tag]]
name = "temperature"
field = "temperature"
type = "float64"
unit = "Cel"
[[device.group.tag]]
name = "rssi"
field = "rssi"
type = "int8"
[[device]]
name = "oven"
link = "radio"
address = "{sensor}"
advert_timeout_ms = 1000
timeout_ms = 500
[[device.group]]
name = "main"
[[device.group.tag]]
name = "temperature"
characteristic = "2A6E"
type = "float64"
unit = "Cel"
[[device.group.tag]]
name = "setpoint"
characteristic = "{setpoint}"
type = "uint16"
writable = true
"""


def temperature(hundredths: int) -> bytes:
    return advert(service_data={0xFCD2: b"\x40\x02" + hundredths.to_bytes(2, "little", signed=True)})


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that publishes the virtual kind, as far as the gateway's process can tell."""
    package = tmp_path / "site" / "virtual_ble-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: virtual-ble\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[tidegate.drivers]\nvirtual-ble = hil.radio.kind:KIND\n")
    monkeypatch.setenv("PYTHONPATH", f"{package.parent}{os.pathsep}{ROOT}")


@pytest.fixture
def world() -> Iterator[WorldProcess]:
    with WorldProcess() as running:
        yield running


def latest(messages: list[Any], topic: str) -> Any:
    found = [message.json for message in messages if message.topic.endswith(topic)]
    return (found[-1]["value"], found[-1]["quality"]) if found else None


async def test_from_the_air_to_the_broker(
    tmp_path: Path, plugged: None, world: WorldProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.renew()
    await world.do("beacon", BEACON, temperature(2506), -71)
    monkeypatch.setenv(PORT_VARIABLE, str(world.port))
    with Mosquitto(tmp_path) as broker, Subscriber(broker.port) as subscriber:
        text = CONFIGURATION.format(
            data=tmp_path / "data", port=broker.port, beacon=BEACON, sensor=SENSOR, setpoint=SETPOINT
        )
        with GatewayProcess(tmp_path, text) as gateway:

            async def until(topic: str, expected: Any, what: str) -> None:
                await subscriber.until(lambda messages: latest(messages, topic) == expected, what)

            await until("cellar/temperature", (25.06, 0), "the beacon's temperature")
            await until("cellar/rssi", (-71, 0), "its signal strength")
            await until("oven/temperature", (21.5, 0), "the sensor's temperature")
            await until("oven/setpoint", (900, 0), "its setpoint")

            await world.do("sensor.set_temperature", 18525)
            await until("oven/temperature", (185.25, 0), "a notification")
            await world.do("beacon", BEACON, temperature(-150))
            await until("cellar/temperature", (-1.5, 0), "another advert")

            await world.do("sensor.vanish")
            await subscriber.until(
                lambda messages: (latest(messages, "oven/temperature") or (0, 0))[1] >= 0x80000000, "the oven is bad"
            )
            await world.do("beacon", BEACON, temperature(-149))
            await until("cellar/temperature", (-1.49, 0), "the beacon goes on")
            await world.do("hush", BEACON)
            await subscriber.until(
                lambda messages: (latest(messages, "cellar/temperature") or (0, 0))[1] != 0, "the beacon goes stale"
            )
            await world.do("sensor.come_back")
            await until("oven/temperature", (185.25, 0), "the oven comes back")

            await world.do("beacon", BEACON, temperature(0))
            await world.do("reset")
            await until("cellar/temperature", (0.0, 0), "the adapter was pulled out and plugged in again")
            await until("oven/temperature", (185.25, 0), "and the oven is connected to again")
            status = await asyncio.to_thread(gateway.status)
            link = status["southbound"]["links"]["radio"]
            assert (link["state"], link["far_end"]) == ("up", "hci0")
            assert link["counters"]["adverts"] > 0
            assert "Traceback" not in gateway.log, gateway.log
