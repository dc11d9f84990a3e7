"""Changes of a running gateway's configuration, seen from the broker: what cuts it off comes back, nothing is lost."""

from __future__ import annotations

import asyncio
import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.config.document import in_place
from tests.faults.test_delivery import assert_whole, reads, stopped
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
    with Mosquitto(tmp_path / "broker", extra=["max_inflight_messages 100"]) as broker:
        yield broker


def configured(tmp_path: Path, field: Field, port: int) -> str:
    return configuration(tmp_path / "data", [slave.port for slave in field.slaves], port, interval_ms=50)


def put(gateway: GatewayProcess, *path: str, value: Any) -> None:
    gateway.client.call("PATCH", "/v1/config/draft", body={"edits": [{"op": "set", "path": path, "value": value}]})


async def call(gateway: GatewayProcess, target: str, body: Any = None) -> Any:
    return await asyncio.to_thread(gateway.client.post, target, body, timeout_s=30)


def newest(gateway: GatewayProcess) -> dict[str, Any]:
    body = gateway.client.get("/v1/config/history")[0]
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize("by", ["hand", "health"])
async def test_a_change_that_cuts_off_the_broker_comes_back_and_loses_nothing(
    tmp_path: Path, field: Field, broker: Mosquitto, by: str
) -> None:
    text = configured(tmp_path, field, broker.port)
    with Subscriber(broker.port) as subscriber, GatewayProcess(tmp_path, text) as gateway:
        await subscriber.until(lambda m: len(reads(m, 0)) > 5, "values before the change")
        put(gateway, "sink", "plant", "port", value=free_port())
        result = await call(gateway, "/v1/config/apply", {"confirm_within_s": 3, "confirm_by": by, "reason": "oops"})
        assert result["effect"]["sinks"]["restarted"] == ["plant"]
        await gateway.until(lambda s: not s["sinks"]["plant"]["connected"], "the broker to be gone")
        assert gateway.client.get("/v1/config")["pending"]["not_well_yet"] == ["sink plant"]
        await gateway.until(lambda s: s["sinks"]["plant"]["connected"], "the old configuration to come back")
        await gateway.until(lambda _: newest(gateway)["outcome"] == "rolled back", "the history to say so")
        assert newest(gateway)["why"] == "nobody confirmed it within 3 s; sink plant isn't back"
        assert gateway.config.read_text() == text
        await gateway.until(
            lambda s: not s["ledger"]["plant"]["sources"]["dev0"]["boots"]["1"]["pending"], "the backlog to drain"
        )
        await stopped(gateway)
        await subscriber.until(lambda m: len(reads(m, 0)) >= len(field.slaves[0].answered), "the last values")
    assert_whole(field, subscriber.messages)


async def test_a_good_change_confirms_itself(tmp_path: Path, field: Field, broker: Mosquitto) -> None:
    text = configured(tmp_path, field, broker.port)
    with Subscriber(broker.port) as subscriber, GatewayProcess(tmp_path, text) as gateway:
        await gateway.until(
            lambda s: s["sinks"]["plant"]["connected"] and s["southbound"]["totals"]["good"] > 20, "values"
        )
        put(gateway, "link", "link1", "timeout_ms", value=700)
        result = await call(gateway, "/v1/config/apply", {"confirm_within_s": 60, "confirm_by": "health"})
        assert result["effect"]["links"] == {"added": [], "removed": [], "restarted": ["link1"], "untouched": 1}
        await gateway.until(lambda _: newest(gateway)["outcome"] == "confirmed", "the gateway to confirm it")
        assert gateway.config.read_text() == text.replace("timeout_ms = 500", "timeout_ms = 700", 2).replace(
            "timeout_ms = 700", "timeout_ms = 500", 1
        )
        await stopped(gateway)
        await subscriber.until(lambda m: len(reads(m, 1)) >= len(field.slaves[1].answered), "the last values")
    assert_whole(field, subscriber.messages)


@pytest.mark.fault
async def test_a_gateway_killed_while_it_changes_starts_with_a_whole_configuration(tmp_path: Path) -> None:
    """Killed around the confirmation, at moments that chance picks: old or new, and the history tells which."""
    text = '[gateway]\nid = "gw1"\nenterprise = "acme"\nsite = "s0"\ndata_dir = "data"\n'
    extra = tmp_path / "conf.d" / "x.toml"
    extra.parent.mkdir()
    extra.write_text("# s0\n")
    chance = random.Random(7)
    seen = set()
    gateway = GatewayProcess(tmp_path, text)
    for number in range(1, 9):
        with gateway:
            await gateway.until(lambda _: True, "an answer")
            before = in_place(gateway.config)
            files = {
                "tidegate.toml": text.replace("s0", f"s{number}"),
                "conf.d/x.toml": f"# s{number}\n",
                f"conf.d/new{number}.toml": f"# s{number}\n",
            }
            after = before.replaced({name: body.encode() for name, body in files.items()})
            await asyncio.to_thread(gateway.client.call, "PUT", "/v1/config/draft", None, {"files": files})
            await call(gateway, "/v1/config/apply", {"confirm_within_s": 600})
            if number == 1:
                gateway.kill()  # before anybody confirms
            else:
                confirming = asyncio.create_task(call(gateway, "/v1/config/confirm"))
                await asyncio.sleep(chance.uniform(0, 0.05))
                gateway.kill()
                await asyncio.gather(confirming, return_exceptions=True)
            gateway.start()
            await gateway.until(lambda _: True, "an answer after the kill")
            found = in_place(gateway.config)
            assert found in (before, after), "a mix"
            assert newest(gateway)["outcome"] == ("confirmed" if found == after else "rolled back")
            seen.add(found == after)
            site = gateway.status()["gateway"]["location"][1]
            assert f'site = "{site}"' in gateway.config.read_text()
            if found == before:
                gateway.client.call("DELETE", "/v1/config/draft")
    assert False in seen


async def test_unattended_it_never_fails_to_start(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    gateway = GatewayProcess(tmp_path, None, "--unattended", STATE_DIRECTORY=str(tmp_path / "data"))
    with gateway:
        body = await gateway.until(lambda _: True, "an answer without a configuration")
        assert body["southbound"]["links"] == {}
        assert body["sinks"] == {}
        put(gateway, "gateway", "site", value="plant7")
        await call(gateway, "/v1/config/apply", {"confirm_within_s": 0})
    gateway.config.write_text("oops")
    with gateway:
        body = await gateway.until(lambda _: True, "an answer with a broken configuration")
        assert body["gateway"]["location"][1] == "plant7"
        assert gateway.client.get("/v1/config")["trouble"]["revision"] == 2
        assert "THE CONFIGURATION IS INVALID; revision 2" in gateway.log
    attended = subprocess.run(
        [sys.executable, "-m", "gateway", "run", "--config", str(gateway.config)], capture_output=True, check=False
    )
    assert attended.returncode == 3


def tidegate(gateway: GatewayProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "config", *arguments, "--socket", str(gateway.socket)]
    return subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


async def test_the_command_line(tmp_path: Path, field: Field, broker: Mosquitto) -> None:
    text = configured(tmp_path, field, broker.port)
    other = tmp_path / "other"
    other.mkdir()
    (other / "tidegate.toml").write_text(text.replace("plant1", "plant2"))
    with GatewayProcess(tmp_path, text) as gateway:
        await gateway.until(lambda s: s["sinks"]["plant"]["connected"], "the broker")

        async def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            return await asyncio.to_thread(tidegate, gateway, *arguments)

        shown = await run("show")
        assert "tidegate.toml" in shown.stdout, shown.stderr
        assert (await run("show", "tidegate.toml")).stdout == text
        difference = await run("diff", str(other))
        assert '+site = "plant2"' in difference.stdout
        assert 'gateway.site "plant1" → "plant2"' in difference.stderr
        assert gateway.client.get("/v1/config")["draft"] is None
        good = await run("apply", str(other), "--confirm-by", "health", "--reason", "moved", "--yes", "--json")
        assert good.returncode == 0, good.stderr
        assert json.loads(good.stdout)["revision"]["outcome"] == "confirmed"
        assert "plant2" in gateway.config.read_text()
        (other / "tidegate.toml").write_text(text.replace(str(broker.port), str(free_port())))
        bad = await run(
            "apply", str(other / "tidegate.toml"), "--confirm-by", "health", "--confirm-within", "2", "--yes"
        )
        assert bad.returncode == 5, bad.stderr
        assert "sink plant isn't back" in bad.stderr
        (other / "tidegate.toml").write_text(text.replace('"plant1"', "1"))
        invalid = await run("apply", str(other), "--yes", "--replace-draft")
        assert invalid.returncode == 3, invalid.stderr
        assert "tidegate.toml:5: gateway.site is 1" in invalid.stderr
        busy = await run("apply", str(other), "--yes")
        assert busy.returncode == 5
        assert "is working on a draft" in busy.stderr
        assert (await run("draft", "discard", "--yes")).returncode == 0
        (other / "tidegate.toml").write_text(text)
        assert (await run("apply", str(other), "--yes")).returncode == 0
        assert (await run("confirm")).returncode == 0
        assert (await run("confirm")).returncode == 5
        assert (await run("rollback", "--to", "1", "--yes", "--confirm-within", "0")).returncode == 5, "it runs already"
        assert (await run("rollback", "--yes", "--confirm-within", "0")).returncode == 0
        assert "plant2" in gateway.config.read_text()
        listed = await run("history")
        assert "rolled back" in listed.stdout
        assert "moved" in listed.stdout
        assert '+site = "plant2"' in (await run("history", "2")).stdout
        assert (await run("owner", "ansible")).stdout == "ansible\n"
        owned = await run("apply", str(other), "--yes", "--confirm-within", "0")
        assert owned.returncode == 5
        assert "belongs to ansible" in owned.stderr
        assert '-site = "plant2"' in (await run("draft", "patch")).stdout
        assert (await run("apply", "--yes", "--confirm-within", "0", "--as", "ansible")).returncode == 0
        archive = tmp_path / "archive.tar"
        assert (await run("export", str(archive), "--of", "2")).returncode == 0
        assert (await run("import", str(archive))).returncode == 0
        assert (await run("diff")).stdout.count("plant2") == 1
        await stopped(gateway)
