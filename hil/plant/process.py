"""The plant as a whole: how tanks, pumps, filler, conveyor, checkweigher, labeller and meter act on each other."""

from __future__ import annotations

from random import Random

from hil.plant.checkweigher import Checkweigher
from hil.plant.conveyor import Conveyor
from hil.plant.filler import BOWL_L, Filler
from hil.plant.labeller import Labeller
from hil.plant.meter import Meter
from hil.plant.pump import Pump
from hil.plant.tank import Tank

LONGEST_STEP_S = 0.1
"""Longer steps are cut, so that the result hardly depends on how often the plant is stepped."""


class Process:
    """Two tanks feed the filler's bowl through two pumps; bottles leave on the conveyor, over the checkweigher, through
    the labeller; the meter sees it all.

    The same seed and the same calls give the same history.
    """

    def __init__(self, seed: int = 1) -> None:
        def rng(name: str) -> Random:
            return Random(f"{seed}:{name}")

        self.tanks = (
            Tank(rng("tank1"), product="SYRUP BASE", temperature_setpoint_c=38.0),
            Tank(
                rng("tank2"), product="TREATED WATER", temperature_setpoint_c=30.0, volume_l=430.0, temperature_c=30.4
            ),
        )
        self.pumps = (
            Pump(rng("pump1")),
            Pump(rng("pump2"), speed_setpoint_hz=26.0, run_s=11_870.5 * 3600.0, starts=96),
        )
        self.filler = Filler(rng("filler"))
        self.conveyor = Conveyor(rng("conveyor"))
        self.checkweigher = Checkweigher(rng("checkweigher"))
        self.labeller = Labeller(rng("labeller"))
        self.meter = Meter(rng("meter"))
        self.elapsed_s = 0.0

    def step(self, dt: float) -> None:
        """Advance by `dt` seconds (0 or more)."""
        while dt > 1e-9:
            part = min(dt, LONGEST_STEP_S)
            self._step(part)
            dt -= part

    def _step(self, dt: float) -> None:
        room_l = self.filler.room_l()
        wanted = sum(pump.wanted_l_s for pump in self.pumps)
        # The bowl's float valve closes over its last fifth.
        throttle = min(1.0, 5.0 * room_l / BOWL_L, room_l / dt / wanted) if wanted > 0.0 else 0.0
        inflow_l_s = heat = 0.0
        for tank, pump in zip(self.tanks, self.pumps, strict=True):
            wanted_l_s = pump.wanted_l_s * throttle
            flow = tank.draw(wanted_l_s, dt)
            heat += flow * tank.temperature_c
            inflow_l_s += flow
            tank.step(flow, dt)
            pump.step(flow, flow < 0.8 * wanted_l_s, dt)
        mixed_c = heat / inflow_l_s if inflow_l_s > 0.0 else self.filler.product_c
        bottles = self.filler.step(inflow_l_s, mixed_c, self.conveyor.blocked, dt)
        out = self.conveyor.bottles_out
        self.conveyor.step(bottles, dt)
        out = self.conveyor.bottles_out - out
        self.checkweigher.step(out, self.filler.mean_fill_ml, dt)
        self.labeller.step(out, self.filler.batch_id, dt)
        motor_kw = sum(pump.power_kw for pump in self.pumps) + self.filler.electrical_kw + self.conveyor.electrical_kw
        heat_kw = sum(tank.electrical_kw for tank in self.tanks)
        self.meter.step(heat_kw + motor_kw, motor_kw, dt)
        self.elapsed_s += dt
