"""What several machines have in common: limits, ramps, lags and a PI controller."""

from __future__ import annotations

import math
from dataclasses import dataclass


def limit(value: float, low: float, high: float) -> float:
    """`value`, held between `low` and `high`."""
    return low if value < low else high if value > high else value


def ramp(value: float, target: float, rate: float, dt: float) -> float:
    """`value` moved towards `target` by at most `rate` units a second."""
    step = rate * dt
    return target if abs(target - value) <= step else value + math.copysign(step, target - value)


def lag(value: float, target: float, tau_s: float, dt: float) -> float:
    """A first-order lag with the time constant `tau_s`, exact for any `dt`."""
    return target + (value - target) * math.exp(-dt / tau_s)


@dataclass(slots=True)
class PiController:
    """A PI controller with an output of 0 to 1, whose integral stops where the output does."""

    gain: float
    """Output per unit of error."""
    reset_s: float
    """Integral time."""
    integral: float = 0.0

    def step(self, error: float, dt: float) -> float:
        """The output for the next `dt` seconds."""
        proportional = self.gain * error
        self.integral = limit(self.integral + proportional * dt / self.reset_s, 0.0, 1.0)
        return limit(proportional + self.integral, 0.0, 1.0)
