"""The commands as a user types them, against a real device, a real broker and a real gateway."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.subscriber import Subscriber

pytestmark = [pytest.mark.e2e]


@pytest.fixture
def field() -> Iterator[Field]:
    with Field(2) as field:
        yield field


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as broker:
        yield broker


def text_for(tmp_path: Path, field: Field, broker_port: int, **options: str) -> str:
    return configuration(tmp_path / "data", [slave.port for slave in field.slaves], broker_port, **options)  # type: ignore[arg-type]


def tidegate(*arguments: str | Path, timeout_s: float = 20.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


async def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(tidegate, *arguments)


async def test_a_day_at_the_command_line(tmp_path: Path, field: Field, broker: Mosquitto) -> None:
    gateway = GatewayProcess(tmp_path, text_for(tmp_path, field, broker.port))
    config = ("--config", gateway.config)

    checked = await run("check", *config)
    assert checked.returncode == 0, checked.stderr
    probed = await run("probe", "dev1", *config)
    assert probed.returncode == 0, probed.stderr
    assert "count" in probed.stdout
    assert "hr" in (await run("probe", "dev1", "--plan", *config)).stdout
    idle = await run("status", *config)
    assert idle.returncode == 4
    assert "tidegate run" in idle.stderr

    with Subscriber(broker.port) as subscriber, gateway:
        await subscriber.until(lambda m: any("/dev1/" in x.topic for x in m), "values")
        await gateway.until(lambda status: status["sinks"]["plant"]["connected"], "an answer")
        status = await run("status", "--json", *config)
        assert status.returncode == 0, status.stderr
        assert json.loads(status.stdout)["sinks"]["plant"]["connected"]
        assert "dev1" in (await run("status", *config)).stdout
        tapped = await run("tap", "dev1/*", "-n", "5", "--json", *config)
        assert tapped.returncode == 0, tapped.stderr
        values = [json.loads(line) for line in tapped.stdout.splitlines()]
        assert [value["tag"] for value in values] == ["dev1/count", "dev1/r4", "dev1/r5", "dev1/r6", "dev1/r7"]
        assert {value["quality_name"] for value in values} == {"Good"}
        shown = await run("top", "dev1/*", "-n", "2", "--interval-ms", "250", *config)
        assert shown.returncode == 0, shown.stderr
        assert shown.stdout.count("5 good") == 2
        assert "dev1/r7" in shown.stdout
        followed = await run("top", "--device", "dev1", "-n", "2", "--interval-ms", "250", "--json", *config)
        snapshot, tick = map(json.loads, followed.stdout.splitlines())
        assert (snapshot["event"], tick["event"]) == ("snapshot", "tick")
        assert snapshot["tags"]["path"] == ["count", "r4", "r5", "r6", "r7"]
        assert set(tick["i"]) == {0, 1, 2, 3, 4}
        stats = await run("journal", "stats", *config)
        assert stats.returncode == 0, stats.stderr
        second = await run("run", *config)
        assert second.returncode == 5
        assert "another gateway" in second.stderr
        assert await asyncio.to_thread(gateway.stop) == 0
        await subscriber.until(
            lambda m: any(x.topic.endswith("gw1/_state") and x.json["state"] == "offline" for x in m), "the goodbye"
        )

    verified = await run("journal", "verify", *config)
    assert verified.returncode == 0, verified.stderr
    assert not [m for m in subscriber.messages if m.topic.startswith("uns/") and m.topic != m.topic.strip("/")]


async def test_probe_of_an_unreachable_device_says_so(tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "tidegate.toml"
    config.write_text(configuration(tmp_path / "data", [port], 1883))
    probed = await run("probe", "dev0", "--config", config)
    assert probed.returncode == 4
    assert f"127.0.0.1:{port}" in probed.stderr
    assert "Traceback" not in probed.stderr


async def test_probe_of_an_unknown_device_names_the_known_ones(tmp_path: Path) -> None:
    config = tmp_path / "tidegate.toml"
    config.write_text(configuration(tmp_path / "data", [502, 503], 1883))
    probed = await run("probe", "pump9", "--config", config)
    assert probed.returncode == 2
    assert "there are: dev0, dev1" in probed.stderr


@pytest.mark.parametrize("command", ["run", "check", "probe dev0", "status", "journal stats"])
async def test_an_invalid_configuration_ends_every_command_with_3_and_starts_nothing(
    tmp_path: Path, command: str
) -> None:
    config = tmp_path / "tidegate.toml"
    config.write_text(configuration(tmp_path / "data", [502], 1883).replace("interval_ms", "intervall_ms"))
    done = await run(*command.split(), "--config", config)
    assert done.returncode == 3
    assert "tidegate.toml:" in done.stderr
    assert "interval_ms" in done.stderr
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("profile", ["full", "umh", "value"])
@pytest.mark.parametrize("granularity", ["tag", "asset"])
async def test_every_form_of_publishing_arrives(
    tmp_path: Path, field: Field, broker: Mosquitto, granularity: str, profile: str, protocol: str
) -> None:
    sink = f'granularity = "{granularity}"\nprofile = "{profile}"\nprotocol = "{protocol}"'
    topic = "uns/v1/acme/plant1/dev0/" + ("count" if granularity == "tag" else "_values/main")
    values: dict[tuple[str, str], Callable[[Any], object]] = {
        ("tag", "full"): lambda body: body["value"],
        ("tag", "umh"): lambda body: body["value"],
        ("tag", "value"): lambda body: body,
        ("asset", "full"): lambda body: body["values"]["count"],
        ("asset", "umh"): lambda body: body["count"],
        ("asset", "value"): lambda body: body["count"],
    }
    value = values[granularity, profile]
    with (
        Subscriber(broker.port, topic) as subscriber,
        GatewayProcess(tmp_path, text_for(tmp_path, field, broker.port, sink=sink)),
    ):
        # On a busy machine the device may be late once, which is reported, too; it counts how often it was asked.
        messages = await subscriber.until(lambda m: any(isinstance(value(x.json), int) for x in m), "the first value")
    first = next(x.json for x in messages if isinstance(value(x.json), int))
    assert value(first) in range(1, 10)
    assert ("seq" in first if isinstance(first, dict) else False) == (profile == "full")
