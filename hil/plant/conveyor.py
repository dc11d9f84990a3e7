"""A belt that carries bottles from the filler to the packer: transit, back-pressure, jams and photo eyes.

Units: m/min, bottles, A, °C, s.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from random import Random

from hil.plant.control import lag, limit, ramp

LENGTH_M = 12.0
MAX_M_MIN = 40.0
RAMP_M_MIN_S = 12.0
CAPACITY = 130
"""Bottles that stand on the belt shoulder to shoulder."""
RELEASE = 110
"""Below this the filler may start again."""
SECONDS_BETWEEN_JAMS = 240.0
TICKS_PER_M = 4096


@dataclass(slots=True)
class Conveyor:
    """The belt. Operators set `run_command`, `speed_setpoint_m_min` and `clear_command`."""

    rng: Random
    run_command: bool = True
    speed_setpoint_m_min: float = 30.0
    clear_command: bool = False
    """Clears a jam at once and falls back by itself."""

    speed_m_min: float = 30.0
    motor_a: float = 2.0
    motor_c: float = 41.0
    tension_n: float = 420.0
    position_m: float = 88_123_456.0
    bottles_in: int = 4_858_011
    bottles_out: int = 4_858_011
    """Both count from the same overhaul on, so their difference is what stands on the belt."""
    lifetime_base: int = 9_412_664_201
    jams: int = 87
    jammed: bool = False
    jam_s: float = 0.0
    """Length of the present or last jam."""
    eye_infeed: bool = False
    eye_outfeed: bool = False
    blocked: bool = False
    _queue: deque[float] = field(default_factory=deque)
    """Where each bottle stands, in m from the infeed, foremost first."""
    _clear_s: float = 0.0

    @property
    def on_belt(self) -> int:
        return len(self._queue)

    @property
    def running(self) -> bool:
        return self.speed_m_min > 0.1

    @property
    def lifetime_bottles(self) -> int:
        return self.lifetime_base + self.bottles_out

    @property
    def encoder_ticks(self) -> int:
        return int(self.position_m * TICKS_PER_M)

    @property
    def electrical_kw(self) -> float:
        return 0.69 * self.motor_a * 0.78

    def step(self, arriving: int, dt: float) -> None:
        """Advance by `dt` seconds while `arriving` bottles come from the filler."""
        self._jam(dt)
        target = limit(self.speed_setpoint_m_min, 0.0, MAX_M_MIN) if self.run_command and not self.jammed else 0.0
        self.speed_m_min = ramp(self.speed_m_min, target, RAMP_M_MIN_S * (6.0 if self.jammed else 1.0), dt)
        moved_m = self.speed_m_min / 60.0 * dt
        self.position_m += moved_m
        for index in range(len(self._queue)):
            self._queue[index] += moved_m
        left = 0
        while self._queue and self._queue[0] >= LENGTH_M:
            self._queue.popleft()
            left += 1
        self.bottles_out += left
        for number in range(arriving):
            self._queue.append(moved_m * (1.0 - (number + 1) / arriving))
        self.bottles_in += arriving
        self.eye_infeed = bool(arriving) or (self.blocked and bool(self._queue))
        self.eye_outfeed = bool(left) or (bool(self._queue) and self._queue[0] > LENGTH_M - 0.05)
        limit_now = RELEASE if self.blocked else CAPACITY
        self.blocked = self.jammed or self.on_belt >= limit_now or not self.running
        self._motor(dt)

    def _motor(self, dt: float) -> None:
        load = 0.4 + 0.6 * self.on_belt / CAPACITY
        running_a = 0.5 + 3.0 * load * (self.speed_m_min / MAX_M_MIN) if self.running else 0.0
        stalled_a = 7.5 if self.jammed and self.running else 0.0
        self.motor_a = max(0.0, lag(self.motor_a, max(running_a, stalled_a), 0.3, dt) + self.rng.gauss(0.0, 0.01))
        self.motor_c = lag(self.motor_c, 24.0 + 5.0 * self.motor_a**1.3, 180.0, dt)
        self.tension_n = lag(self.tension_n, 380.0 + 90.0 * load + (160.0 if self.jammed else 0.0), 1.0, dt)
        self.tension_n += self.rng.gauss(0.0, 0.6)

    def _jam(self, dt: float) -> None:
        if self.jammed:
            self.jam_s += dt
            self._clear_s -= dt
            if self.clear_command or self._clear_s <= 0.0:
                self.jammed = False
        elif self.running and self._queue and self.rng.random() < dt / SECONDS_BETWEEN_JAMS:
            self.jammed = True
            self.jams += 1
            self.jam_s = 0.0
            self._clear_s = self.rng.uniform(4.0, 9.0)
        self.clear_command = False
