from __future__ import annotations

from tests.drivers.ble import cost


async def test_two_hundred_sensors_are_nothing() -> None:
    """At 1 Hz; the bound is for a busy machine, the figures of a quiet one are in the README."""
    assert 200 * await cost.cost_us("ruuvi", cost.fresh()) < 0.05 * 1e6
    assert 200 * await cost.cost_us("bthome", cost.sealed(), encrypted=True) < 0.1 * 1e6
