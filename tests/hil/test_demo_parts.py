"""The demo's parts without the gateway: children that can't outlive it, the board, the view, the command's errors."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import orjson
import psutil
import pytest
from click.testing import CliRunner
from rich.console import Console

import hil.demo.broker
from gateway.cli import main
from hil.demo.board import Board, Latency
from hil.demo.broker import Broker
from hil.demo.child import Child, ChildFailed
from hil.demo.show import Outage, Show
from hil.demo.view import View
from hil.ledger_check import Checker
from tests.support.mosquitto import find_mosquitto

SLEEP = "import time; print('up', flush=True); time.sleep(60)"
PREFIX = "uns/v1/tidewater/bottling/mixing/tank1"


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    child = Child("sleeper", [sys.executable, "-c", SLEEP], tmp_path / "log", pipe=True)
    yield child
    child.stop()


def test_a_child_runs_until_it_is_stopped(child: Child) -> None:
    assert child.read_line() == "up\n"
    child.check()
    child.stop()
    with pytest.raises(ChildFailed, match="the sleeper was killed by signal 15"):
        child.check()


def test_a_child_that_fails_says_its_last_words(tmp_path: Path) -> None:
    child = Child("liar", [sys.executable, "-c", "import sys; sys.exit('no luck')"], tmp_path / "log", pipe=True)
    with pytest.raises(ChildFailed, match=r"(?s)the liar ended with exit code 1.*no luck"):
        child.read_line()
    child.stop()


def test_a_child_dies_with_its_parent_even_if_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import pathlib, sys, time\n"
        "from hil.demo.child import Child\n"
        f"log = pathlib.Path({str(tmp_path / 'log')!r})\n"
        f"child = Child('sleeper', [sys.executable, '-c', {SLEEP!r}], log, pipe=True)\n"
        "child.read_line()\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        orphan = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        parent.wait()
    end = time.monotonic() + 5
    while orphan.is_running() and orphan.status() != psutil.STATUS_ZOMBIE:  # nobody may be there to reap it
        assert time.monotonic() < end, "it outlived its parent"
        time.sleep(0.02)


@pytest.mark.integration
@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto isn't installed")
def test_the_broker_comes_back_on_its_port(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    port = broker.port
    assert psutil.Process(broker._child.pid if broker._child else 0).uids().real == os.getuid()
    broker.stop()
    broker.stop()
    assert not broker.running
    broker.start()
    assert (broker.port, broker.running) == (port, True)
    broker.check()
    broker.stop()


def message(**changes: object) -> bytes:
    body = {"timestamp_ms": int(time.time() * 1000), "value": 61.5, "quality": 0, "seq": 1, "boot": 1, **changes}
    return orjson.dumps(body)


def test_the_board_counts_a_tag_as_reached_with_its_first_usable_value() -> None:
    board = Board(("tidewater", "bottling"))
    board.take(f"{PREFIX}/level/percent", message(value=None, quality=0x80310000), False)
    assert (board.reached, board.totals.values) == (0, 1)
    board.take(f"{PREFIX}/level/percent", message(quality=0x40940000), False)
    assert board.reached == 1
    assert len(board.missing()) == board.tags - 1
    board.take(
        f"{PREFIX}/_values/fast",
        orjson.dumps(
            {"timestamp_ms": 9, "values": {"level/volume": 1.5, "quality/ph": None}, "quality": {"quality/ph": 1 << 31}}
        ),
        False,
    )
    assert board.reached == 2


def test_backfill_never_replaces_a_newer_value_and_has_no_latency() -> None:
    board = Board(("tidewater", "bottling"))
    topic, cell = f"{PREFIX}/level/percent", board.assets[0].cells[0]
    board.take(topic, message(), False)
    counted = board.totals.latency.count
    board.take(topic, message(timestamp_ms=5, value=1.0, hist=True), False)
    assert (cell.value, board.totals.backfilled, board.totals.latency.count) == (61.5, 1, counted)
    board.take(topic, message(), True)
    assert board.totals.values == 2
    for junk in (b"{", b"7", b"{}", b'{"timestamp_ms":1}'):
        board.take(topic, junk, False)
    board.take("uns/v1/tidewater/bottling/demo/_state", b'{"state":"offline"}', False)
    board.take(f"{PREFIX}/_state", b'{"state":"failure"}', False)
    assert (board.offline, board.assets[0].state) == (True, "failure")


def test_latency_percentiles() -> None:
    latency = Latency()
    assert latency.percentile(0.5) is None
    for tenth in range(1000):
        latency.add(tenth / 10)
    assert latency.percentile(0.5) == pytest.approx(50.0, abs=0.2)
    assert latency.percentile(0.99) == pytest.approx(99.0, abs=0.2)
    latency.add(1e9)
    assert latency.percentile(1.0) == pytest.approx(2000.1)


class Still(Show):
    """A show of which nothing runs."""

    broker_running = True
    broker_address = "127.0.0.1:1883"
    page = SimpleNamespace(
        sentence="https://127.0.0.1:8443/ claim code 9YAE-Y0XP-W8K7-7Z7X", claim_code="9YAE-Y0XP-W8K7-7Z7X"
    )  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.checker = Checker()

    def proof(self) -> object:  # type: ignore[override]
        return self.checker.verdict()


@pytest.mark.parametrize(("width", "height"), [(80, 24), (160, 50), (100, 30), (40, 12), (220, 60)])
@pytest.mark.parametrize("during", ["start", "live", "outage"])
def test_the_view_fills_its_window_exactly(width: int, height: int, during: str) -> None:
    show = Still()
    if during != "start":
        for asset in show.board.assets:
            for at, cell in enumerate(asset.cells):
                quality = (0, 0x40940000, 0x80310000)[at % 3]
                value = (
                    None
                    if quality >= 1 << 31
                    else (True, 18_446_744_073_709_551_615, "A LONG RECIPE NAME", 12345.678)[at % 4]
                )
                show.board.take(f"{asset.prefix}/{cell.path}", message(value=value, quality=quality), False)
    if during == "outage":
        show.outages.append(Outage(time.monotonic(), time.monotonic() + 20))
    view = View(show)
    seen: set[str] = set()
    for _ in range(200):
        file = io.StringIO()
        Console(
            file=file, width=width, height=height, force_terminal=True, color_system=None, legacy_windows=False
        ).print(view, end="")
        lines = file.getvalue().rstrip("\n").split("\n")
        assert len(lines) == height
        assert all(len(line) <= width for line in lines)
        seen |= {asset.name for asset in show.board.assets for line in lines if asset.name in line}
        view.pager.turn(1)
        if view.pager.page == view.pager.pages:
            break
    assert len(seen) == len(show.board.assets)
    assert view.pager.pages == 1 or width < 220


def test_an_outage_needs_time() -> None:
    result = CliRunner().invoke(main, ["demo", "--outage", "--seconds", "10"])
    assert result.exit_code == 2
    assert "--outage needs --seconds of at least 30" in result.output


def test_a_missing_broker_is_one_sentence_with_its_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hil.demo.broker.shutil, "which", lambda *_args, **_options: None)
    before = signal.getsignal(signal.SIGTERM)
    result = CliRunner().invoke(main, ["demo", "--seconds", "5"])
    assert result.exit_code == 1
    assert "mosquitto isn't installed" in result.output
    assert "sudo apt-get install mosquitto" in result.output
    assert signal.getsignal(signal.SIGTERM) is before
