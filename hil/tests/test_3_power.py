"""What happens to a box that is switched off and on: in order, all of a sudden, without knowing what time it is."""

from __future__ import annotations

import time

import pytest

from hil.benches.configuration import INTERVALS_MS, WIRED
from hil.benches.declaration import Part
from hil.tests.box import Box

DEADLINE_S = 0.25
"""`journal.deadline_s` by default: what is read is durable within this."""
TIME_KEPT_S = 15 * 60
"""The time is written down every ten minutes at least (`gateway/journal/journal.py`)."""
LONG_AGO = "1970-01-01T00:00:00"
HANG = "sysctl -qw kernel.panic=0 && systemd-run --on-active=1 sh -c 'echo c > /proc/sysrq-trigger'"
"""The kernel stops for ever a moment later, and nothing in it could start it again."""


def test_a_restart_loses_nothing(collecting: Box) -> None:
    with collecting.nothing_lost():
        before = collecting.boot
        collecting.bench.restart()
        collecting.wait_until_up()
        assert collecting.boot > before


@pytest.mark.needs(Part.POWER)
def test_a_power_cut_loses_no_more_than_the_last_moment(collecting: Box) -> None:
    """While the broker is away, so that all there is of the last minute is in the box."""
    bench, broker = collecting.bench, collecting.around.broker
    with collecting.nothing_lost():
        boot = collecting.boot
        broker.stop()
        collecting.wait_for_status(lambda _: collecting.held() > 300, 60, "values are held back")
        cut = time.time()
        bench.power_off()
        broker.start()
        wake(collecting)
        collecting.wait_for_every_driver()
        assert collecting.boot > boot
        collecting.wait_until_delivered()
        newest_ms = min(collecting.around.arrivals.newest_ms(boot, driver.prefix) for driver in WIRED)
        lost_s = cut - newest_ms / 1000
        allowed_s = DEADLINE_S + INTERVALS_MS["fast"] / 1000 * collecting.bench.declaration.patience
        collecting.measured(
            *("values lost by a power cut, of any device", f"the last {lost_s:.2f} s", f"≤ {allowed_s:.2f} s"),
            lost_s <= allowed_s,
        )


def wake(box: Box) -> None:
    """Where it can be without a battery, it is: the next test is about what comes of it."""
    if box.can(Part.CLOCK):
        box.bench.hide_time()
        box.bench.power_on(since=LONG_AGO)
    else:
        box.bench.power_on()
    box.wait_until_up()


@pytest.mark.needs(Part.CLOCK)
def test_a_box_that_wakes_in_1970_says_so_and_puts_it_right(collecting: Box) -> None:
    """Its battery is empty, and nobody tells it the time: since the power cut before, if there was one."""
    arrivals, broker = collecting.around.arrivals, collecting.around.broker
    if not collecting.bench.time_hidden:
        collecting.bench.power_off()
        wake(collecting)
    boot, now = collecting.boot, time.time()
    collecting.wait_for_every_driver()
    flagged = [value for driver in collecting.drivers for value in arrivals.of(driver.prefix)]
    assert flagged
    assert {value.body.get("clock") for value in flagged} == {"untrusted"}
    earlier_ms = max(arrivals.newest_ms(boot - 1, driver.prefix) for driver in WIRED)
    oldest_ms = min(value.timestamp_ms for value in flagged)
    assert oldest_ms / 1000 > earlier_ms / 1000 - TIME_KEPT_S, "it forgot the time it knew before"
    with collecting.nothing_lost():
        broker.stop()
        collecting.wait_for_status(lambda _: collecting.held() > 300, 60, "values are held back")
        collecting.bench.tell_time()
        collecting.wait_for_status(lambda status: status["gateway"]["clock_trusted"], 120, "its clock is right")
        arrivals.watch_backfill()
        backfilled = arrivals.backfilled
        broker.start()
        # What is delivered is at the broker, which may have it for a while until whoever watches is there again.
        arrivals.wait(lambda: arrivals.backfilled - backfilled > 200, collecting.patient(60), "backfilled values")
        collecting.wait_until_delivered()
        late = [value for value in arrivals.backfill() if value.boot == boot]
    assert late, "nothing was backfilled"
    assert {value.body.get("clock") for value in late} == {None}, "values of before aren't put right"
    assert all(now - 60 < value.timestamp_ms / 1000 < time.time() + 1 for value in late)


@pytest.mark.needs(Part.WATCHDOG)
def test_a_hung_kernel_is_reset_by_the_hardware(collecting: Box) -> None:
    with collecting.nothing_lost():
        boot, started = collecting.boot, collecting.bench.expect_start()
        collecting.bench.run(HANG)
        started(300)
        collecting.wait_until_up()
        assert collecting.boot > boot
