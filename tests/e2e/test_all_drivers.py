"""All drivers in one gateway with one broker, and a dead device beside a living one of each."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hil.radio.kind import PORT_VARIABLE
from hil.radio.process import WorldProcess
from hil.radio.world import advert
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.opcua_server import OpcUaServer
from tests.support.pty_port import PtyPort
from tests.support.raw_modbus import RawSlave, mute
from tests.support.subscriber import Subscriber

pytestmark = [pytest.mark.e2e]

ROOT = Path(__file__).parents[2]
BEACON, AWAY = "C0:00:00:00:00:03", "C0:00:00:00:00:04"
LIVING = ("meter", "plc", "scale", "cellar")
DEAD = ("dead-meter", "dead-plc", "dead-scale", "dead-cellar")

HEAD = """
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
name = "radio"
driver = "virtual-ble"
"""
LINK = """
[[link]]
name = "{name}"
driver = "{driver}"
{link}
"""
DEVICE = """
[[device]]
name = "{name}"
link = "{on}"
{device}
[[device.group]]
name = "main"
{group}
[[device.group.tag]]
name = "value"
{tag}
"""


def modbus(name: str, port: int) -> str:
    link = f'host = "127.0.0.1"\nport = {port}\ntimeout_ms = 300'
    tag = 'address = "hr:7"\ntype = "uint16"'
    return LINK.format(name=name, driver="modbus", link=link) + DEVICE.format(
        name=name, on=name, device="unit = 1", group="interval_ms = 100", tag=tag
    )


def opcua(name: str, url: str) -> str:
    link = f'url = "{url}"\nsecurity_policy = "None"'
    tag = 'node = "nsu=http://acme.example/line;s=Item0"\ntype = "float64"'
    return LINK.format(name=name, driver="opcua", link=link) + DEVICE.format(
        name=name, on=name, device="", group="interval_ms = 100", tag=tag
    )


def serial(name: str, port: PtyPort) -> str:
    tag = 'field = "weight"\ntype = "float64"\nunit = "kg"'
    return LINK.format(name=name, driver="serial", link=f'device = "{port.device}"') + DEVICE.format(
        name=name,
        on=name,
        device='preset = "sics"\ntimeout_ms = 300',
        group='mode = "poll"\ninterval_ms = 100',
        tag=tag,
    )


def ble(name: str, address: str) -> str:
    device = f'address = "{address}"\nformat = "bthome"'
    tag = 'field = "temperature"\ntype = "float64"'
    return DEVICE.format(name=name, on="radio", device=device, group="stale_ms = 1500", tag=tag)


@pytest.fixture
def plugged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package that publishes the virtual kind of BLE, as far as the gateway's process can tell."""
    package = tmp_path / "site" / "virtual_ble-1.dist-info"
    package.mkdir(parents=True)
    (package / "METADATA").write_text("Metadata-Version: 2.1\nName: virtual-ble\nVersion: 1\n")
    (package / "entry_points.txt").write_text("[tidegate.drivers]\nvirtual-ble = hil.radio.kind:KIND\n")
    monkeypatch.setenv("PYTHONPATH", f"{package.parent}{os.pathsep}{ROOT}")


def states(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Of every device: its state, and what is wrong."""
    return {
        name: (device["state"], device["detail"] or link["detail"])
        for link in status["southbound"]["links"].values()
        for name, device in link["devices"].items()
    }


def counts(status: dict[str, Any], device: str, key: str) -> int:
    return sum(
        group[key]
        for link in status["southbound"]["links"].values()
        for group in link["devices"].get(device, {"groups": {}})["groups"].values()
    )


async def test_one_dead_device_of_each_driver_holds_up_nobody(
    tmp_path: Path, plugged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RawSlave() as alive, RawSlave() as dead:
        dead.always(mute)
        with (
            WorldProcess() as world,
            PtyPort(tmp_path, "scale") as port,
            PtyPort(tmp_path, "dead-scale") as dead_port,
            OpcUaServer("--items", "1") as server,
            OpcUaServer("--items", "1") as dead_server,
            Mosquitto(tmp_path) as broker,
            Subscriber(broker.port, "uns/#") as subscriber,
        ):
            await world.renew()
            monkeypatch.setenv(PORT_VARIABLE, str(world.port))
            port.answer = lambda data: [port.send(b"S S     100.00 kg\r\n") for _ in range(data.count(b"SI\r\n"))]
            server.ask("change", interval_s=0.1)
            text = HEAD.format(data=tmp_path / "data", broker=broker.port)
            text += modbus("meter", alive.port) + modbus("dead-meter", dead.port)
            text += opcua("plc", server.url) + opcua("dead-plc", dead_server.url)
            text += serial("scale", port) + serial("dead-scale", dead_port)
            text += ble("cellar", BEACON) + ble("dead-cellar", AWAY)
            with GatewayProcess(tmp_path, text) as gateway:

                async def advertise() -> None:
                    for hundredths in range(2000, 32000):
                        await world.do(
                            "beacon",
                            BEACON,
                            advert(service_data={0xFCD2: b"\x40\x02" + hundredths.to_bytes(2, "little")}),
                            -60,
                        )
                        await asyncio.sleep(0.2)

                advertising = asyncio.create_task(advertise())
                try:
                    await gateway.until(
                        lambda body: all(states(body)[name][0] == "normal" for name in (*LIVING, "dead-plc")),
                        "everybody who lives is normal",
                    )
                    os.kill(dead_server.pid, signal.SIGSTOP)
                    before = await gateway.until(
                        lambda body: all(states(body)[name][0] == "failure" for name in DEAD), "the dead are told", 40
                    )
                    for name in DEAD:
                        assert states(before)[name][1], f"{name}: why is it a failure?"
                    since = len(subscriber.messages)
                    await asyncio.sleep(8)
                    after = await asyncio.to_thread(gateway.status)
                finally:
                    advertising.cancel()
                    os.kill(dead_server.pid, signal.SIGCONT)
                for name in LIVING:
                    assert states(after)[name] == ("normal", ""), name
                    assert counts(after, name, "bad") == counts(before, name, "bad"), name
                    fresh = [m.json for m in subscriber.messages[since:] if m.topic.endswith(f"/{name}/value")]
                    assert len(fresh) >= 20, f"{name}: {len(fresh)} values within 8 s"
                    assert {body["quality"] for body in fresh} == {0}, name
                for name in ("meter", "scale"):
                    # A busy machine may cost a slot; a dead device that held it up would cost many.
                    assert counts(after, name, "missed") - counts(before, name, "missed") <= 1, name
                for name in DEAD:
                    last = [m.json for m in subscriber.messages if m.topic.endswith(f"/{name}/value")][-1]
                    assert last["quality"] >= 0x80000000, name
                assert "Traceback" not in gateway.log, gateway.log
