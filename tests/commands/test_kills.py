"""At most once, whenever the gateway is killed: no write is sent twice, and none is called written that wasn't."""

from __future__ import annotations

import collections
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from gateway.audit import verify
from gateway.audit.files import files_in
from tests.support.effort import times

KILLS = times(200)
NEVER = 1_000_000


class Victims:
    """`tests.commands.victim` on one directory."""

    def __init__(self, directory: Path) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "tests.commands.victim", str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[2],
        )

    def __enter__(self) -> Victims:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate(timeout=30)

    def attempt(self, step: int, write_id: str) -> dict[str, Any] | None:
        """The record, or None if the process was killed at `step`."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(f"{step} {write_id}\n")
        self._server.stdin.flush()
        line = self._server.stdout.readline()
        assert line, "the victims' server ended"
        body = orjson.loads(line)
        assert body is None or isinstance(body, dict)
        return body


@pytest.mark.fault
@pytest.mark.timeout(60 + KILLS)
def test_no_write_is_sent_twice_whenever_it_is_killed(tmp_path: Path) -> None:
    with Victims(tmp_path) as victims:
        _kill(victims, tmp_path)


def _kill(victims: Victims, tmp_path: Path) -> None:
    device = tmp_path / "device"
    device.touch()
    outcomes: collections.Counter[str] = collections.Counter()
    kills = 0
    step = number = 0
    while kills < KILLS:
        step += 1
        number += 1
        write_id = f"id-{number:08d}"
        before = device.stat().st_size
        record = victims.attempt(step, write_id)
        if record is None:
            kills += 1
            # Every third time the gateway is killed once more while it starts again.
            if number % 3 == 0 and victims.attempt(number % 5 + 1, write_id) is None:
                kills += 1
            record = victims.attempt(NEVER, write_id)
            assert record is not None
        else:
            step = 0  # it got through: begin at the first step again
        sent = (device.stat().st_size - before) // len(b"7\n")
        assert sent <= 1, f"sent {sent} times after a kill at step {step}"
        outcomes[f"{record['outcome']}, sent {sent}"] += 1
        if record["outcome"] == "written":
            assert sent == 1
        elif record["outcome"] == "refused":
            assert sent == 0
        else:
            assert record["outcome"] == "unknown"
            assert "unknown" in record["message"]
        assert victims.attempt(NEVER, write_id) == record
    print(f"\n{kills} kills: {dict(outcomes)}")  # noqa: T201
    found = verify(tmp_path / "audit")
    assert found.sound, found.findings
    rows = [orjson.loads(line) for _, path in files_in(tmp_path / "audit") for line in path.read_bytes().splitlines()]
    done = collections.Counter(row["details"]["id"] for row in rows if row["action"] == "write.done")
    assert len(done) == number
    assert set(done.values()) == {1}
    # Nothing was sent that the log doesn't name.
    assert outcomes["unknown, sent 1"] + outcomes["written, sent 1"] == device.stat().st_size // len(b"7\n")
