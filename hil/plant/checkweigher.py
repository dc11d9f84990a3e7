"""A checkweigher behind the conveyor: weighs a bottle at a time and shows the last weight.

Units: g, s.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from hil.plant.control import lag

BOTTLE_G = 24.6
"""An empty bottle with its cap."""
DENSITY_G_ML = 1.031
SETTLING_S = 0.18
"""Time constant of the load cell."""
UNSTABLE_G = 0.5
"""A reading further from what lies on the plate isn't stable yet."""
CAPACITY_G = 3100.0


@dataclass(slots=True)
class Checkweigher:
    """The scale. Bottles pass over it one after the other; without bottles the plate is empty."""

    rng: Random
    reading_g: float = 0.0
    load_g: float = 0.0
    """What lies on the plate."""
    weighed: int = 4_858_011
    serial: str = "B804219377"

    @property
    def stable(self) -> bool:
        return abs(self.reading_g - self.load_g) < UNSTABLE_G

    @property
    def overloaded(self) -> bool:
        return self.reading_g > CAPACITY_G

    def step(self, bottles: int, fill_ml: float, dt: float) -> None:
        """Advance by `dt` seconds, in which `bottles` filled with about `fill_ml` each came onto the plate."""
        if bottles:
            self.weighed += bottles
            self.load_g = BOTTLE_G + DENSITY_G_ML * fill_ml + self.rng.gauss(0.0, 0.4)
        elif self.rng.random() < dt / 2.0:
            self.load_g = 0.0
        self.reading_g = lag(self.reading_g, self.load_g, SETTLING_S, dt) + self.rng.gauss(0.0, 0.02)
