"""From the plant's devices to the broker, whatever comes in between."""

from __future__ import annotations

import pytest

from hil.benches.configuration import RADIO, WIRED, Driver
from hil.benches.declaration import Part
from hil.tests.box import Box

EVERY_DRIVER = [
    *(pytest.param(driver, id=driver.name) for driver in WIRED),
    *(pytest.param(driver, id=driver.name, marks=pytest.mark.needs(Part.RADIO)) for driver in RADIO),
]


@pytest.mark.parametrize("driver", EVERY_DRIVER)
def test_every_value_arrives_at_the_broker_from(collecting: Box, driver: Driver) -> None:
    arrivals = collecting.around.arrivals
    values = arrivals.wait_for_good(driver.prefix, driver.tags, collecting.patient(60))
    before = max(value.timestamp_ms for value in values)
    arrivals.wait(
        lambda: max((value.timestamp_ms for value in arrivals.good(driver.prefix)), default=0) > before,
        collecting.patient(30),
        f"a newer good value of {driver.name}",
    )


def test_a_broker_outage_loses_nothing(collecting: Box) -> None:
    with collecting.nothing_lost():
        before = collecting.around.arrivals.backfilled
        collecting.around.broker.stop()
        collecting.wait_for_status(lambda _: collecting.held() > 300, 60, "values are held back")
        collecting.around.broker.start()
        collecting.around.arrivals.wait(
            lambda: collecting.around.arrivals.backfilled - before > 200, collecting.patient(60), "backfilled values"
        )


@pytest.mark.needs(Part.CABLE)
def test_a_pulled_network_cable_loses_nothing(collecting: Box) -> None:
    with collecting.nothing_lost():
        arrivals = collecting.around.arrivals
        backfilled, gone = arrivals.backfilled, arrivals.said_offline
        collecting.bench.cut_network()
        # Devices on the network can't be read meanwhile; those on serial lines go on.
        arrivals.wait(lambda: arrivals.said_offline > gone, collecting.patient(90), "the broker has noticed")
        collecting.bench.restore_network()
        arrivals.wait(lambda: arrivals.backfilled > backfilled, collecting.patient(90), "backfilled values")


@pytest.mark.needs(Part.SYSTEM)
def test_a_data_plane_that_hangs_is_started_again(collecting: Box) -> None:
    with collecting.nothing_lost():
        boot = collecting.boot
        collecting.bench.run("kill -STOP $(systemctl show -p MainPID --value tidegate.service)")
        collecting.wait_for_status(lambda status: status["gateway"]["boot"] > boot, 180, "another start")
    assert collecting.bench.run("systemctl show -p Result --value tidegate.service").out.strip() == "success"
