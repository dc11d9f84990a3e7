"""The plant's devices and their tables, one table per kind of device."""

from __future__ import annotations

from hil.plant.filler import NOZZLES
from hil.plant.registers import DeviceMap, Row

TANK = (
    Row("level/percent", "ir:0", "float32", "level_reading_percent", unit="%", low=0, high=100),
    Row("level/volume", "ir:2", "float32", "volume_l", unit="L", low=0, high=600),
    Row("temperature/product", "ir:4", "float32", "temperature_reading_c", unit="Cel", low=0, high=95),
    Row("temperature/jacket", "ir:6", "float32", "jacket_c", unit="Cel", low=0, high=130),
    Row("inlet/flow", "ir:8", "float32", "inlet_l_s", unit="L/s", low=0, high=3),
    Row("outlet/flow", "ir:10", "float32", "outlet_l_s", unit="L/s", low=0, high=3),
    Row("heater/power", "ir:12", "float32", "heater_kw", unit="kW", low=0, high=125),
    Row("heater/output", "ir:14", "uint16", "heater_percent", scale=0.1, unit="%", low=0, high=100),
    Row("inlet/valve", "ir:15", "uint16", "valve_percent", scale=0.1, unit="%", low=0, high=100),
    Row("agitator/speed", "ir:16", "uint16", "agitator_rpm", scale=0.1, unit="/min", low=0, high=150),
    Row("agitator/current", "ir:17", "uint16", "agitator_current_a", scale=0.01, unit="A", low=0, high=10),
    Row("quality/ph", "ir:18", "uint16", "ph", scale=0.01, unit="[pH]", low=0, high=14),
    Row("inlet/total", "ir:20", "uint32", "inlet_total_l", scale=0.1, unit="L"),
    Row("outlet/total", "ir:22", "uint32", "outlet_total_l", scale=0.1, unit="L"),
    Row("alarms/level_high", "di:0", "bool", "level_high"),
    Row("alarms/level_low", "di:1", "bool", "level_low"),
    Row("alarms/temperature_high", "di:2", "bool", "temperature_high"),
    Row("inlet/refilling", "di:3", "bool", "refilling"),
    Row("level/setpoint", "hr:0", "uint16", "level_setpoint_percent", 0.1, "%", 10, 90, writable=True, group="slow"),
    Row(
        *("temperature/setpoint", "hr:1", "int16", "temperature_setpoint_c", 0.1, "Cel", 5, 80),
        writable=True,
        group="slow",
    ),
    Row(
        "inlet/valve_setpoint", "hr:2", "uint16", "valve_command_percent", 0.1, "%", 0, 100, writable=True, group="slow"
    ),
    Row(
        "agitator/setpoint", "hr:3", "uint16", "agitator_setpoint_rpm", 0.1, "/min", 0, 120, writable=True, group="slow"
    ),
    Row("inlet/automatic", "co:0", "bool", "inlet_automatic", writable=True, group="slow"),
    Row("heater/enabled", "co:1", "bool", "heater_enabled", writable=True, group="slow"),
    Row("product", "hr:10", "string", "product", length=8, group="slow"),
)

PUMP = (
    Row("speed/actual", "ir:0", "uint16", "speed_hz", 0.01, "Hz", 0, 50),
    Row("speed/shaft", "ir:1", "int16", "speed_rpm", unit="/min", low=-1500, high=1500),
    Row("motor/current", "ir:2", "uint16", "current_a", 0.01, "A", 0, 12),
    Row("motor/torque", "ir:3", "int16", "torque_percent", 0.1, "%", -150, 150),
    Row("motor/power", "ir:4", "float32", "power_kw", unit="kW", low=0, high=4),
    Row("motor/temperature", "ir:6", "int16", "motor_c", 0.1, "Cel", -20, 140),
    Row("flow", "ir:7", "uint16", "flow_l_s", 0.001, "L/s", 0, 2.5),
    Row("pressure", "ir:8", "int16", "pressure_bar", 0.001, "bar", -1, 6),
    Row("vibration", "ir:9", "uint16", "vibration_mm_s", 0.01, "mm/s", 0, 4.5, description="RMS, ISO 20816-3"),
    Row("dc_link", "ir:10", "uint16", "link_v", 0.1, "V", 0, 800),
    Row("status/ready", "ir:11.0", "bool", "ready"),
    Row("status/running", "ir:11.1", "bool", "running"),
    Row("status/at_speed", "ir:11.2", "bool", "at_speed"),
    Row("status/warning", "ir:11.6", "bool", "warning"),
    Row("status/fault", "ir:11.7", "bool", "fault"),
    Row("fault_code", "ir:12", "uint16", "fault_code"),
    Row("run_hours", "ir:16", "uint32", "run_hours", 0.01, "h", group="slow"),
    Row("starts", "ir:18", "uint16", "starts", group="slow"),
    Row("speed/setpoint", "hr:0", "uint16", "speed_setpoint_hz", 0.01, "Hz", 0, 50, writable=True, group="slow"),
    Row("run", "co:0", "bool", "run_command", writable=True, group="slow"),
    Row("reset", "co:1", "bool", "reset_command", writable=True, group="slow"),
)

FILLER = (
    Row("speed/actual", "hr:100", "float32", "speed_bpm", unit="/min", low=0, high=250),
    Row("fill/last", "hr:102", "float32", "last_fill_ml", unit="mL", low=0, high=1000),
    Row("fill/mean", "hr:104", "float32", "mean_fill_ml", unit="mL", low=0, high=1000),
    Row("fill/sigma", "hr:106", "float32", "sigma_fill_ml", unit="mL", low=0, high=20),
    Row("bowl/level", "hr:108", "float32", "bowl_percent", unit="%", low=0, high=100),
    Row("bowl/pressure", "hr:110", "float32", "bowl_pressure_bar", unit="bar", low=0, high=3),
    Row("bowl/temperature", "hr:112", "float32", "product_c", unit="Cel", low=0, high=95),
    Row("availability", "hr:114", "float32", "availability_percent", unit="%", low=0, high=100),
    Row("bottles/total", "hr:120", "uint32", "bottles_total"),
    Row("bottles/good", "hr:122", "uint32", "bottles_good"),
    Row("bottles/rejected", "hr:124", "uint32", "bottles_rejected"),
    Row("state", "hr:126", "uint16", "state", description="PackML: 2 stopped, 5 suspended, 6 execute, 11 held"),
    Row("reject_code", "hr:127", "uint16", "last_reject_code", description="1 under-filled, 2 over-filled"),
    *(Row(f"nozzles/{n + 1:02}", f"di:{n}", "bool", f"nozzle_open.{n}") for n in range(NOZZLES)),
    Row("speed/setpoint", "hr:200", "uint16", "speed_setpoint_bpm", 1, "/min", 0, 240, writable=True, group="slow"),
    Row("fill/setpoint", "hr:201", "uint16", "fill_setpoint_ml", 0.1, "mL", 100, 1000, writable=True, group="slow"),
    Row("run", "co:0", "bool", "run_command", writable=True, group="slow"),
    Row("batch/id", "hr:210", "string", "batch_id", length=8, group="slow"),
    Row("batch/recipe", "hr:218", "string", "recipe", length=8, group="slow"),
    Row("batch/count", "hr:226", "uint32", "batch_count", group="slow"),
    Row("batch/target", "hr:228", "uint32", "batch_target", 1, None, 10, 100_000, writable=True, group="slow"),
)

CONVEYOR = (
    Row("speed/actual", "ir:0", "float32", "speed_m_min", unit="m/min", low=0, high=45),
    Row("motor/current", "ir:2", "float32", "motor_a", unit="A", low=0, high=6),
    Row("motor/temperature", "ir:4", "int16", "motor_c", 0.1, "Cel", -20, 140),
    Row("belt/tension", "ir:5", "uint16", "tension_n", 0.1, "N", 0, 1000),
    Row("belt/position", "ir:6", "float64", "position_m", unit="m"),
    Row("belt/encoder", "ir:10", "int64", "encoder_ticks"),
    Row("bottles/in", "ir:14", "uint32", "bottles_in"),
    Row("bottles/out", "ir:16", "uint32", "bottles_out"),
    Row("bottles/lifetime", "ir:18", "uint64", "lifetime_bottles"),
    Row("bottles/on_belt", "ir:22", "uint16", "on_belt", low=0, high=150),
    Row("jams/count", "ir:23", "uint16", "jams"),
    Row("jams/duration", "ir:24", "uint16", "jam_s", 0.1, "s"),
    Row("eyes/infeed", "di:0", "bool", "eye_infeed"),
    Row("eyes/outfeed", "di:1", "bool", "eye_outfeed"),
    Row("jams/active", "di:2", "bool", "jammed"),
    Row("blocked", "di:3", "bool", "blocked"),
    Row("speed/setpoint", "hr:0", "float32", "speed_setpoint_m_min", 1, "m/min", 0, 40, writable=True, group="slow"),
    Row("run", "co:0", "bool", "run_command", writable=True, group="slow"),
    Row("jams/clear", "co:1", "bool", "clear_command", writable=True, group="slow"),
)

METER = (
    *(Row(f"voltage/l{n + 1}", f"ir:{2 * n}", "float32", f"volts.{n}", 1, "V", 200, 260) for n in range(3)),
    Row("voltage/l1_l2", "ir:6", "float32", "v12", 1, "V", 350, 450),
    Row("voltage/l2_l3", "ir:8", "float32", "v23", 1, "V", 350, 450),
    Row("voltage/l3_l1", "ir:10", "float32", "v31", 1, "V", 350, 450),
    *(Row(f"current/l{n + 1}", f"ir:{16 + 2 * n}", "float32", f"amps.{n}", 1, "A", 0, 630) for n in range(3)),
    Row("current/n", "ir:22", "float32", "neutral_a", 1, "A", 0, 630),
    *(Row(f"power/l{n + 1}", f"ir:{32 + 2 * n}", "float32", f"watts.{n}", 1, "W") for n in range(3)),
    Row("power/total", "ir:38", "float32", "total_w", unit="W"),
    Row("power/reactive", "ir:40", "float32", "reactive_var", unit="V.A{var}"),
    Row("power/apparent", "ir:42", "float32", "apparent_va", unit="V.A"),
    Row("power/factor", "ir:44", "float32", "power_factor", low=-1, high=1),
    Row("frequency", "ir:46", "float32", "frequency_hz", unit="Hz", low=49, high=51),
    Row("thd", "ir:48", "float32", "thd_percent", unit="%", low=0, high=8),
    Row("power/demand", "ir:50", "float32", "demand_w", unit="W"),
    Row("energy/active", "ir:64", "uint64", "active_energy_wh", unit="W.h"),
    Row("energy/reactive", "ir:68", "uint64", "reactive_energy_varh", unit="V.A.h{var}"),
    Row("cabinet", "ir:72", "int16", "cabinet_c", 0.1, "Cel", -20, 70, group="slow"),
    Row("identity/serial", "hr:1000", "string", "serial", length=10, group="slow"),
    Row("identity/eui64", "hr:1010", "uint64", "eui64", order="ABCD", group="slow"),
)

CHECKWEIGHER = (
    Row("weight", "weight", "float64", "reading_g", unit="g", low=0, high=3100),
    Row("stable", "stable", "bool", "stable"),
    Row("identity/serial", "serial_number", "string", "serial", group="slow"),
)

LABELLER = (
    Row("state", "State", "uint16", "state", description="PackML: 2 stopped, 5 suspended, 6 execute"),
    Row("rate", "Rate", "float64", "rate_lpm", unit="/min", low=0, high=300),
    Row("labels/total", "Labels.Total", "uint32", "labels_total"),
    Row("labels/bad", "Labels.Bad", "uint32", "labels_bad"),
    Row("labels/offset", "Labels.Offset", "float64", "offset_mm", unit="mm", count=3),
    Row("roll/length", "Roll.Length", "float64", "roll_m", unit="m", low=0, high=220),
    Row("roll/low", "Roll.Low", "bool", "roll_low"),
    Row("roll/number", "Roll.Number", "uint32", "rolls"),
    Row("glue/temperature", "Glue.Temperature", "float64", "glue_c", unit="Cel", low=0, high=200),
    Row("glue/setpoint", "Glue.Setpoint", "float64", "glue_setpoint_c", unit="Cel", low=20, high=190, writable=True),
    Row("run", "Run", "bool", "run_command", writable=True),
    Row("job", "Job", "string", "job"),
)

DEVICES = (
    DeviceMap("tank1", "tank", "tanks.0", "tank1", TANK, area="mixing"),
    DeviceMap("tank2", "tank", "tanks.1", "tank2", TANK, area="mixing"),
    DeviceMap("pump1", "pump", "pumps.0", "pumps", PUMP, unit=1, area="mixing"),
    DeviceMap("pump2", "pump", "pumps.1", "pumps", PUMP, unit=2, area="mixing"),
    DeviceMap("filler1", "filler", "filler", "filler1", FILLER, order="BADC", area="packaging", line="line1"),
    DeviceMap("conveyor1", "conveyor", "conveyor", "conveyor1", CONVEYOR, order="DCBA", area="packaging", line="line1"),
    DeviceMap(
        *("checkweigher1", "checkweigher", "checkweigher", "checkweigher1", CHECKWEIGHER),
        protocol="sics",
        area="packaging",
        line="line1",
    ),
    DeviceMap(
        *("labeller1", "labeller", "labeller", "labeller1", LABELLER), protocol="opcua", area="packaging", line="line1"
    ),
    DeviceMap("meter1", "meter", "meter", "meter1", METER, order="CDAB", area="utilities", refuses_gaps=True),
)
"""`pump1` and `pump2` are two units behind one gateway; everything else has a server of its own."""

ONE_OF_EACH = (
    DEVICES[0],
    DeviceMap("pump1", "pump", "pumps.0", "fieldbus", PUMP, protocol="rtu", unit=1, area="mixing"),
    *(device for device in DEVICES if device.protocol in ("sics", "opcua")),
)
"""A smaller plant: a device for each protocol, with the pump on a serial line."""

TAGS = sum(len(device.rows) for device in DEVICES)
