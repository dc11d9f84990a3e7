"""Guessing gets slow, and nobody can shut anybody out."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.web import throttle as module
from gateway.web.door import network
from gateway.web.throttle import FREE_OF_NAME, FREE_TRIES, LONGEST_OF_NAME_S, LONGEST_S, Throttle

HERE, THERE = "192.0.2.1", "198.51.100.7"


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(module, "now_s", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_few_tries_are_free_then_each_wait_is_twice_as_long(clock: Clock, state: Path) -> None:
    throttle = Throttle(state)
    waits = []
    for _ in range(FREE_TRIES + 12):
        waits.append(throttle.wait_s("ada", HERE, None))
        clock.now += waits[-1]
        throttle.failed("ada", HERE, None)
    assert waits[:FREE_TRIES] == [0.0] * FREE_TRIES
    assert waits[FREE_TRIES : FREE_TRIES + 4] == [1.0, 2.0, 4.0, 8.0]
    assert max(waits) == LONGEST_S
    assert throttle.wait_s("ADA", HERE, None) > 0, "whatever the case of the letters"
    assert throttle.wait_s("eve", HERE, None) == 0


def test_trying_while_waiting_makes_it_no_longer(clock: Clock, state: Path) -> None:
    throttle = Throttle(state)
    for _ in range(FREE_TRIES + 3):
        throttle.failed("ada", HERE, None)
    first = throttle.wait_s("ada", HERE, None)
    assert [throttle.wait_s("ada", HERE, None) for _ in range(100)] == [first] * 100


def test_many_machines_slow_strangers_but_not_the_owner(clock: Clock, state: Path) -> None:
    throttle = Throttle(state)
    device = throttle.passed("ada", HERE, None)
    for number in range(FREE_OF_NAME + 20):
        throttle.failed("ada", f"203.0.113.{number}", None)
    assert 0 < throttle.wait_s("ada", THERE, None) <= LONGEST_OF_NAME_S, "a stranger waits, and not for ever"
    assert throttle.wait_s("ada", HERE, None) == 0, "from where she signed in before"
    assert throttle.wait_s("ada", THERE, device) == 0, "with the browser she signed in with before"
    assert throttle.wait_s("eve", THERE, device) == 0
    assert not throttle.is_known("eve", device), "a browser is known for one name"
    assert throttle.wait_s("ada", THERE, device[:-1] + "x") > 0, "a cookie that somebody made up"


def test_a_known_browser_has_a_count_of_its_own(clock: Clock, state: Path) -> None:
    throttle = Throttle(state)
    device = throttle.passed("ada", HERE, None)
    for _ in range(FREE_TRIES + 2):
        throttle.failed("ada", HERE, device)
    assert throttle.wait_s("ada", HERE, device) > 0
    assert throttle.wait_s("ada", HERE, None) == 0
    assert throttle.passed("ada", HERE, device) == device


def test_wrong_tries_are_forgotten_in_time_and_kept_over_a_restart(clock: Clock, state: Path) -> None:
    throttle = Throttle(state)
    device = throttle.passed("ada", THERE, None)
    for _ in range(FREE_TRIES + 5):
        throttle.failed("ada", HERE, None)
    throttle.save()
    again = Throttle(state)
    assert again.wait_s("ada", HERE, None) == throttle.wait_s("ada", HERE, None) > 0
    assert again.is_known("ada", device)
    clock.now += module.FORGOTTEN_S + 1
    assert again.wait_s("ada", HERE, None) == 0


def test_names_and_addresses_by_the_thousand_are_bounded(clock: Clock, state: Path) -> None:
    throttle = Throttle(state)
    for number in range(2 * module.MOST):
        throttle.failed(f"name{number}", f"10.{number >> 8 & 255}.{number & 255}.1", None)
    throttle.save()
    assert (state / "tries.json").stat().st_size < 100 * module.MOST


@pytest.mark.parametrize(
    ("address", "one"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
    ],
)
def test_an_address_stands_for_what_one_party_can_have(address: str, one: str) -> None:
    assert network(address) == one
