"""`tidegate write`, `read`, `user`, `token`, `claim` and `audit` against a running gateway, and without one."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from tests.e2e.test_writes import CONFIG, Plant
from tests.support import raw_modbus as raw
from tests.support.gateway import GatewayProcess
from tests.support.raw_modbus import RawSlave

pytestmark = [pytest.mark.e2e]

PASSWORD = "correct horse battery\n"


class Desk(Plant):
    async def run(self, *arguments: str, stdin: str = "", code: int = 0) -> tuple[str, str]:
        """(stdout, stderr) of the command, which must end with that exit code."""
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-m", "gateway", *arguments, "--config", str(self.gateway.config)],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "NO_COLOR": "1"},
        )
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout, done.stderr


@pytest.fixture
async def slave() -> AsyncIterator[RawSlave]:
    async with RawSlave() as slave:
        yield slave


@pytest.fixture
async def desk(tmp_path: Path, slave: RawSlave) -> AsyncIterator[Desk]:
    text = CONFIG.format(data=tmp_path / "data", port=slave.port, enabled="true")
    with GatewayProcess(tmp_path, text) as gateway:
        desk = Desk(tmp_path, slave, gateway)
        await desk.up()
        yield desk


async def test_write_shows_what_it_does_and_ends_as_it_came_out(desk: Desk) -> None:
    _, told = await desk.run("write", "filler1/setpoint", "12.5", "--yes", "--reason", "new batch")
    assert told.splitlines() == [
        "filler1/setpoint: 0.0 /h (Good) → 12.5 /h",
        "  allowed: from 0 to 500 in steps of 0.5 /h",
        "  function 6: .. .. 00 00 00 06 01 06 00 0a 00 7d",
        "written; filler1/setpoint reads 12.5 /h now",
    ]
    assert desk.slave.holding[10] == 125
    out, _ = await desk.run("read", "filler1/setpoint", "--fresh", "--json")
    assert (orjson.loads(out)["value"], orjson.loads(out)["unit"]) == (12.5, "/h")

    _, told = await desk.run("write", "filler1/setpoint", "-5", "--yes", code=1)
    assert "-5 is under the least value that may be written, 0" in told
    _, told = await desk.run("write", "filler1/setpoint", "much", "--yes", code=2)
    assert "'much' isn't a number" in told
    _, told = await desk.run("write", "filler1/nowhere", "5", "--yes", code=2)
    assert "there is no tag 'filler1/nowhere'" in told
    _, told = await desk.run("write", "filler1/bottles", "5", "--yes", code=6)
    assert "isn't declared writable" in told
    _, told = await desk.run("write", "filler1/setpoint", "5", code=2)
    assert "this needs a yes" in told
    assert "add --yes" in told
    _, told = await desk.run("write", "filler1/setpoint", "5", "--yes", "--expect", "99", code=5)
    assert "filler1/setpoint reads 12.5 now, not 99; nothing was sent" in told
    assert len(desk.writes) == 1

    async def deaf_to_writes(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        await (raw.mute if request.function == 6 else raw.answer)(slave, request, send)

    desk.slave.always(deaf_to_writes)
    out, told = await desk.run("write", "filler1/setpoint", "5", "--yes", "--json", "--id", "cli-write-1", code=5)
    assert orjson.loads(out)["outcome"] == "unknown"
    desk.slave.always(raw.answer)
    await desk.up()
    out, _ = await desk.run("write", "filler1/setpoint", "5", "--yes", "--json", "--id", "cli-write-1", code=5)
    assert orjson.loads(out)["outcome"] == "unknown"
    assert len(desk.writes) == 2


async def test_users_tokens_and_the_log_of_them(desk: Desk) -> None:
    out, _ = await desk.run("claim")
    assert len(out.strip()) == 19
    await desk.run("user", "add", "anna", "--role", "admin", stdin=PASSWORD)
    _, told = await desk.run("user", "add", "bert", stdin="short\n", code=2)
    assert "the password can't be taken: it has 5 characters" in told
    await desk.run("user", "add", "bert", "--role", "operator", "--must-change", stdin=PASSWORD)
    await desk.run("user", "role", "bert", "engineer")
    await desk.run("user", "password", "bert", stdin=PASSWORD)
    await desk.run("user", "disable", "bert")
    _, told = await desk.run("user", "disable", "anna", code=5)
    assert "'anna' is the last admin, so it can't be disabled" in told
    out, _ = await desk.run("user", "list", "--json")
    assert [(user["name"], user["role"], user["disabled"]) for user in orjson.loads(out)] == [
        ("anna", "admin", False),
        ("bert", "engineer", True),
    ]
    await desk.run("user", "remove", "bert", "--yes")
    _, told = await desk.run("claim", code=5)
    assert "claimed already" in told

    out, told = await desk.run("token", "add", "scada", "--role", "operator", "--scope", "writes", "--days", "30")
    assert out.startswith("tidegate_")
    assert "it can't be shown again" in told
    out, _ = await desk.run("token", "list")
    assert "scada" in out
    await desk.run("token", "revoke", "scada")
    await desk.run("token", "revoke", "scada", code=2)

    out, _ = await desk.run("audit", "--json", "--action", "user", "--limit", "3")
    rows = [orjson.loads(line) for line in out.splitlines()]
    assert [row["action"] for row in rows] == ["user.password", "user.disable", "user.remove"]
    assert {row["via"] for row in rows} == {"command line"}
    _, told = await desk.run("audit", "--verify")
    assert "the audit log is whole: rows 1 to" in told


async def test_a_password_is_changed_only_if_it_is_another_one(desk: Desk) -> None:
    async def changed(password: str, *options: str) -> bool:
        out, _ = await desk.run("user", "password", "anna", "--unless-same", "--json", *options, stdin=password)
        return bool(orjson.loads(out)["changed"])

    await desk.run("user", "add", "anna", "--role", "admin", stdin=PASSWORD)
    assert not await changed(PASSWORD)
    assert await changed("another horse battery\n", "--dry-run")
    assert not await changed(PASSWORD)
    assert await changed("another horse battery\n")
    assert not await changed("another horse battery\n")
    out, _ = await desk.run("user", "list", "--json")
    assert orjson.loads(out)[0]["version"] == 2  # sessions ended once
    _, told = await desk.run("user", "password", "anna", "--dry-run", stdin=PASSWORD, code=2)
    assert "--dry-run is for --unless-same" in told


async def test_who_owns_the_machine_gets_back_in_without_the_gateway(desk: Desk) -> None:
    await asyncio.to_thread(desk.gateway.stop)
    data = desk.directory / "data"
    out, _ = await desk.run("claim")
    assert (data / "claim-code").read_text() == out
    (data / "accounts.json").write_text("{")
    _, told = await desk.run("claim", code=1)
    assert "can't be used" in told
    await desk.run("user", "reset", "anna", stdin=PASSWORD)
    assert list(data.glob("accounts.json.damaged-*"))
    _, told = await desk.run("audit", "--verify")
    assert "is whole" in told
    desk.gateway.start()
    await desk.up()
    out, _ = await desk.run("user", "list", "--json")
    assert [user["name"] for user in orjson.loads(out)] == ["anna"]
    await desk.run("user", "reset", "anna", stdin=PASSWORD)
    out, _ = await desk.run("audit", "--json", "--action", "user.reset")
    assert len(out.splitlines()) == 2
