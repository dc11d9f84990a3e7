"""What happens to a box that is switched off and on: in order, all of a sudden, without knowing what time it is."""

from __future__ import annotations

import time

import pytest

from hil.benches.configuration import INTERVALS_MS
from hil.benches.declaration import Part
from hil.tests.box import Box

DEADLINE_S = 0.25
"""`journal.deadline_s` by default: what is read is durable within this."""
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
        if collecting.can(Part.CLOCK):  # a box without a battery: the next test is about what comes of it
            bench.hide_time()
            bench.power_on(since=LONG_AGO)
        else:
            bench.power_on()
        collecting.wait_until_up()
        collecting.wait_for_every_driver()
        assert collecting.boot > boot
        collecting.wait_until_delivered()
        newest = collecting.around.arrivals.newest(boot)
        assert newest is not None
        lost_s = cut - newest.timestamp_ms / 1000
        allowed_s = DEADLINE_S + INTERVALS_MS["fast"] / 1000 * collecting.bench.declaration.patience
        collecting.measured(
            "values lost by a power cut", f"the last {lost_s:.2f} s", f"≤ {allowed_s:.2f} s", lost_s <= allowed_s
        )


@pytest.mark.needs(Part.CLOCK)
def test_a_box_that_wakes_in_1970_says_so_and_puts_it_right(collecting: Box) -> None:
    """Its battery is empty, and nobody tells it the time: it has done so since the power cut."""
    arrivals, broker = collecting.around.arrivals, collecting.around.broker
    boot, now = collecting.boot, time.time()
    collecting.wait_for_every_driver()
    flagged = [value for driver in collecting.drivers for value in arrivals.of(driver.prefix)]
    assert flagged
    assert {value.body.get("clock") for value in flagged} == {"untrusted"}
    assert min(value.timestamp_ms for value in flagged) / 1000 > now - 2 * 86400, "it forgot the time it knew before"
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
        mark, boot = collecting.bench.console.mark(), collecting.boot
        collecting.bench.run(HANG)
        collecting.bench.wait_for_start(mark, 300)
        collecting.wait_until_up()
        assert collecting.boot > boot
