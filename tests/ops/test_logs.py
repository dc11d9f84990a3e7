"""The ring of log records: bounds, filters, watchers of every speed, secrets."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.ops.logs import NOT_KEPT, LogEntry, LogFilter, LogRing, LogsMissed, RedactingFormatter, formatter_for
from gateway.secrets import CROSSED_OUT, Secret, redacted, resolve


@pytest.fixture(autouse=True)
def nothing_read_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests of this process have read as secrets is none here."""
    monkeypatch.setattr("gateway.secrets._read_so_far", set())


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    logger = logging.Logger("gateway.test", logging.DEBUG)
    logger.propagate = False
    yield logger
    for handler in list(logger.handlers):
        handler.close()


def ring_for(log: logging.Logger, **bounds: int) -> LogRing:
    ring = LogRing(**bounds)
    log.addHandler(ring)
    return ring


def messages(ring: LogRing, **wanted: object) -> list[str]:
    return [entry.message for entry in ring.latest(LogFilter(**wanted))]  # type: ignore[arg-type]


def test_the_newest_are_kept_and_the_ids_say_what_is_gone(log: logging.Logger) -> None:
    ring = ring_for(log, kept=3)
    assert (ring.first_id, ring.last_id) == (1, 0)
    for number in range(10):
        log.info("number %d", number)
    assert messages(ring) == ["number 7", "number 8", "number 9"]
    assert (ring.first_id, ring.last_id) == (8, 10)


def test_bytes_are_bounded_even_by_one_endless_record(log: logging.Logger) -> None:
    ring = ring_for(log, kept_bytes=50_000)
    for _ in range(100):
        log.info("x" * 1_000_000)
    entries = ring.latest(LogFilter())
    assert 1 <= len(entries) < 13
    assert all(len(entry.message) < 5000 for entry in entries)


def test_filters(log: logging.Logger) -> None:
    ring = ring_for(log)
    log.debug("one")
    log.info("Two")
    log.warning("three")
    log.critical("four")
    try:
        raise ValueError("in the depths")
    except ValueError:
        log.exception("five")
    assert messages(ring, level="warning") == ["three", "four", "five"]
    assert messages(ring, match="TWO") == ["Two"]
    assert messages(ring, match="depths") == ["five"]
    assert messages(ring, match="gateway.TEST") == messages(ring)
    assert messages(ring, after=3) == ["four", "five"]
    assert messages(ring, since_ms=ring.latest(LogFilter())[0].timestamp_ms) == messages(ring)
    assert messages(ring, since_ms=ring.latest(LogFilter())[-1].timestamp_ms + 1) == []
    assert [entry.message for entry in ring.latest(LogFilter(), limit=2)] == ["four", "five"]
    assert [entry.level for entry in ring.latest(LogFilter(), limit=2)] == ["error", "error"]
    assert "Traceback" in (ring.latest(LogFilter())[-1].traceback or "")


async def test_a_watcher_gets_what_is_kept_and_what_comes_from_any_thread(log: logging.Logger) -> None:
    ring = ring_for(log)
    log.info("before")
    following = ring.follow(LogFilter())
    assert (await anext(following)).message == "before"  # type: ignore[union-attr]
    thread = threading.Thread(target=lambda: [log.info("after %d", number) for number in range(200)])
    thread.start()
    for number in range(200):
        entry = await anext(following)
        assert isinstance(entry, LogEntry)
        assert entry.message == f"after {number}"
    thread.join()
    await following.aclose()  # type: ignore[attr-defined]


async def test_a_watcher_that_is_too_slow_is_told_how_many_it_missed(log: logging.Logger) -> None:
    ring = ring_for(log, kept=5)
    following = ring.follow(LogFilter())
    log.info("first")
    await anext(following)
    for number in range(20):
        log.info("%d", number)
    seen = [await anext(following) for _ in range(6)]
    assert seen[0] == LogsMissed(15)
    assert [entry.message for entry in seen[1:]] == ["15", "16", "17", "18", "19"]  # type: ignore[union-attr]
    await following.aclose()  # type: ignore[attr-defined]


async def test_a_watcher_that_left_is_forgotten(log: logging.Logger) -> None:
    ring = ring_for(log)
    following = ring.follow(LogFilter())
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await following.aclose()  # type: ignore[attr-defined]
    assert ring._watchers == []


def test_a_bad_log_call_stops_nothing(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", True)
    ring = ring_for(log)
    log.info("%d", "not a number")
    log.info("fine")
    assert messages(ring) == ["fine"]
    assert "not a number" in capsys.readouterr().err


def test_a_secret_that_was_read_is_crossed_out_everywhere(
    log: logging.Logger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROKER_PASSWORD", "correct horse battery")
    secret = resolve(Secret("env", "BROKER_PASSWORD"))
    ring = ring_for(log)
    formatter = RedactingFormatter()
    try:
        raise ValueError(f"the broker refused {secret}")
    except ValueError:
        log.exception("can't log in with %s", secret)
    entry = ring.latest(LogFilter())[0]
    assert secret not in entry.message + (entry.traceback or "")
    assert CROSSED_OUT in entry.message
    record = logging.LogRecord("x", logging.INFO, "", 0, "it is %s", (secret,), None)
    assert formatter.format(record) == f"it is {CROSSED_OUT}"


def test_a_short_secret_is_crossed_out_where_it_stands_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIN", "1234")
    resolve(Secret("env", "PIN"))
    assert redacted("pin 1234 for order 123456") == f"pin {CROSSED_OUT} for order 123456"


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ('password = "hunter2 two"', "hunter2 two"),
        ("connecting to mqtt://user:hunter2@broker:1883", "hunter2"),
        ("Authorization: Bearer abc.def-ghi", "abc.def-ghi"),
        ("token=abcdef, next", "abcdef"),
        ("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", "aGFzaA"),
        ("-----BEGIN PRIVATE KEY-----\nMIIEvQ\n-----END PRIVATE KEY-----", "MIIEvQ"),
        ("-----BEGIN EC PRIVATE KEY-----\nMIIEvQ and cut", "MIIEvQ"),
        ("{'bindkey': '231d39c1d7cc1ab1aee224cd096db932'}", "231d39c1d7cc1ab1aee224cd096db932"),
    ],
)
def test_what_looks_like_a_secret_is_crossed_out(text: str, secret: str) -> None:
    assert secret not in redacted(text)
    assert CROSSED_OUT in redacted(text)


@pytest.mark.parametrize(
    "text", ["link link0: connected to 127.0.0.1:502", "http://127.0.0.1:80/x", "no token in it", "a user@host"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert redacted(text) == text


def test_what_is_for_the_console_alone_is_not_kept(log: logging.Logger) -> None:
    ring = ring_for(log)
    log.warning("the code is %s", "7H2K", extra={NOT_KEPT: True})
    log.warning("afterwards")
    assert messages(ring) == ["afterwards"]


def test_no_text_from_elsewhere_makes_a_record_or_steers_a_terminal(log: logging.Logger) -> None:
    forged = "x\n2026-01-01 00:00:00,000 INFO    gateway: all is well\r\x1b[2J\x9b2J"
    record = log.makeRecord("gateway.test", logging.WARNING, "", 0, "the device says %s", (forged,), None)
    line = RedactingFormatter("%(levelname)s: %(message)s").format(record)
    assert line == (
        "WARNING: the device says x\n    2026-01-01 00:00:00,000 INFO    gateway: all is well\\x0d\\x1b[2J\\x9b2J"
    )


# -- for systemd's journal ---------------------------------------------------------------------------------------------


def test_the_journal_is_told_the_level_of_every_line_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        lines = formatter_for(stream)
    for level, mark in (("DEBUG", "<7>"), ("INFO", "<6>"), ("WARNING", "<4>"), ("ERROR", "<3>"), ("CRITICAL", "<3>")):
        record = logging.makeLogRecord(
            {"name": "a", "levelname": level, "levelno": getattr(logging, level), "msg": "first\n<0>second"}
        )
        assert lines.format(record) == f"{mark}a: first\n{mark}    <0>second"


def test_another_stream_is_told_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = logging.makeLogRecord({"name": "a", "levelname": "INFO", "levelno": logging.INFO, "msg": "m"})
    monkeypatch.setenv("JOURNAL_STREAM", "1:2")
    with (tmp_path / "stream").open("w") as stream:
        lines = formatter_for(stream).format(record)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO    a: m", lines)
    assert formatter_for(io.StringIO()).format(record) == lines
