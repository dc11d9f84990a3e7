"""A centrifugal pump on a frequency converter: ramps, the affinity laws, wear, cavitation and trips.

Units: Hz, L/s, bar, A, kW, mm/s (RMS), °C, s.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from hil.plant.control import lag, limit, ramp

NOMINAL_HZ = 50.0
NOMINAL_KW = 3.0
NOMINAL_L_S = 2.0
NOMINAL_BAR = 3.2
POLE_PAIRS = 2
RAMP_HZ_S = 8.0
POWER_FACTOR = 0.84
MAINS_V = 400.0
HOURS_BETWEEN_TRIPS = 0.35
"""Mean running time between trips: far more often than in life, so that one is seen."""
OVERTEMPERATURE_C = 120.0

FAULT_NONE = 0
FAULT_OVERCURRENT = 7
FAULT_OVERTEMPERATURE = 9
REPAIR_S = 12.0
"""How long the operators take to notice a trip and reset it."""


@dataclass(slots=True)
class Pump:
    """One pump. Operators set `run_command`, `speed_setpoint_hz` and `reset_command`."""

    rng: Random
    run_command: bool = True
    speed_setpoint_hz: float = 28.0
    reset_command: bool = False
    """Acts once and falls back by itself."""

    speed_hz: float = 28.0
    flow_l_s: float = 0.0
    pressure_bar: float = 0.0
    power_kw: float = 0.0
    current_a: float = 0.0
    vibration_mm_s: float = 1.0
    motor_c: float = 48.0
    link_v: float = 540.0
    """DC link of the converter."""
    run_s: float = 31_204.0 * 3600.0
    starts: int = 412
    fault_code: int = FAULT_NONE
    cavitating: bool = False
    wear: float = 0.2
    _repair_s: float = 0.0
    _was_running: bool = True

    @property
    def running(self) -> bool:
        return self.speed_hz > 0.1

    @property
    def ready(self) -> bool:
        return not self.fault

    @property
    def fault(self) -> bool:
        return self.fault_code != FAULT_NONE

    @property
    def at_speed(self) -> bool:
        return self.running and abs(self.speed_hz - self.speed_setpoint_hz) < 0.5

    @property
    def warning(self) -> bool:
        return self.cavitating or self.vibration_mm_s > 4.5 or self.motor_c > 100.0

    @property
    def speed_rpm(self) -> float:
        return 60.0 * self.speed_hz / POLE_PAIRS * (0.97 if self.running else 1.0)

    @property
    def run_hours(self) -> float:
        return self.run_s / 3600.0

    @property
    def torque_percent(self) -> float:
        speed = self.speed_hz / NOMINAL_HZ
        return 100.0 * self.power_kw / NOMINAL_KW / speed if speed > 0.01 else 0.0

    @property
    def wanted_l_s(self) -> float:
        """Flow at the present speed if the suction side can give it."""
        return NOMINAL_L_S * self.speed_hz / NOMINAL_HZ

    def step(self, flow_l_s: float, starved: bool, dt: float) -> None:
        """Advance by `dt` seconds while `flow_l_s`, no more than :attr:`wanted_l_s`, really passes.

        `starved` says that the suction side can't give what the pump would move.
        """
        self._guard(dt)
        wanted = self.wanted_l_s
        self.flow_l_s = flow_l_s
        self.cavitating = starved and self.running
        speed = self.speed_hz / NOMINAL_HZ
        load = flow_l_s / wanted if wanted > 0.0 else 0.0
        head = 0.1 if self.cavitating else 1.25 - 0.25 * load * load
        noise = self.rng.gauss(0.0, 0.01) if self.running else 0.0
        self.pressure_bar = max(0.0, NOMINAL_BAR * speed**2 * head + noise)
        self.power_kw = NOMINAL_KW * (0.12 * speed + 0.88 * speed**3 * (0.4 + 0.6 * load)) if self.running else 0.0
        volts = MAINS_V * max(speed, 0.1)
        self.current_a = self.power_kw * 1000.0 / (math.sqrt(3.0) * volts * POWER_FACTOR) if self.running else 0.0
        self.motor_c = lag(self.motor_c, 24.0 + 1.6 * self.current_a**2, 240.0, dt)
        self.link_v = 540.0 - 2.0 * self.current_a + self.rng.gauss(0.0, 0.8)
        level = 0.3 + (1.4 + 2.0 * self.wear) * speed**2 + (3.5 if self.cavitating else 0.0)
        vibration = lag(self.vibration_mm_s, level if self.running else 0.05, 1.5, dt)
        self.vibration_mm_s = max(0.0, vibration + 3.0 * noise)
        if self.running:
            self.run_s += dt
            self.wear = min(1.0, self.wear + dt * 1e-7)
        self.speed_hz = ramp(self.speed_hz, self._target_hz(), RAMP_HZ_S, dt)
        if self.running and not self._was_running:
            self.starts += 1
        self._was_running = self.running

    def _target_hz(self) -> float:
        return limit(self.speed_setpoint_hz, 0.0, NOMINAL_HZ) if self.run_command and not self.fault else 0.0

    def _guard(self, dt: float) -> None:
        if self.fault:
            self._repair_s -= dt
            cool = self.motor_c < OVERTEMPERATURE_C - 20.0
            if cool and (self.reset_command or self._repair_s <= 0.0):
                self.fault_code = FAULT_NONE
        elif self.running:
            if self.motor_c > OVERTEMPERATURE_C:
                self._trip(FAULT_OVERTEMPERATURE)
            elif self.rng.random() < dt / (HOURS_BETWEEN_TRIPS * 3600.0) * (1.0 + 4.0 * self.cavitating):
                self._trip(FAULT_OVERCURRENT)
        self.reset_command = False

    def _trip(self, code: int) -> None:
        self.fault_code = code
        self._repair_s = REPAIR_S
