"""Backup and restore of a running gateway: through the transaction of its configuration, while it collects."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.control.client import ControlClient, Refused
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import free_port

pytestmark = pytest.mark.integration
PASSPHRASE = "correct horse battery"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[GatewayProcess]:
    with Field(2) as field:
        text = configuration(tmp_path / "data", [slave.port for slave in field.slaves], free_port())
        with GatewayProcess(tmp_path, text) as running:
            asyncio.run(running.until(lambda body: body["southbound"]["totals"]["good"], "values are read"))
            yield running


def made(client: ControlClient, passphrase: str | None = PASSPHRASE) -> bytes:
    body = client.post("/v1/backup", {"passphrase": passphrase}, timeout_s=30)
    assert isinstance(body, bytes)
    return body


def restored(client: ControlClient, body: bytes, **wish: Any) -> dict[str, Any]:
    upload = client.call("PUT", "/v1/restore/upload", body=body)
    assert upload["sealed"] == ("passphrase" in wish)
    report = client.post("/v1/restore", {"upload": upload["id"], **wish}, timeout_s=30)
    assert isinstance(report, dict)
    return report


def outcomes(report: dict[str, Any]) -> dict[str, str]:
    return {f"{item['part']}/{item['name']}": item["outcome"] for item in report["items"]}


async def test_a_running_gateway_becomes_what_it_was(gateway: GatewayProcess, tmp_path: Path) -> None:
    client, text = gateway.client, gateway.config.read_text()
    body = await asyncio.to_thread(made, client)
    client.call("PUT", "/v1/config/draft", body={"files": {"tidegate.toml": _without_second(text)}})
    client.post("/v1/config/apply", {"confirm_within_s": 0.0}, timeout_s=30)
    assert "dev1" not in json.dumps(gateway.status()["southbound"]["links"])
    dry = await asyncio.to_thread(lambda: restored(client, body, passphrase=PASSPHRASE))
    assert not dry["applied"]
    assert outcomes(dry)["configuration/tidegate.toml"] == "restored"
    before = gateway.status()["southbound"]["links"]["link0"]["devices"]["dev0"]["groups"]["main"]["polls"]
    report = await asyncio.to_thread(lambda: restored(client, body, passphrase=PASSPHRASE, dry_run=False))
    assert report["applied"], report
    assert gateway.config.read_text() == text
    status = await gateway.until(lambda status: "link1" in status["southbound"]["links"], "the device is back")
    assert status["southbound"]["links"]["link0"]["devices"]["dev0"]["groups"]["main"]["polls"] >= before
    latest = client.get("/v1/config/history")[0]
    assert latest["reason"] == "restored from the backup of gw1"
    rows = [
        orjson.loads(line)
        for path in sorted((tmp_path / "data/audit").glob("rows-*.jsonl"))
        for line in path.read_bytes().splitlines()
    ]
    told = [(row["action"], row["outcome"]) for row in rows if row["action"].startswith("backup.")]
    assert told == [("backup.make", "asked"), ("backup.restore", "asked"), ("backup.restore", "done")]
    with pytest.raises(Refused, match="isn't here any more"):
        client.post("/v1/restore", {"upload": "0" * 16})


def _without_second(text: str) -> str:
    """Without the second link and device."""
    return text[: text.index('[[link]]\nname = "link1"')]


async def test_a_draft_of_somebody_else_stands_in_the_way_and_stays(gateway: GatewayProcess) -> None:
    client, text = gateway.client, gateway.config.read_text()
    body = await asyncio.to_thread(made, client)
    gateway_files = {"files": {"tidegate.toml": f"# edited\n{text}"}}
    client.call("PUT", "/v1/config/draft", body=gateway_files)
    client.post("/v1/config/apply", {"confirm_within_s": 0.0}, timeout_s=30)
    client.call("PUT", "/v1/config/draft", body={"files": {"tidegate.toml": f"# half done\n{text}"}})
    report = await asyncio.to_thread(lambda: restored(client, body, passphrase=PASSPHRASE, dry_run=False))
    assert not report["applied"]
    (refused,) = [item for item in report["items"] if item["outcome"] == "refused"]
    assert "draft" in refused["detail"]
    assert gateway.config.read_text() == f"# edited\n{text}"
    assert not list(gateway.config.parent.glob(".*.restore*"))


async def test_accounts_come_back_and_hold_at_once(gateway: GatewayProcess, tmp_path: Path) -> None:
    client = gateway.client
    verifier = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$W1ySyDRtJvjGUYfMiPWZJdyHLH8sXYdJ2sW0v6JzJ5c"
    client.post("/v1/accounts/users", {"name": "ada", "role": "admin", "verifier": verifier})
    body = await asyncio.to_thread(made, client)
    client.post("/v1/accounts/users", {"name": "bob", "role": "viewer", "verifier": verifier})
    assert b"ada" not in body
    report = await asyncio.to_thread(lambda: restored(client, body, passphrase=PASSPHRASE, dry_run=False))
    assert outcomes(report)["accounts/accounts.json"] == "restored"
    assert [user["name"] for user in client.get("/v1/accounts/users")["users"]] == ["ada"]
    plain = await asyncio.to_thread(made, client, None)
    assert b"argon2" not in plain
    report = await asyncio.to_thread(lambda: restored(client, plain))
    assert any("accounts" in lacking for lacking in report["left_out"])


async def test_the_command_line_goes_through_the_running_gateway(gateway: GatewayProcess, tmp_path: Path) -> None:
    def tidegate(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "gateway", *map(str, arguments), "--config", str(gateway.config)],
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
            env={**os.environ, "TIDEGATE_BACKUP_PASSPHRASE": PASSPHRASE},
        )  # fmt: skip

    file = tmp_path / "b"
    made = await asyncio.to_thread(tidegate, "backup", file, "--json")
    assert made.returncode == 0, made.stderr
    names = {entry["name"] for entry in json.loads(made.stdout)["manifest"]["entries"]}
    assert {"configuration/tidegate.toml", "audit/rows-000000000001.jsonl"} <= names
    done = await asyncio.to_thread(tidegate, "restore", file, "--yes", "--json")
    assert done.returncode == 0, done.stderr
    assert outcomes(json.loads(done.stdout))["configuration/tidegate.toml"] == "unchanged"
    assert "its files" not in made.stderr + done.stderr
