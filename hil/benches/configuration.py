"""The configuration every bench is tried with: one device of each protocol, and one broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hil.benches.bench import Wiring
from hil.plant.config import gateway_config
from hil.plant.maps import ONE_OF_EACH
from hil.radio.world import SENSOR

BEACON = "C0:00:00:00:00:03"
INTERVALS_MS = {"fast": 1000, "slow": 5000}
"""An emulated board is some twenty times slower than the one it stands for."""


@dataclass(frozen=True, slots=True)
class Driver:
    """One way to a device."""

    name: str
    """For people."""
    prefix: str
    """Of its topics, below the location."""
    tags: int


_PLANT_NAMES = {
    "modbus": "Modbus TCP",
    "rtu": "Modbus RTU on a USB adapter",
    "sics": "a scale on a serial port",
    "opcua": "OPC UA",
}
WIRED = tuple(
    Driver(
        _PLANT_NAMES[device.protocol],
        "/".join(level for level in (device.area, device.line, device.name) if level),
        len(device.rows),
    )
    for device in ONE_OF_EACH
)
RADIO = (Driver("a Bluetooth beacon", "cellar", 2), Driver("a Bluetooth sensor", "oven", 1))

_RADIO = f"""
[[link]]
name = "radio"
driver = "{{driver}}"
adapter = "{{adapter}}"

[[device]]
name = "cellar"
link = "radio"
address = "{BEACON}"
format = "bthome"

  [[device.group]]
  name = "adverts"
  interval_ms = 5000
  stale_ms = 30000

    [[device.group.tag]]
    name = "temperature"
    field = "temperature"
    type = "float64"
    unit = "Cel"

    [[device.group.tag]]
    name = "rssi"
    field = "rssi"
    type = "int8"

[[device]]
name = "oven"
link = "radio"
address = "{SENSOR}"
timeout_ms = 10000

  [[device.group]]
  name = "process"
  interval_ms = 5000

    [[device.group.tag]]
    name = "temperature"
    characteristic = "2A6E"
    type = "float64"
    unit = "Cel"
"""


def configuration(wiring: Wiring, ports: Mapping[str, int], broker_port: int, *, radio: bool) -> str:
    """A whole ``tidegate.toml``. `ports`: endpoint → TCP port of this machine."""
    text = gateway_config(
        ports,
        wiring.serial,
        broker_port=broker_port,
        broker_host=wiring.host,
        host=wiring.host,
        data_dir=Path(wiring.data_dir),
        intervals_ms=INTERVALS_MS,
        devices=ONE_OF_EACH,
        clock=wiring.clock,
    )
    return text + (_RADIO.format(driver=wiring.radio, adapter=wiring.adapter) if radio else "")
