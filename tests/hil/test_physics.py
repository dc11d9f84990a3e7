"""The plant obeys the laws it claims to: balances close, counters only grow, everything stays within bounds."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hil.plant.conveyor import Conveyor
from hil.plant.filler import BOWL_L, Filler, State
from hil.plant.process import Process
from hil.plant.pump import FAULT_OVERCURRENT, NOMINAL_HZ, Pump
from hil.plant.tank import HEAT_CAPACITY_KJ, OVERFLOW_GUARD, Tank

SEEDS = st.integers(0, 10_000)


def disturb(process: Process, data: st.DataObject) -> None:
    """An operator who sets anything to anything."""
    tank = process.tanks[data.draw(st.integers(0, 1))]
    pump = process.pumps[data.draw(st.integers(0, 1))]
    tank.level_setpoint_percent = data.draw(st.floats(10, 90))
    tank.temperature_setpoint_c = data.draw(st.floats(5, 80))
    tank.inlet_automatic = data.draw(st.booleans())
    tank.valve_command_percent = data.draw(st.floats(0, 100))
    tank.heater_enabled = data.draw(st.booleans())
    pump.run_command = data.draw(st.booleans())
    pump.speed_setpoint_hz = data.draw(st.floats(0, 50))
    process.filler.run_command = data.draw(st.booleans())
    process.filler.speed_setpoint_bpm = data.draw(st.floats(0, 240))
    process.conveyor.run_command = data.draw(st.booleans())
    process.conveyor.speed_setpoint_m_min = data.draw(st.floats(0, 40))


@settings(max_examples=12)
@given(SEEDS, st.data())
def test_balances_close_and_bounds_hold_whatever_operators_do(seed: int, data: st.DataObject) -> None:
    process = Process(seed)
    filler, conveyor = process.filler, process.conveyor
    held = [tank.volume_l - tank.inlet_total_l + tank.outlet_total_l for tank in process.tanks]
    product = sum(tank.volume_l - tank.inlet_total_l for tank in process.tanks) + filler.bowl_l
    for _ in range(4):
        disturb(process, data)
        for _ in range(data.draw(st.integers(1, 40))):
            process.step(1.0)
            for tank, before in zip(process.tanks, held, strict=True):
                assert tank.volume_l - tank.inlet_total_l + tank.outlet_total_l == pytest.approx(before, abs=1e-6)
                assert -1e-9 <= tank.volume_l <= OVERFLOW_GUARD * tank.capacity_l + 1e-6
                assert min(tank.supply_c, tank.ambient_c) - 1 <= tank.temperature_c <= 95.0
                assert 0.0 <= tank.heater_kw <= tank.heater_max_kw
            for pump in process.pumps:
                assert 0.0 <= pump.speed_hz <= NOMINAL_HZ
                assert 0.0 <= pump.flow_l_s <= pump.wanted_l_s + 1.0
            assert -1e-9 <= filler.bowl_l <= BOWL_L
            assert filler.bottles_total == filler.bottles_good + filler.bottles_rejected
            assert conveyor.bottles_in == conveyor.bottles_out + conveyor.on_belt
    now = sum(tank.volume_l - tank.inlet_total_l for tank in process.tanks) + filler.bowl_l + filler.filled_l
    assert now == pytest.approx(product, abs=1e-6)


@settings(max_examples=8)
@given(SEEDS)
def test_counters_never_go_back(seed: int) -> None:
    process = Process(seed)

    def counters() -> list[float]:
        tanks = [total for tank in process.tanks for total in (tank.inlet_total_l, tank.outlet_total_l)]
        pumps = [count for pump in process.pumps for count in (pump.run_s, pump.starts)]
        filler, conveyor, meter = process.filler, process.conveyor, process.meter
        bottles = [filler.bottles_total, filler.bottles_good, filler.bottles_rejected, filler.batch_number]
        belt = [
            conveyor.bottles_in,
            conveyor.bottles_out,
            conveyor.lifetime_bottles,
            conveyor.encoder_ticks,
            conveyor.jams,
        ]
        return [*tanks, *pumps, *bottles, *belt, meter.active_energy_wh, meter.reactive_energy_varh]

    before = counters()
    for _ in range(300):
        process.step(1.0)
        after = counters()
        assert all(new >= old for old, new in zip(before, after, strict=True))
        before = after


def test_the_same_seed_gives_the_same_history() -> None:
    one, two, other = Process(7), Process(7), Process(8)
    for process in (one, two, other):
        process.step(120.0)
    assert one.meter.amps == two.meter.amps
    assert one.filler.last_fill_ml == two.filler.last_fill_ml
    assert one.meter.amps != other.meter.amps


def test_heat_goes_where_physics_sends_it() -> None:
    """One minute of full heating of a closed tank raises it by energy / (mass × heat capacity), less the losses."""
    tank = Process().tanks[0]
    tank.inlet_automatic, tank.valve_command_percent = False, 0.0
    tank.temperature_setpoint_c = 80.0
    tank.step(0.0, 5.0)  # the valve shuts
    start, energy = tank.temperature_c, 0.0
    for _ in range(600):
        tank.step(0.0, 0.1)
        energy += 0.1 * (tank.heater_kw - 0.15 * (tank.temperature_c - tank.ambient_c))
    assert tank.temperature_c - start == pytest.approx(energy / (tank.volume_l * HEAT_CAPACITY_KJ), rel=1e-3)


def test_the_controllers_hold_their_set_points() -> None:
    process = Process()
    process.step(600.0)
    temperatures, levels = [], []
    for _ in range(300):
        process.step(1.0)
        temperatures.append(process.tanks[0].temperature_c)
        levels.append(process.tanks[0].level_percent)
    assert sum(temperatures) / len(temperatures) == pytest.approx(38.0, abs=1.5)
    assert 58.0 < min(levels) < max(levels) < 72.0


def test_affinity_laws_and_ramp_of_a_pump() -> None:
    def settled(hertz: float) -> Pump:
        pump = Process(3).pumps[0]
        pump.speed_setpoint_hz = hertz
        for _ in range(200):
            pump.step(pump.wanted_l_s, False, 0.1)
        return pump

    slow, fast = settled(20.0), settled(40.0)
    assert fast.flow_l_s / slow.flow_l_s == pytest.approx(2.0)
    assert fast.pressure_bar / slow.pressure_bar == pytest.approx(4.0, rel=0.1)
    assert 4.0 < fast.power_kw / slow.power_kw < 8.0
    assert fast.vibration_mm_s > slow.vibration_mm_s
    fast.speed_setpoint_hz = 0.0
    fast.step(0.0, False, 0.5)
    assert fast.speed_hz == pytest.approx(36.0)


def test_a_starved_pump_cavitates() -> None:
    process = Process()
    tank, pump = process.tanks[0], process.pumps[0]
    tank.inlet_automatic, tank.valve_command_percent, tank.volume_l = False, 0.0, 0.5
    calm = pump.vibration_mm_s
    process.step(10.0)
    assert tank.volume_l == pytest.approx(0.0, abs=1e-9)
    assert pump.cavitating
    assert pump.warning
    assert pump.vibration_mm_s > calm + 2.0


def test_a_tripped_pump_stops_and_starts_again() -> None:
    pump = Process().pumps[0]
    starts = pump.starts
    pump.fault_code = FAULT_OVERCURRENT
    pump._repair_s = 5.0
    for _ in range(48):
        pump.step(0.0, False, 0.1)
    assert pump.fault
    assert pump.speed_hz == 0.0
    pump.reset_command = True
    for _ in range(50):
        pump.step(pump.wanted_l_s, False, 0.1)
    assert not pump.fault
    assert not pump.reset_command
    assert pump.starts == starts + 1
    assert pump.at_speed


def test_a_jam_stops_belt_and_filler_and_passes() -> None:
    process = Process()
    process.step(20.0)
    process.conveyor.jammed, process.conveyor._clear_s = True, 6.0
    process.step(2.0)
    assert process.conveyor.speed_m_min == 0.0
    assert process.filler.state is State.SUSPENDED
    process.step(15.0)
    assert not process.conveyor.jammed
    assert process.filler.state is State.EXECUTE


def test_an_empty_bowl_holds_the_filler() -> None:
    process = Process()
    for pump in process.pumps:
        pump.run_command = False
    process.step(90.0)
    assert process.filler.state is State.HELD
    assert process.filler.speed_bpm == 0.0


def test_the_filler_fills_what_is_asked_with_some_noise() -> None:
    filler: Filler = Process().filler
    filler.fill_setpoint_ml = 750.0
    fills = []
    for _ in range(600):
        filler.bowl_l = 100.0
        filler._fill_one()
        fills.append(filler.last_fill_ml)
    fills.sort()
    assert fills[300] == pytest.approx(750.0, abs=0.5)
    assert 1.0 < fills[570] - fills[300] < 4.0
    assert 0 < filler.bottles_rejected - 13_192 < 20


def test_bottles_take_their_time_on_the_belt() -> None:
    conveyor: Conveyor = Process().conveyor
    conveyor.step(1, 0.1)
    out = conveyor.bottles_out
    for _ in range(239):
        conveyor.step(0, 0.1)
    assert conveyor.bottles_out == out
    conveyor.step(0, 0.2)
    assert conveyor.bottles_out == out + 1  # 12 m at 30 m/min: 24 s


def test_the_meter_adds_up() -> None:
    meter = Process().meter
    start = meter.active_wh
    for _ in range(36_00):
        meter.step(96.5, 10.0, 0.1)
    assert (meter.active_wh - start) / 1000.0 == pytest.approx(99.8 / 10.0, rel=0.01)
    assert meter.total_w == pytest.approx(sum(meter.watts))
    assert meter.v12 == pytest.approx(math.sqrt(3.0) * 231.5, rel=0.02)
    assert 0.9 < meter.power_factor < 1.0
    assert 49.8 < meter.frequency_hz < 50.2


def test_long_steps_are_cut() -> None:
    process = Process()
    process.step(0.0)
    assert process.elapsed_s == 0.0
    process.step(12.34)
    assert process.elapsed_s == pytest.approx(12.34)


def test_a_tank_never_gives_what_it_has_not() -> None:
    tank: Tank = Process().tanks[0]
    tank.volume_l = 0.05
    assert tank.draw(2.0, 0.1) == pytest.approx(0.5)
    assert tank.draw(2.0, 0.0) == 0.0
