"""Sessions: bounded in time and number, worth nothing on the disk, over when the machine starts anew."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import orjson
import pytest

from gateway.actors import Role
from gateway.web import sessions as module
from gateway.web.sessions import IDLE_S, LONGEST_S, MOST_PER_USER, Sessions, csrf_token


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1000.0]
    monkeypatch.setattr(module, "now_s", lambda: now[0])
    return now


def begin(sessions: Sessions, user: str = "ada") -> str:
    return sessions.begin(user, Role.ADMIN, "192.0.2.1", "a browser")


def test_it_ends_when_nobody_comes_and_after_a_day_at_work(clock: list[float], state: Path) -> None:
    sessions = Sessions(state)
    idle, busy = begin(sessions), begin(sessions)
    clock[0] += IDLE_S - 1
    assert sessions.find(busy) is not None
    clock[0] += 2
    assert sessions.find(idle) is None
    for _ in range(int(LONGEST_S / (IDLE_S / 2)) - 2):
        assert sessions.find(busy) is not None
        clock[0] += IDLE_S / 2
    clock[0] = 1000.0 + LONGEST_S + 1
    assert sessions.find(busy) is None
    assert list(sessions) == []


def test_to_look_whether_it_stands_is_no_visit(clock: list[float], state: Path) -> None:
    sessions = Sessions(state)
    found = sessions.find(begin(sessions))
    assert found is not None
    for _ in range(10):
        clock[0] += IDLE_S / 8
        sessions.alive(found.id)
    assert not sessions.alive(found.id)


def test_they_are_kept_over_a_restart_but_not_over_the_machines(clock: list[float], state: Path) -> None:
    cookie = begin(Sessions(state))
    again = Sessions(state).find(cookie)
    assert again is not None
    assert again.user == "ada"
    path = state / "sessions.json"
    body = orjson.loads(path.read_bytes())
    path.write_bytes(orjson.dumps({**body, "boot": "another"}))
    assert Sessions(state).find(cookie) is None


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"boot":1}', b'{"boot":"x","sessions":[{"id":1}]}'])
def test_a_file_that_cant_be_read_signs_everybody_out_and_no_more(content: bytes, state: Path) -> None:
    (state / "sessions.json").write_bytes(content)
    sessions = Sessions(state)
    assert sessions.find(begin(sessions)) is not None


def test_a_user_has_so_many_and_the_oldest_ends_first(clock: list[float], state: Path) -> None:
    sessions = Sessions(state)
    cookies = []
    for _ in range(MOST_PER_USER + 3):
        clock[0] += 1
        cookies.append(begin(sessions))
    others = begin(sessions, "eve")
    assert [sessions.find(cookie) is not None for cookie in cookies] == [False] * 3 + [True] * MOST_PER_USER
    assert sessions.find(others) is not None


def test_a_new_cookie_takes_the_place_of_the_old_one(clock: list[float], state: Path) -> None:
    sessions = Sessions(state)
    old = begin(sessions)
    new = sessions.renew(old, 2)
    assert new is not None
    assert sessions.find(old) is None
    found = sessions.find(new)
    assert found is not None
    assert found.version == 2
    assert csrf_token(old) != csrf_token(new)
    assert sessions.renew(old, 3) is None
    assert sessions.end_all("ada") == 1
    assert sessions.find(new) is None


def test_a_full_disk_keeps_nobody_out_and_brings_no_ended_session_back(
    clock: list[float], state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sessions = Sessions(state)
    early = begin(sessions)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "write_atomically", full)
    late = begin(sessions)
    clock[0] += 100
    assert sessions.find(early) is not None
    assert sessions.find(late) is not None
    ended = sessions.find(early)
    assert ended is not None
    sessions.end(ended.id)
    assert sessions.find(early) is None
    assert Sessions(state).find(early) is None, "the file that still had it is gone"
