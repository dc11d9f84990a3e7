"""A gateway that finds its disk full at start, as after a power cut, must collect all the same."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from gateway.journal import recovery
from gateway.journal.boot import next_boot
from tests.journal.toys import batch, layout, opened


async def test_the_reserve_is_released_to_start_on_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ballast = tmp_path / "journal.db.ballast"
    journal = await opened(tmp_path, ballast_bytes=1 << 16)
    journal.append(batch(layout()))
    await journal.close()
    assert ballast.exists()

    def while_full(path: Path, seen: int) -> int:
        if ballast.exists():
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return next_boot(path, seen)

    monkeypatch.setattr(recovery, "next_boot", while_full)
    # As if other files had taken all but the reserve.
    monkeypatch.setattr("gateway.journal.store.Store._free_bytes", lambda store: 0 if ballast.exists() else 1 << 16)
    journal = await opened(tmp_path, ballast_bytes=1 << 16)
    assert journal.boot == 2
    assert journal.ledger("plant")["sources"]["filler1"]["boots"]["1"]["pending"] == 3
    await journal.close()


async def test_a_full_disk_without_a_reserve_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, seen: int) -> int:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(recovery, "next_boot", full)
    with pytest.raises(OSError, match="No space left"):
        await opened(tmp_path)
