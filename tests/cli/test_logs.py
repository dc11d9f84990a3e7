"""``tidegate logs`` against a running gateway."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import free_port


def command(gateway: GatewayProcess, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "gateway", "logs", "--config", str(gateway.config), *arguments]


def shown(gateway: GatewayProcess, *arguments: str) -> list[str]:
    done = subprocess.run(command(gateway, *arguments), capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.splitlines()


@pytest.mark.integration
async def test_what_the_log_says_is_shown_filtered_and_followed(tmp_path: Path) -> None:
    with Field() as field:
        (slave,) = field.slaves
        text = configuration(tmp_path / "data", [slave.port], free_port(), timeout_ms=100)
        with GatewayProcess(tmp_path, text) as gateway:
            await gateway.until(lambda body: body["southbound"]["totals"]["good"], "values are read")
            await gateway.until(lambda body: body["sinks"]["plant"]["last_error"], "there is no broker")
            lines = await asyncio.to_thread(shown, gateway)
            assert any("started, boot 1" in line for line in lines)
            assert [line for line in lines if "  warning  northbound.sink: sink plant: " in line]
            assert await asyncio.to_thread(shown, gateway, "--level", "error") == []
            assert await asyncio.to_thread(shown, gateway, "--since", "1d", "-n", "1") == lines[-1:]
            (entry,) = map(json.loads, await asyncio.to_thread(shown, gateway, "--json", "--match", "STARTED, boot"))
            assert entry["logger"] == "gateway.runtime"
            follower = subprocess.Popen(
                command(gateway, "--follow", "--json"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for slave.silent in (True, False):  # what is said of the second can only come by following
                await asyncio.to_thread(_until_said, follower, "dev0")
        _, err = await asyncio.to_thread(follower.communicate, None, 20)
    assert follower.returncode == 4
    assert "the gateway stopped" in err


def _until_said(follower: subprocess.Popen[str], text: str) -> None:
    assert follower.stdout is not None
    for line in follower.stdout:
        if text in json.loads(line)["message"]:
            return
    raise AssertionError(f"nothing of {text}")
