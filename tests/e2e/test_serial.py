"""A scale on a serial line, the gateway as a process, and what a broker's subscriber sees of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.pty_port import PtyPort
from tests.support.subscriber import Subscriber

pytestmark = [pytest.mark.e2e]

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
port = {broker}

[[link]]
name = "scale"
driver = "serial"
device = "{device}"

[[device]]
name = "scale1"
link = "scale"
preset = "sics"
timeout_ms = 300

  [[device.group]]
  name = "asked"
  mode = "poll"
  interval_ms = 100
    [[device.group.tag]]
    name = "asked/weight"
    field = "weight"
    type = "float64"
    unit = "kg"

  [[device.group]]
  name = "said"
  stale_ms = 2000
    [[device.group.tag]]
    name = "said/weight"
    field = "weight"
    type = "float64"
    unit = "kg"
    [[device.group.tag]]
    name = "said/stable"
    field = "stable"
    type = "bool"
"""


class Scale:
    """Answers SI, and says by itself whatever it is told to."""

    def __init__(self, port: PtyPort) -> None:
        self.port, self.reading = port, b"S S     100.00 kg"
        port.answer = self.hear

    def hear(self, data: bytes) -> None:
        for _ in range(data.count(b"SI\r\n")):
            self.port.send(self.reading + b"\r\n")

    def say(self, reading: bytes) -> None:
        self.reading = reading
        self.port.send(reading + b"\r\n")


async def test_a_scale_is_weighed_unplugged_and_plugged_in_again(tmp_path: Path) -> None:
    with PtyPort(tmp_path) as port, Mosquitto(tmp_path) as broker:
        scale = Scale(port)
        text = CONFIGURATION.format(data=tmp_path / "data", broker=broker.port, device=port.device)
        with Subscriber(broker.port, "uns/#") as subscriber, GatewayProcess(tmp_path, text) as gateway:

            def latest(tag: str) -> tuple[object, int] | None:
                bodies = [m.json for m in subscriber.messages if m.topic.endswith(f"/scale1/{tag}")]
                return (bodies[-1]["value"], bodies[-1]["quality"]) if bodies else None

            async def until(tag: str, value: object, quality: object) -> None:
                await subscriber.until(lambda _: latest(tag) == (value, quality), f"{tag} = {value}, {quality}", 20)

            await until("asked/weight", 100.0, 0)
            await until("said/weight", 100.0, 0)
            scale.say(b"S D      55.50 kg")
            await until("said/weight", 55.5, 0x40930000)
            await until("said/stable", False, 0)
            await until("asked/weight", 55.5, 0x40930000)
            scale.say(b"S S     120.00 lb")  # somebody switched the unit
            await until("asked/weight", None, 0x80890000)
            scale.say(b"S S      54.43 kg")
            await until("asked/weight", 54.43, 0)

            port.unplug()
            await until("asked/weight", None, 0x80310000)
            await until("said/weight", None, 0x80310000)
            await gateway.until(lambda body: body["southbound"]["links"]["scale"]["state"] == "down", "the link down")
            assert f"{port.device} is gone: check the cable" in gateway.log
            port.plug()
            scale.reading = b"S S      10.00 kg"
            await until("asked/weight", 10.0, 0)
            await until("said/weight", 10.0, 0)
            assert gateway.log.count("Traceback") == 0
