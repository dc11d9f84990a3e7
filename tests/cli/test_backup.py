"""``tidegate backup`` and ``tidegate restore`` where no gateway runs; with one: tests/control/test_backup.py."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.configuration import configuration
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import free_port

PASSPHRASE = "correct horse battery"

Run = Callable[..., subprocess.CompletedProcess[str]]


def tidegate(*arguments: str | Path, passphrase: str | None = PASSPHRASE) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ} | ({"TIDEGATE_BACKUP_PASSPHRASE": passphrase} if passphrase else {})
    return subprocess.run(
        [sys.executable, "-m", "gateway", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL, env=environment,
    )  # fmt: skip


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway's files."""
    path = tmp_path / "etc" / "tidegate.toml"
    path.parent.mkdir()
    path.write_text(configuration(tmp_path / "data", [1502], 1883))
    state = tmp_path / "data" / "drivers" / "modbus"
    state.mkdir(parents=True)
    state.joinpath("dev0.json").write_text('{"learnt": 1}')
    return path


def test_there_and_back(tmp_path: Path, config: Path) -> None:
    file = tmp_path / "b"
    made = tidegate("backup", file, "--config", config)
    assert made.returncode == 0, made.stderr
    assert made.stdout == f"{file}\n"
    assert "made from its files" in made.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    text = config.read_text()
    config.write_text(f"# changed\n{text}")
    dry = tidegate("restore", file, "--config", config, "--dry-run", "--json")
    assert dry.returncode == 0, dry.stderr
    report = json.loads(dry.stdout)
    assert {item["name"]: item["outcome"] for item in report["items"]} == {
        "tidegate.toml": "restored",
        "modbus/dev0.json": "unchanged",
    }
    assert not report["applied"]
    assert config.read_text() != text
    asked = tidegate("restore", file, "--config", config)
    assert asked.returncode == 2  # nobody can be asked
    done = tidegate("restore", file, "--config", config, "--yes")
    assert done.returncode == 0, done.stderr
    assert config.read_text() == text
    assert not list(config.parent.glob(".*"))


def test_onto_a_machine_that_has_nothing(tmp_path: Path, config: Path) -> None:
    file = tmp_path / "b"
    assert tidegate("backup", file, "--config", config).returncode == 0
    text = config.read_text()
    for path in (tmp_path / "etc", tmp_path / "data"):
        path.rename(path.with_suffix(".old"))
    done = tidegate("restore", file, "--config", config, "--yes")
    assert done.returncode == 0, done.stderr
    assert config.read_text() == text
    assert (tmp_path / "data/drivers/modbus/dev0.json").read_text() == '{"learnt": 1}'
    assert tidegate("check", config).returncode == 0


def test_what_cant_be_opened_or_used(tmp_path: Path, config: Path) -> None:
    file = tmp_path / "b"
    assert tidegate("backup", file, "--config", config).returncode == 0
    wrong = tidegate("restore", file, "--config", config, "--yes", passphrase="wrong horse battery")
    assert (wrong.returncode, "passphrase is wrong" in wrong.stderr) == (1, True)
    assert tidegate("restore", file, "--config", config, "--yes", passphrase=None).returncode == 2
    assert tidegate("restore", tmp_path / "nothing", "--config", config).returncode == 2
    assert tidegate("backup", file, "--config", config, passphrase="short").returncode == 2
    assert tidegate("backup", tmp_path / "nowhere/b", "--config", config).returncode == 1
    file.write_bytes(file.read_bytes()[:-1])
    assert tidegate("restore", file, "--config", config, "--yes").returncode == 1


def test_plain_needs_no_passphrase_and_says_what_it_lacks(tmp_path: Path, config: Path) -> None:
    file = tmp_path / "b"
    made = tidegate("backup", file, "--config", config, "--plain", passphrase=None)
    assert made.returncode == 0
    assert "not in it: drivers/modbus/dev0.json (it is secret" in made.stderr
    done = tidegate("restore", file, "--config", config, "--yes", "--json", passphrase=None)
    assert done.returncode == 0
    assert json.loads(done.stdout)["left_out"]


def test_a_configuration_that_is_invalid_here_is_refused_whole(tmp_path: Path, config: Path) -> None:
    file = tmp_path / "b"
    text = config.read_text()
    config.write_text(text.replace("uint64", "uint63"))
    assert tidegate("backup", file, "--config", config).returncode == 3
    config.write_text(text)
    assert tidegate("backup", file, "--config", config).returncode == 0
    before = config.read_bytes()
    done = tidegate("restore", file, "--config", config, "--yes", "--part", "accounts", "--part", "audit")
    assert done.returncode == 0
    assert config.read_bytes() == before


@pytest.mark.integration
async def test_a_restore_that_was_cut_off_is_settled_at_the_start(tmp_path: Path) -> None:
    from gateway.control.restoring import standing
    from gateway.ops.backup.replacing import Plan, Replacement
    from gateway.ops.backup.restore import digest, plan_of

    gateway = GatewayProcess(tmp_path, configuration(tmp_path / "data", [free_port()], free_port()))
    target = tmp_path / "data" / "drivers" / "modbus" / "x.json"
    target.parent.mkdir(parents=True)
    target.write_text("old")
    for wanted, expected in ((digest(standing(gateway.config)), "new"), ("0" * 64, "old")):
        target.write_text("old")
        Plan.make(plan_of(gateway.config), [Replacement(target, b"new")], {"configuration": wanted}).put()
        with gateway:
            await gateway.until(lambda body: True, "it answers")
        assert target.read_text() == expected
        assert not plan_of(gateway.config).exists()
    assert "was brought to its end" in gateway.log
    assert "was taken back" in gateway.log


@pytest.mark.integration
async def test_while_a_gateway_uses_the_files_they_are_left_alone(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, configuration(tmp_path / "data", [free_port()], free_port())) as gateway:
        await gateway.until(lambda body: True, "it answers")
        file = tmp_path / "b"
        made = await asyncio.to_thread(tidegate, "backup", file, "--config", gateway.config)
        assert made.returncode == 0, made.stderr
        elsewhere = ("--socket", tmp_path / "no.sock", "--config", gateway.config)
        done = await asyncio.to_thread(tidegate, "restore", file, *elsewhere, "--yes")
        assert done.returncode == 5
        assert "another gateway (process" in done.stderr
