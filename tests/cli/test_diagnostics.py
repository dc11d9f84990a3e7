"""``tidegate test``, ``mqtt test``, ``trace``, ``why`` and ``doctor`` against a gateway that runs, and without one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.integration


@dataclass(frozen=True)
class Place:
    field: Field
    broker: Mosquitto
    gateway: GatewayProcess

    async def tidegate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "gateway", *arguments, "--config", str(self.gateway.config)],
            capture_output=True,
            text=True,
            timeout=60,
        )


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    with Field(2) as field, Mosquitto(tmp_path) as broker:
        field.slaves[1].silent = True
        text = configuration(tmp_path / "data", [slave.port for slave in field.slaves], broker.port)
        gateway = GatewayProcess(tmp_path, text)
        yield Place(field, broker, gateway)


async def under_way(gateway: GatewayProcess) -> None:
    await gateway.until(
        lambda status: (
            status["sinks"]["plant"]["values"]
            and status["southbound"]["links"]["link1"]["devices"]["dev1"]["state"] == "failure"
        ),
        "one delivers, one is silent",
    )


async def test_everything_against_a_gateway_that_runs(place: Place) -> None:
    with place.gateway as gateway:
        await under_way(gateway)
        well = await place.tidegate("test", "dev0")
        assert well.returncode == 0, well.stderr
        assert "✔ Link" in well.stdout
        assert "the running link link0 is connected" in well.stdout
        assert "all 5 tags were read" in well.stdout

        silent = await place.tidegate("test", "dev1", "--json")
        assert silent.returncode == 4
        rungs = [json.loads(line) for line in silent.stdout.splitlines()]
        assert any(rung["state"] == "failed" and rung["mend"] for rung in rungs)

        arrives = await place.tidegate("why", "dev0/count")
        assert arrives.returncode == 0, arrives.stdout
        assert "dev0/count: it is: " in arrives.stdout
        stops = await place.tidegate("why", "dev1/count", "--json")
        assert stops.returncode == 1
        assert json.loads(stops.stdout)["stage"] in ("link", "device")
        unknown = await place.tidegate("why", "dev0/cont")
        assert unknown.returncode == 1
        assert "did you mean 'dev0/count'?" in unknown.stderr

        repairs = await place.tidegate("doctor", "--json")
        assert repairs.returncode == 1
        assert [repair["id"] for repair in json.loads(repairs.stdout)] in (["device:dev1"], ["link:link1"])
        shown = await place.tidegate("doctor")
        assert "nothing comes from dev1" in shown.stdout

        file = gateway.directory / "wire.pcap"
        traced = await place.tidegate("trace", "dev0", "--for", "1s", "--pcap", str(file), "--json")
        assert traced.returncode == 0, traced.stderr
        frames = [json.loads(line) for line in traced.stdout.splitlines()]
        assert any("answer to read holding registers" in frame["summary"] for frame in frames)
        assert file.read_bytes()[:4] == b"\x4d\x3c\xb2\xa1"
        assert "frames" in traced.stderr
        listed = await asyncio.to_thread(gateway.client.get, "/v1/traces")
        assert listed == []

        forecast = (await asyncio.to_thread(gateway.client.get, "/v1/forecasts"))["plant"]
        assert forecast["sentence"] == "Delivering: nothing is held back"


async def test_without_a_gateway_a_device_is_tested_on_its_own(place: Place) -> None:
    result = await place.tidegate("test", "dev0")
    assert result.returncode == 0, result.stderr
    assert "no gateway runs" in result.stderr
    assert "connected to 127.0.0.1" in result.stdout
    for command in (("why", "dev0/count"), ("doctor",), ("trace", "dev0")):
        missing = await place.tidegate(*command)
        assert missing.returncode == 4
        assert "tidegate run" in missing.stderr


async def test_a_broker_is_tested_with_and_without_a_gateway(place: Place) -> None:
    result = await place.tidegate("mqtt", "test")
    assert result.returncode == 0, result.stderr
    assert "✔ Message comes back" in result.stdout
    place.broker.stop()
    gone = await place.tidegate("mqtt", "test", "plant")
    assert gone.returncode == 4
    assert "nothing listens" in gone.stdout
    wrong = await place.tidegate("mqtt", "test", "plnt")
    assert wrong.returncode == 2
    assert "did you mean 'plant'?" in wrong.stderr
