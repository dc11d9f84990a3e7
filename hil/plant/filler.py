"""A rotary filler with a product bowl and twelve nozzles; its states are PackML's (ISA-TR88.00.02).

Units: L, mL, bottles/min, s.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from random import Random

from hil.plant.control import lag, limit, ramp

NOZZLES = 12
MAX_BPM = 240.0
RAMP_BPM_S = 25.0
TOLERANCE_ML = 4.0
"""A bottle off its target by more is rejected."""
BOWL_L = 120.0
BOWL_MINIMUM_L = 15.0
RECIPES = (("LEMON 500", 500.0), ("ORANGE 500", 500.0), ("COLA 330", 330.0), ("WATER 750", 750.0))


class State(enum.IntEnum):
    """The PackML states this machine knows."""

    STOPPED = 2
    SUSPENDED = 5
    EXECUTE = 6
    HELD = 11


def _biases() -> list[float]:
    return [0.0] * NOZZLES


@dataclass(slots=True)
class Filler:
    """The machine. Operators set `run_command`, `speed_setpoint_bpm`, `fill_setpoint_ml` and `batch_target`."""

    rng: Random
    run_command: bool = True
    speed_setpoint_bpm: float = 180.0
    fill_setpoint_ml: float = 500.0
    batch_target: int = 600

    state: State = State.EXECUTE
    speed_bpm: float = 150.0
    bowl_l: float = 70.0
    bowl_pressure_bar: float = 1.1
    product_c: float = 37.0
    last_fill_ml: float = 500.0
    mean_fill_ml: float = 500.0
    sigma_fill_ml: float = 1.2
    bottles_total: int = 4_871_203
    bottles_good: int = 4_858_011
    bottles_rejected: int = 13_192
    """`bottles_total` is always the sum of good and rejected."""
    last_reject_code: int = 0
    """1: under-filled, 2: over-filled."""
    batch_number: int = 20_417
    batch_count: int = 0
    recipe_index: int = 0
    filled_l: float = 0.0
    """Product that left in bottles since the start."""
    executing_s: float = 0.0
    elapsed_s: float = 0.0
    nozzle_open: list[bool] = field(default_factory=lambda: [False] * NOZZLES)
    _bias_ml: list[float] = field(default_factory=_biases)
    _fraction: float = 0.0
    _square: float = 1.5
    _at: int = 0

    @property
    def recipe(self) -> str:
        return RECIPES[self.recipe_index][0]

    @property
    def batch_id(self) -> str:
        return f"B{self.batch_number:06d}"

    @property
    def bowl_percent(self) -> float:
        return 100.0 * self.bowl_l / BOWL_L

    @property
    def availability_percent(self) -> float:
        return 100.0 * self.executing_s / self.elapsed_s if self.elapsed_s else 100.0

    @property
    def electrical_kw(self) -> float:
        return 0.8 + 4.2 * self.speed_bpm / MAX_BPM

    def room_l(self) -> float:
        """What the bowl can still take."""
        return BOWL_L - self.bowl_l

    def step(self, inflow_l_s: float, inflow_c: float, blocked: bool, dt: float) -> int:
        """Advance by `dt` seconds and return the good bottles put on the conveyor.

        `inflow_l_s` at `inflow_c` reaches the bowl; `blocked` says that the conveyor can't take bottles.
        """
        self.elapsed_s += dt
        inflow_l = inflow_l_s * dt
        if inflow_l > 0.0:
            self.product_c = (self.bowl_l * self.product_c + inflow_l * inflow_c) / (self.bowl_l + inflow_l)
        self.bowl_l = min(BOWL_L, self.bowl_l + inflow_l)
        self.state = self._next_state(blocked)
        target = limit(self.speed_setpoint_bpm, 0.0, MAX_BPM) if self.state is State.EXECUTE else 0.0
        self.speed_bpm = ramp(self.speed_bpm, target, RAMP_BPM_S, dt)
        if self.state is State.EXECUTE:
            self.executing_s += dt
        self._fraction += self.speed_bpm / 60.0 * dt
        good = 0
        while self._fraction >= 1.0:
            self._fraction -= 1.0
            good += self._fill_one()
        self._nozzles()
        self.bowl_pressure_bar = lag(self.bowl_pressure_bar, 0.9 + 0.004 * self.bowl_percent, 2.0, dt)
        self.bowl_pressure_bar += self.rng.gauss(0.0, 0.002)
        return good

    def _next_state(self, blocked: bool) -> State:
        if not self.run_command:
            return State.STOPPED
        if blocked:
            return State.SUSPENDED
        low = BOWL_MINIMUM_L if self.state is not State.HELD else 2.0 * BOWL_MINIMUM_L
        return State.HELD if self.bowl_l < low else State.EXECUTE

    def _fill_one(self) -> int:
        """Fill one bottle; 1 if it's good, 0 if it's rejected or the bowl is empty."""
        nozzle = self._at
        self._at = (self._at + 1) % NOZZLES
        self._bias_ml[nozzle] = limit(self._bias_ml[nozzle] + self.rng.gauss(0.0, 0.02), -1.0, 1.0)
        volume_ml = self.fill_setpoint_ml + self._bias_ml[nozzle] + self.rng.gauss(0.0, 1.3)
        if self.rng.random() < 0.003:
            volume_ml -= self.rng.uniform(5.0, 40.0)
        volume_ml = limit(volume_ml, 0.0, self.bowl_l * 1000.0)
        self.bowl_l -= volume_ml / 1000.0
        self.filled_l += volume_ml / 1000.0
        self.last_fill_ml = volume_ml
        deviation = volume_ml - self.fill_setpoint_ml
        self.mean_fill_ml += 0.02 * (volume_ml - self.mean_fill_ml)
        self._square += 0.02 * (deviation * deviation - self._square)
        self.sigma_fill_ml = self._square**0.5
        self.bottles_total += 1
        if abs(deviation) > TOLERANCE_ML:
            self.bottles_rejected += 1
            self.last_reject_code = 1 if deviation < 0 else 2
            return 0
        self.bottles_good += 1
        self.batch_count += 1
        if self.batch_count >= self.batch_target:
            self._next_batch()
        return 1

    def _next_batch(self) -> None:
        self.batch_number += 1
        self.batch_count = 0
        self.recipe_index = (self.recipe_index + 1) % len(RECIPES)
        self.fill_setpoint_ml = RECIPES[self.recipe_index][1]
        self.mean_fill_ml = self.fill_setpoint_ml

    def _nozzles(self) -> None:
        """Two thirds of the carousel's turn are spent filling."""
        moving = self.speed_bpm > 1.0
        for nozzle in range(NOZZLES):
            place = (nozzle + self._at + self._fraction) % NOZZLES
            self.nozzle_open[nozzle] = moving and place < NOZZLES * 2 / 3
