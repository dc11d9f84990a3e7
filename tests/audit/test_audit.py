"""The audit log: durable before it counts, in one chain, bounded, and honest about what happened to it."""

from __future__ import annotations

import asyncio
import errno
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.actors import Actor, Role
from gateway.audit import AuditError, AuditLog, verify
from gateway.audit import chain as chain_module
from gateway.audit.files import HEAD, files_in
from tests.support.effort import times

ANNA = Actor("anna", Role.OPERATOR, "page")
BERT = Actor("bert", Role.ADMIN, "command line")


async def fill(directory: Path, count: int, **bounds: int) -> None:
    async with AuditLog(directory, **bounds) as log:
        for number in range(count):
            await log.record(ANNA, "write.done", f"filler{number % 3}/setpoint", "written", value=number)


def messages(directory: Path) -> list[str]:
    return [finding.message for finding in verify(directory).findings]


def only_file(directory: Path) -> Path:
    ((_, path),) = files_in(directory)
    return path


async def test_rows_come_back_newest_first_and_by_what_is_asked(tmp_path: Path) -> None:
    async with AuditLog(tmp_path) as log:
        await log.record(ANNA, "write.intent", "filler1/setpoint", "asked", value=3)
        await log.record(ANNA, "write.done", "filler1/setpoint", "written", value=3)
        await log.record(BERT, "user.add", "carla", "done", role=Role.VIEWER)
        rows = await log.query()
        assert [(row.number, row.action) for row in rows] == [(3, "user.add"), (2, "write.done"), (1, "write.intent")]
        assert rows[0].details == {"role": "viewer"}
        assert (rows[1].actor, rows[1].role, rows[1].via) == ("anna", "operator", "page")
        assert [row.number for row in await log.query(action="write")] == [2, 1]
        assert [row.number for row in await log.query(actor="bert")] == [3]
        assert [row.number for row in await log.query(subject="filler1", limit=1)] == [2]
        assert [row.number for row in await log.query(before=3)] == [2, 1]
        assert [row.number for row in await log.query(after=2)] == [3]
        assert await log.query(action="writ") == []
        assert (await log.verify()).sound


async def test_a_row_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def counted(handle: int) -> None:
        fsync(handle)
        synced.append(os.fstat(handle).st_size)

    async with AuditLog(tmp_path) as log:
        monkeypatch.setattr(chain_module.os, "fsync", counted)
        await log.record(ANNA, "write.done", "a/b", "written")
        assert synced[-1] == only_file(tmp_path).stat().st_size > 0


async def test_rows_that_wait_together_are_synced_together_in_call_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(chain_module.os, "fsync", lambda handle: (syncs.append(handle), fsync(handle))[1])
    async with AuditLog(tmp_path) as log:
        await asyncio.gather(*(log.record(ANNA, "write.done", "a/b", "written", value=i) for i in range(500)))
        assert len(syncs) < 20
        assert [row.details["value"] for row in await log.query(limit=500)] == [*range(499, -1, -1)]


async def test_numbers_and_chain_go_on_after_a_restart(tmp_path: Path) -> None:
    await fill(tmp_path, 3)
    await fill(tmp_path, 2)
    found = verify(tmp_path)
    assert found.sound
    assert (found.rows, found.first, found.last) == (5, 1, 5)


async def test_a_second_writer_is_refused(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with AuditLog(tmp_path), AuditLog(tmp_path) as second:
        assert "another process writes the audit log" in caplog.text
        with pytest.raises(AuditError, match="another process writes"):
            await second.record(ANNA, "write.done", "a/b", "written")


async def test_a_log_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    place = tmp_path / "audit"
    place.write_text("no directory")
    async with AuditLog(place) as log:
        with pytest.raises(AuditError, match="can't be written: File exists"):
            await log.record(ANNA, "write.done", "a/b", "written")
        place.unlink()
        await log.record(ANNA, "write.done", "a/b", "written")
        assert len(await log.query()) == 1


async def test_it_is_bounded_and_says_what_it_dropped(tmp_path: Path) -> None:
    await fill(tmp_path, 400, max_file_bytes=4096, max_total_bytes=20_000)
    kept = files_in(tmp_path)
    assert kept[0][0] > 1
    assert sum(path.stat().st_size for _, path in kept) <= 20_000
    found = verify(tmp_path)
    assert found.sound, found.findings
    assert found.first == kept[0][0]
    async with AuditLog(tmp_path) as log:
        dropped = (await log.query(action="audit.drop"))[0]
        assert dropped.details["last"] == found.first - 1
        assert dropped.actor == "gateway"
        # All that is left can be read page by page.
        seen: list[int] = []
        while page := await log.query(before=seen[-1] if seen else None, limit=7):
            seen += [row.number for row in page]
        assert seen == [*range(found.last, found.first - 1, -1)]


async def test_a_power_cut_between_saying_that_a_file_goes_and_its_going_leaves_the_log_whole(tmp_path: Path) -> None:
    async with AuditLog(tmp_path, max_file_bytes=2000, max_total_bytes=8000) as log:
        drops = 0
        while drops < 2:
            _, oldest = files_in(tmp_path)[0] if files_in(tmp_path) else (0, tmp_path / "none")
            body = oldest.read_bytes() if oldest.exists() else b""
            await log.record(ANNA, "write.done", "a/b", "written")
            drops += bool(body) and not oldest.exists()
    oldest.write_bytes(body)  # as if the power had failed before it was gone
    assert messages(tmp_path) == []
    oldest.unlink()
    assert messages(tmp_path) == []
    files_in(tmp_path)[0][1].unlink()
    assert "no row says that they were dropped" in messages(tmp_path)[0]


async def test_a_beginning_that_somebody_took_away_is_missed(tmp_path: Path) -> None:
    await fill(tmp_path, 100, max_file_bytes=4096)
    first, second = files_in(tmp_path)[:2]
    first[1].unlink()
    assert messages(tmp_path) == [f"rows 1 to {second[0] - 1} are missing, and no row says that they were dropped"]


@pytest.mark.parametrize("kept", [0.2, 0.5, 0.9])
async def test_a_torn_last_line_is_mended_and_noted(tmp_path: Path, kept: float) -> None:
    await fill(tmp_path, 5)
    path, head = only_file(tmp_path), (tmp_path / HEAD).read_bytes()
    await fill(tmp_path, 1)
    lines = path.read_bytes().splitlines(keepends=True)
    # The power failed in the middle of the sixth row: it never counted.
    path.write_bytes(b"".join(lines[:5]) + lines[5][: int(kept * len(lines[5]))])
    (tmp_path / HEAD).write_bytes(head)
    async with AuditLog(tmp_path) as log:
        note = (await log.query())[0]
        assert (note.number, note.action, note.actor) == (6, "audit.repair", "gateway")
        assert note.details["torn_bytes"] == int(kept * len(lines[5]))
        await log.record(BERT, "user.add", "carla", "done")
        assert (await log.verify()).sound


async def test_rows_that_counted_and_are_gone_stay_missing(tmp_path: Path) -> None:
    await fill(tmp_path, 5)
    path = only_file(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3]))
    assert messages(tmp_path) == ["rows 4 to 5 are missing at the end"]
    async with AuditLog(tmp_path) as log:
        note = (await log.query())[0]
        assert (note.number, note.details["lost_rows"]) == (6, "4 to 5")
    assert messages(tmp_path) == ["rows 4 to 5 are missing"]


async def test_a_log_that_was_emptied_says_so(tmp_path: Path) -> None:
    await fill(tmp_path, 5)
    only_file(tmp_path).unlink()
    assert messages(tmp_path) == ["rows 1 to 5 are missing at the end"]
    await fill(tmp_path, 1)
    assert messages(tmp_path) == ["rows 1 to 5 are missing, and no row says that they were dropped"]


async def test_a_row_rewritten_with_a_fitting_hash_breaks_the_chain(tmp_path: Path) -> None:
    await fill(tmp_path / "true", 3)
    await fill(tmp_path / "false", 3)
    path, other = only_file(tmp_path / "true"), only_file(tmp_path / "false")
    lines, others = path.read_bytes().splitlines(keepends=True), other.read_bytes().splitlines(keepends=True)
    if lines[1] == others[1]:
        pytest.skip("both logs were written in the same millisecond")
    path.write_bytes(lines[0] + others[1] + lines[2])
    assert messages(tmp_path / "true") == [
        "row 2 was written after another row 1 than this one",
        "row 3 was written after another row 2 than this one",
    ]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("audit")
    asyncio.run(fill(directory, 30, max_file_bytes=2048))
    assert verify(directory).sound
    return directory


@given(data=st.data())
def test_no_flipped_bit_goes_unnoticed(sound: Path, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(files_in(sound)))[1]
    body = path.read_bytes()
    position = data.draw(st.integers(0, len(body) - 1))
    flipped = bytearray(body)
    flipped[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        path.write_bytes(flipped)
        assert not verify(sound).sound
    finally:
        path.write_bytes(body)


@given(data=st.data())
def test_no_cut_end_goes_unnoticed(sound: Path, data: st.DataObject) -> None:
    files = files_in(sound)
    path = data.draw(st.sampled_from(files))[1]
    body = path.read_bytes()
    length = data.draw(st.integers(0, len(body) - 1))
    try:
        path.write_bytes(body[:length])
        assert not verify(sound).sound
    finally:
        path.write_bytes(body)


@given(
    st.dictionaries(
        st.text(), st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists)
    ),
    st.text(st.characters()),
)
def test_any_details_can_be_kept(details: dict[str, Any], subject: str) -> None:
    from gateway.audit.row import NOTHING_BEFORE, Entry, parse

    line, digest = Entry("", True, ANNA, "write.done", subject, "written", details).line(1, NOTHING_BEFORE)
    assert parse(line[:-1]).hash == digest
    assert len(line) < 1 << 15
    assert line.count(b"\n") == 1


async def test_a_huge_detail_is_cut_not_refused(tmp_path: Path) -> None:
    async with AuditLog(tmp_path) as log:
        await log.record(
            ANNA, "write.done", "a/b", "written", value="x" * 100_000, **{f"k{i}": "y" * 499 for i in range(99)}
        )
        (row,) = await log.query()
    assert "left_out" in row.details


async def test_a_full_disk_is_said_and_leaves_the_chain_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    room = iter([40])

    def full(handle: int, body: bytes) -> int:
        left = next(room, 0)
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(handle, body[:left])

    async with AuditLog(tmp_path) as log:
        await log.record(ANNA, "write.done", "a/b", "written", value=1)
        with monkeypatch.context() as patched:
            patched.setattr(chain_module.os, "write", full)
            with pytest.raises(AuditError, match="No space left"):
                await log.record(ANNA, "write.done", "a/b", "written", value=2)
        await log.record(ANNA, "write.done", "a/b", "written", value=3)
        assert [row.details["value"] for row in await log.query()] == [3, 1]
        assert (await log.verify()).sound


KILLED = """
import asyncio, sys
from pathlib import Path
from gateway.actors import Actor, Role
from gateway.audit import AuditLog
async def main():
    async with AuditLog(Path(sys.argv[1]), max_file_bytes=3000, max_total_bytes=30000) as log:
        print("up", flush=True)
        number = 0
        while True:
            number += 1
            await log.record(Actor("anna", Role.OPERATOR, "page"), "write.done", "a/b", "written", value=number)
            print(number, flush=True)
asyncio.run(main())
"""


@pytest.mark.fault
def test_what_was_confirmed_survives_a_kill(tmp_path: Path) -> None:
    dice = random.Random(4)
    for _ in range(times(12)):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True, cwd=Path.cwd()
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        wanted = dice.randrange(60)
        confirmed = 0
        while confirmed < wanted:
            confirmed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        for line in process.stdout:
            if line.endswith("\n"):
                confirmed = int(line)
        process.stdout.close()
        process.wait()
        found = verify(tmp_path)
        assert found.sound, found.findings
        if confirmed:
            rows = [orjson.loads(line) for _, path in files_in(tmp_path) for line in path.read_bytes().splitlines()]
            values = [row["details"]["value"] for row in rows if row["action"] == "write.done"]
            assert values[-1] >= confirmed
