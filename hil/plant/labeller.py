"""A labeller behind the checkweigher, whose controller speaks OPC UA. Its states are PackML's (ISA-TR88.00.02).

Units: labels/min, m, °C, s.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hil.plant.control import lag, limit
from hil.plant.filler import State

LABEL_M = 0.112
ROLL_M = 220.0
LOW_M = 20.0
SPLICE_S = 3.0
"""A splice takes the next roll while bottles wait."""
GLUE_C = 155.0


@dataclass(slots=True)
class Labeller:
    """The machine. Operators set `run_command` and `glue_setpoint_c`."""

    rng: Random
    run_command: bool = True
    glue_setpoint_c: float = GLUE_C

    state: State = State.EXECUTE
    rate_lpm: float = 0.0
    glue_c: float = 154.0
    roll_m: float = 34.0
    rolls: int = 1_921
    labels_total: int = 4_855_007
    labels_bad: int = 1_204
    offset_mm: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    """Where the last label sat against its mark: horizontal, vertical, turn."""
    job: str = "B020417"
    _waiting: int = 0
    _splice_s: float = 0.0

    @property
    def roll_low(self) -> bool:
        return self.roll_m < LOW_M

    @property
    def roll_percent(self) -> float:
        return 100.0 * self.roll_m / ROLL_M

    def step(self, bottles: int, job: str, dt: float) -> None:
        """Advance by `dt` seconds, in which `bottles` of the batch `job` arrived."""
        self.job = job
        self._waiting = min(self._waiting + bottles, 200)
        self.glue_c = lag(self.glue_c, limit(self.glue_setpoint_c, 0.0, 190.0), 60.0, dt) + self.rng.gauss(0.0, 0.03)
        self.state = self._next_state(dt)
        labelled = self._waiting if self.state is State.EXECUTE else 0
        for _ in range(labelled):
            self._label_one()
        self.rate_lpm = max(0.0, lag(self.rate_lpm, 60.0 * labelled / dt, 4.0, dt))

    def _next_state(self, dt: float) -> State:
        self._splice_s = max(0.0, self._splice_s - dt)
        if not self.run_command:
            return State.STOPPED
        if self.roll_m < LABEL_M and not self._splice_s:
            self._splice_s = SPLICE_S
            self.roll_m = ROLL_M
            self.rolls += 1
        return State.SUSPENDED if self._splice_s else State.EXECUTE

    def _label_one(self) -> None:
        if self.roll_m < LABEL_M:
            return
        self._waiting -= 1
        self.roll_m -= LABEL_M
        self.labels_total += 1
        self.offset_mm = [self.rng.gauss(0.0, 0.15), self.rng.gauss(0.0, 0.1), self.rng.gauss(0.0, 0.05)]
        if abs(self.offset_mm[0]) > 0.5:
            self.labels_bad += 1
