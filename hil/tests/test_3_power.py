"""What happens to a box that is switched off and on: in order, all of a sudden, without knowing what time it is."""

from __future__ import annotations

import time

from hil.benches.configuration import SLOWEST_S
from hil.tests.box import Box

DEADLINE_S = 0.25
"""`journal.deadline_s` by default: what is read is durable within this."""


def test_a_restart_loses_nothing(collecting: Box) -> None:
    with collecting.nothing_lost():
        before = collecting.boot
        collecting.bench.restart()
        collecting.bench.wait_until_up()
        collecting.wait_for_status(lambda status: status["gateway"]["boot"] > before, 60, "it has started again")


def test_a_power_cut_loses_no_more_than_the_last_moment(collecting: Box) -> None:
    """While the broker is away, so that all there is of the last minute is in the box."""
    with collecting.nothing_lost():
        boot = collecting.boot
        collecting.around.broker.stop()
        collecting.wait_for_status(lambda _: collecting.held() > 300, 60, "values are held back")
        cut = time.time()
        collecting.bench.power_off()
        collecting.around.broker.start()
        collecting.bench.power_on()
        collecting.bench.wait_until_up()
        collecting.wait_for_every_driver()
        assert collecting.boot > boot
        collecting.wait_for_status(lambda _: collecting.held() < 200, 60, "what was held back has been delivered")
        newest = collecting.around.arrivals.newest(boot)
        assert newest is not None
        lost_s = cut - newest.timestamp_ms / 1000
        allowed_s = DEADLINE_S + SLOWEST_S / 5
        collecting.measured(
            "values lost by a power cut", f"the last {lost_s:.2f} s", f"≤ {allowed_s:.2f} s", lost_s <= allowed_s
        )
