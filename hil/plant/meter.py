"""The incoming feeder's energy meter: three phases, power, and counters that only grow.

Units: V, A, W, var, VA, Hz, Wh, varh, °C, s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from random import Random

from hil.plant.control import lag

SHARES = (0.345, 0.331, 0.324)
"""How the load is spread over the phases."""
DEMAND_TAU_S = 900.0


@dataclass(slots=True)
class Meter:
    """A meter without set points."""

    rng: Random
    volts: list[float] = field(default_factory=lambda: [230.0, 230.0, 230.0])
    amps: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    watts: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    neutral_a: float = 0.0
    reactive_var: float = 0.0
    frequency_hz: float = 50.0
    thd_percent: float = 2.1
    demand_w: float = 90_000.0
    active_wh: float = 5_312_886_412.0
    reactive_varh: float = 1_204_377_021.0
    cabinet_c: float = 31.0
    serial: str = "EM4-2207-00183"
    eui64: int = 0x70B3_D549_9A0C_41E7
    """Identity of the meter's radio: an integer that a double can't hold."""

    @property
    def total_w(self) -> float:
        return sum(self.watts)

    @property
    def apparent_va(self) -> float:
        return math.hypot(self.total_w, self.reactive_var)

    @property
    def power_factor(self) -> float:
        return self.total_w / self.apparent_va if self.apparent_va > 1.0 else 1.0

    def line_v(self, first: int, second: int) -> float:
        """Voltage between two phases that stand 120° apart."""
        a, b = self.volts[first], self.volts[second]
        return math.sqrt(a * a + b * b + a * b)

    @property
    def v12(self) -> float:
        return self.line_v(0, 1)

    @property
    def v23(self) -> float:
        return self.line_v(1, 2)

    @property
    def v31(self) -> float:
        return self.line_v(2, 0)

    @property
    def active_energy_wh(self) -> int:
        return int(self.active_wh)

    @property
    def reactive_energy_varh(self) -> int:
        return int(self.reactive_varh)

    def step(self, load_kw: float, motor_kw: float, dt: float) -> None:
        """Advance by `dt` seconds under `load_kw`, of which `motor_kw` runs motors (power factor 0.82)."""
        self.frequency_hz += 0.05 * (50.0 - self.frequency_hz) * dt + self.rng.gauss(0.0, 0.004)
        base_kw = 3.2 + 0.2 * self.rng.random()
        total_w = 1000.0 * (load_kw + base_kw)
        self.reactive_var = 1000.0 * (motor_kw * math.tan(math.acos(0.82)) + 0.3 * base_kw)
        for phase, share in enumerate(SHARES):
            sag_v = 0.00004 * total_w * share
            self.volts[phase] = lag(self.volts[phase], 233.0 - sag_v, 0.8, dt) + self.rng.gauss(0.0, 0.06)
            self.watts[phase] = total_w * share * (1.0 + self.rng.gauss(0.0, 0.002))
            self.amps[phase] = math.hypot(self.watts[phase], self.reactive_var * share) / self.volts[phase]
        one, two, three = self.amps
        unbalance = one * one + two * two + three * three - one * two - two * three - three * one
        self.neutral_a = math.sqrt(max(0.0, unbalance))
        self.thd_percent = max(0.0, lag(self.thd_percent, 1.6 + 0.05 * motor_kw, 5.0, dt) + self.rng.gauss(0.0, 0.005))
        self.demand_w = lag(self.demand_w, self.total_w, DEMAND_TAU_S, dt)
        self.active_wh += self.total_w * dt / 3600.0
        self.reactive_varh += self.reactive_var * dt / 3600.0
        self.cabinet_c = lag(self.cabinet_c, 26.0 + 0.00006 * self.total_w, 600.0, dt)
