"""The whole demo: plant, gateway, broker, subscriber, with an outage and with a gateway that dies."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hil.demo.child import ChildFailed
from hil.demo.show import Show
from hil.demo.summary import summary
from hil.plant.maps import DEVICES, TAGS
from tests.support.mosquitto import find_mosquitto

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto isn't installed")]


def tick_until(show: Show, done: Callable[[], bool], timeout_s: float = 20.0) -> None:
    end = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end, "it never came"
        show.tick()
        time.sleep(0.05)


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A directory that leaves room for a socket's path, which Linux wants below 108 bytes."""
    with tempfile.TemporaryDirectory(prefix="demo-") as path:
        yield Path(path)


def test_the_command_ends_by_itself_with_everything_delivered_and_nothing_left_behind(short_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gateway", "demo"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "TMPDIR": str(short_path), "DEMO_SECONDS": "10"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{TAGS} of {TAGS} reached the broker" in done.stdout
    assert "0 missing, 0 dropped" in done.stdout
    assert re.search(r"^Page https://127\.0\.0\.1:\d+/ claim code (\w{4}-){3}\w{4}$", done.stdout, re.MULTILINE)
    assert done.stderr == ""
    assert not list(short_path.iterdir())
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    assert not [command for command in commands if any(str(short_path) in word for word in command)]


@pytest.mark.parametrize("granularity", ["tag", "asset"])
def test_an_outage_is_buffered_and_caught_up_without_a_gap(granularity: str) -> None:
    with Show(granularity) as show:
        tick_until(show, lambda: show.board.reached == TAGS)
        show.stop_broker(2.0)
        show.stop_broker(99.0)  # one at a time
        assert not show.broker_running
        tick_until(show, lambda: show.outages[0].caught_up is not None)
        verdict = show.finish(threading.Event())
    assert verdict.passed, verdict.reasons
    assert verdict.sources == len(DEVICES)
    assert verdict.missing == verdict.dropped == 0
    (outage,) = show.outages
    assert outage.most_held > 100
    assert verdict.backfilled >= outage.backfilled > 100
    assert summary(show)[1]


def test_a_gateway_that_dies_ends_the_demo_with_its_last_words() -> None:
    with Show() as show:
        tick_until(show, lambda: show.board.reached == TAGS)
        os.kill(show._gateway.pid, signal.SIGKILL)
        with pytest.raises(ChildFailed, match="the gateway was killed by signal 9"):
            tick_until(show, lambda: False)
