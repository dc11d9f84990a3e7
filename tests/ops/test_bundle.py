"""The diagnostic bundle: exactly what is in it, and that no secret is, wherever one could have come from."""

from __future__ import annotations

import asyncio
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from gateway.ops.bundle import packed, sections
from gateway.ops.logs import LogEntry
from gateway.secrets import CROSSED_OUT, redacted_json
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Authority, free_port

PASSWORD = "hunter2-of-the-plant"


def sound(tmp_path: Path, port: int) -> str:
    """A configuration with a password and a key."""
    pair = Authority(tmp_path / "tls").issue("gw")
    secret = tmp_path / "secret"
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    sink = f'username = "u"\npassword = {{file = "{secret}"}}\ntls = {{ca = "{tmp_path}/tls/ca.crt", ' + (
        f'certificate = "{pair.certificate}", key = "{pair.key}"}}'
    )
    # Nobody should write this, so somebody has.
    return configuration(tmp_path / "data", [port], free_port(), sink=sink) + '# old password = "s3cret-in-a-remark"\n'


def read(body: bytes) -> dict[str, str]:
    archive = zipfile.ZipFile(io.BytesIO(body))
    return {name: archive.read(name).decode() for name in archive.namelist()}


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", "diag", "bundle", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def assert_no_secret(files: dict[str, str]) -> None:
    everything = "".join(files.values())
    for secret in (PASSWORD, "s3cret-in-a-remark", "PRIVATE KEY"):
        assert secret not in everything


@pytest.mark.integration
async def test_of_a_running_gateway(tmp_path: Path) -> None:
    with Field() as field, GatewayProcess(tmp_path, sound(tmp_path, field.slaves[0].port)) as gateway:
        await gateway.until(lambda body: body["southbound"]["totals"]["good"], "values are read")
        done = await asyncio.to_thread(run, tmp_path / "b.zip", "--config", gateway.config, "--json")
        assert done.returncode == 0, done.stderr
        files = read((tmp_path / "b.zip").read_bytes())
    assert json.loads(done.stdout)["contents"] == list(files)
    assert list(files) == [
        "CONTENTS.txt", "platform.json", "packages.txt", "configuration/tidegate.toml", "resolved.json", "status.json",
        "log.jsonl",
    ]  # fmt: skip
    assert_no_secret(files)
    assert all(f"{name}: " in files["CONTENTS.txt"] for name in list(files)[1:])
    status = json.loads(files["status.json"])
    assert status["gateway"]["id"] == "gw1"
    assert status["sinks"]["plant"]["connected"] is False
    resolved = json.loads(files["resolved.json"])
    assert resolved["sinks"][0]["password"] == {"kept_in": "file", "name": str(tmp_path / "secret")}
    assert resolved["links"][0]["options"]["port"] == field.slaves[0].port
    assert CROSSED_OUT in files["configuration/tidegate.toml"]
    assert any("started, boot 1" in json.loads(line)["message"] for line in files["log.jsonl"].splitlines())
    assert json.loads(files["platform.json"])["space"]["free"] > 0


@pytest.mark.integration
def test_of_one_that_doesnt_run_or_cant(tmp_path: Path) -> None:
    config = tmp_path / "tidegate.toml"
    config.write_text(sound(tmp_path, 1502))
    done = run(tmp_path / "b.zip", "--config", config)
    assert done.returncode == 0
    assert "made without it" in done.stderr
    assert done.stdout == f"{tmp_path / 'b.zip'}\n"
    files = read((tmp_path / "b.zip").read_bytes())
    assert "status.json" not in files
    assert "journal" in files["problems.txt"]
    assert_no_secret(files)
    config.write_text("[gateway\n")
    assert run(tmp_path / "c.zip", "--config", config).returncode == 0
    broken = read((tmp_path / "c.zip").read_bytes())
    assert broken["configuration/tidegate.toml"] == "[gateway\n"
    assert "tidegate.toml:1" in broken["problems.txt"]
    assert run(tmp_path / "nowhere" / "b.zip", "--config", config).returncode == 1


def test_what_isnt_there_isnt_made_up(tmp_path: Path) -> None:
    files = read(packed(sections(None, configuration={})))
    assert list(files) == ["CONTENTS.txt", "platform.json", "packages.txt"]


def test_everything_that_can_be_in_one_is_crossed_out(tmp_path: Path) -> None:
    dirty = 'the password: "s3cret-in-a-remark" token=s3cret-in-a-remark'
    everything: dict[str, Any] = {"status": {"last_error": dirty}, "journal": {"reason": dirty}, "trace": dirty}
    found = sections(
        tmp_path,
        configuration={"tidegate.toml": b'password = "s3cret-in-a-remark"\n\xff'},
        problems=["x: token = s3cret-in-a-remark"],
        logs=[LogEntry(1, 1, "info", "x", "api_key: s3cret-in-a-remark", "Bearer s3cret-in-a-remark")],
        **everything,
    )
    assert_no_secret(read(packed(found)))


def test_json_stays_json_and_keys_count() -> None:
    body = {"password": "x y", "passwords": 3, "list": [{"token": "abc"}], "text": 'password: "a b"', "none": None}
    assert redacted_json(body) == {
        "password": CROSSED_OUT, "passwords": 3, "list": [{"token": CROSSED_OUT}],
        "text": f'password: "{CROSSED_OUT}"', "none": None,
    }  # fmt: skip
