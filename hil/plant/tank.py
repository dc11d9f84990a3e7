"""A heated, stirred product tank: a mass balance and an energy balance.

Units: L, L/s, °C, kW, s. The product is taken as water: 1 kg/L, 4.186 kJ/(kg·K).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random

from hil.plant.control import PiController, lag, limit, ramp

HEAT_CAPACITY_KJ = 4.186
"""kJ per litre and kelvin."""
CUT_OUT_C = 90.0
"""The thermostat that opens the heater's contactor, whatever the controller says."""
OVERFLOW_GUARD = 0.98
"""The float switch that shuts the inlet, as a part of the capacity."""
STROKE_PERCENT_S = 30.0
SUPPLY_L_S = 2.6
"""Flow through the fully open inlet valve."""
LOSS_KW_K = 0.15
"""Heat lost to the hall per kelvin."""


@dataclass(slots=True)
class Tank:
    """One tank. What operators may set are the attributes down to `agitator_setpoint_rpm`."""

    rng: Random
    product: str
    level_setpoint_percent: float = 65.0
    temperature_setpoint_c: float = 38.0
    inlet_automatic: bool = True
    valve_command_percent: float = 0.0
    """Used while `inlet_automatic` is off."""
    heater_enabled: bool = True
    agitator_setpoint_rpm: float = 60.0

    capacity_l: float = 600.0
    supply_c: float = 17.0
    ambient_c: float = 22.0
    heater_max_kw: float = 120.0
    volume_l: float = 380.0
    temperature_c: float = 37.2
    valve_percent: float = 0.0
    inlet_l_s: float = 0.0
    outlet_l_s: float = 0.0
    inlet_total_l: float = 18_204.0
    outlet_total_l: float = 17_930.0
    heater_kw: float = 0.0
    agitator_rpm: float = 60.0
    jacket_c: float = 45.0
    refilling: bool = False
    ph: float = 3.4
    level_reading_percent: float = 0.0
    temperature_reading_c: float = 0.0
    _controller: PiController = field(default_factory=lambda: PiController(gain=0.35, reset_s=60.0, integral=0.4))

    @property
    def level_percent(self) -> float:
        return 100.0 * self.volume_l / self.capacity_l

    @property
    def heater_percent(self) -> float:
        return 100.0 * self.heater_kw / self.heater_max_kw

    @property
    def heater_active(self) -> bool:
        return self.heater_kw > 0.5

    @property
    def level_high(self) -> bool:
        return self.level_percent >= 90.0

    @property
    def level_low(self) -> bool:
        return self.level_percent <= 20.0

    @property
    def temperature_high(self) -> bool:
        return self.temperature_c >= 60.0

    @property
    def agitator_current_a(self) -> float:
        return 1.1 + 4.2 * (self.agitator_rpm / 120.0) ** 2 * (0.4 + 0.6 * self.level_percent / 100.0)

    @property
    def electrical_kw(self) -> float:
        return self.heater_kw + 0.69 * self.agitator_current_a * 0.8

    def draw(self, wanted_l_s: float, dt: float) -> float:
        """The flow in L/s that the tank can really give over the next `dt` seconds."""
        return limit(wanted_l_s, 0.0, self.volume_l / dt) if dt > 0 else 0.0

    def step(self, outlet_l_s: float, dt: float) -> None:
        """Advance by `dt` seconds while `outlet_l_s`, no more than :meth:`draw` gave, is drawn."""
        self._move_valve(dt)
        room = max(0.0, OVERFLOW_GUARD * self.capacity_l - self.volume_l + outlet_l_s * dt)
        self.inlet_l_s = min(SUPPLY_L_S * self.valve_percent / 100.0, room / dt)
        self.outlet_l_s = outlet_l_s
        before_l = self.volume_l
        self.volume_l = max(0.0, before_l + (self.inlet_l_s - outlet_l_s) * dt)
        self.inlet_total_l += self.inlet_l_s * dt
        self.outlet_total_l += outlet_l_s * dt
        self._heat(before_l, dt)
        self.agitator_rpm = ramp(self.agitator_rpm, self.agitator_setpoint_rpm, 8.0, dt)
        self.ph = limit(self.ph + self.rng.gauss(0.0, 0.002) + 0.002 * (3.4 - self.ph), 2.8, 4.0)
        self.level_reading_percent = self.level_percent + self.rng.gauss(0.0, 0.03)
        self.temperature_reading_c = self.temperature_c + self.rng.gauss(0.0, 0.02)

    def _move_valve(self, dt: float) -> None:
        if not self.inlet_automatic:
            command = self.valve_command_percent
            self.refilling = self.valve_percent > 1.0
        else:
            if self.level_percent < self.level_setpoint_percent - 4.0:
                self.refilling = True
            elif self.level_percent > self.level_setpoint_percent + 4.0:
                self.refilling = False
            command = 100.0 if self.refilling else 0.0
        self.valve_percent = ramp(self.valve_percent, limit(command, 0.0, 100.0), STROKE_PERCENT_S, dt)

    def _heat(self, before_l: float, dt: float) -> None:
        wanted = self._controller.step(self.temperature_setpoint_c - self.temperature_c, dt)
        covered = self.volume_l > 0.1 * self.capacity_l
        allowed = self.heater_enabled and covered and self.temperature_c < CUT_OUT_C
        self.heater_kw = self.heater_max_kw * wanted if allowed else 0.0
        inflow_l = self.inlet_l_s * dt
        if before_l + inflow_l > 0.0:
            self.temperature_c = (before_l * self.temperature_c + inflow_l * self.supply_c) / (before_l + inflow_l)
        if self.volume_l > 1.0:
            lost_kw = LOSS_KW_K * (self.temperature_c - self.ambient_c)
            self.temperature_c += (self.heater_kw - lost_kw) * dt / (self.volume_l * HEAT_CAPACITY_KJ)
        self.jacket_c = lag(self.jacket_c, self.temperature_c + 18.0 * self.heater_kw / self.heater_max_kw, 12.0, dt)
