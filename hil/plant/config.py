"""The gateway's configuration for the plant, generated from the devices' tables."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hil.plant.maps import DEVICES, ONE_OF_EACH
from hil.plant.opcua import NAMESPACE
from hil.plant.registers import DeviceMap, Row

INTERVALS_MS = {"fast": 500, "slow": 2000}
_DRIVERS = {"modbus": "modbus", "rtu": "modbus", "opcua": "opcua", "sics": "serial"}
"""Protocol → driver."""


@dataclass(frozen=True, slots=True)
class Characters:
    """How characters travel on a serial line, 8 data bits each: both of its ends must agree."""

    baud: int
    parity: Literal["none", "even"]


_CHARACTERS = {"rtu": Characters(19200, "even"), "sics": Characters(9600, "none")}
"""Protocol → what is usual: MODBUS over Serial Line V1.02 §2.5.1, and what scales are delivered with."""
LINES = {device.endpoint: _CHARACTERS[device.protocol] for device in ONE_OF_EACH if device.protocol in _CHARACTERS}
"""The serial lines of the smaller plant."""
GATEWAY, ENTERPRISE, SITE, SINK = "demo", "tidewater", "bottling", "broker"


def gateway_config(
    ports: Mapping[str, int],
    paths: Mapping[str, str],
    *,
    broker_port: int,
    data_dir: Path,
    host: str = "127.0.0.1",
    broker_host: str = "127.0.0.1",
    granularity: str = "tag",
    ledger_interval_s: float = 2.0,
    intervals_ms: Mapping[str, int] | None = None,
    devices: Sequence[DeviceMap] = DEVICES,
    clock: str = "trusted",
) -> str:
    """A `tidegate.toml` that collects every tag of the devices.

    `ports` maps endpoints to TCP ports, `paths` to serial ones.
    """
    intervals = {**INTERVALS_MS, **(intervals_ms or {})}
    lines = [
        "[gateway]",
        f"id = {_text(GATEWAY)}",
        f"enterprise = {_text(ENTERPRISE)}",
        f"site = {_text(SITE)}",
        f"data_dir = {_text(str(data_dir))}",
        f"clock = {_text(clock)}",
        "",
        "[[sink]]",
        f"name = {_text(SINK)}",
        f"host = {_text(broker_host)}",
        f"port = {broker_port}",
        f"granularity = {_text(granularity)}",
        f"ledger_interval_s = {ledger_interval_s}",
        "reconnect_max_s = 2",
    ]
    for endpoint, protocol in {device.endpoint: device.protocol for device in devices}.items():
        lines += ["", "[[link]]", f"name = {_text(endpoint)}", f"driver = {_text(_DRIVERS[protocol])}"]
        match protocol:
            case "modbus":
                lines += ['transport = "tcp"', f"host = {_text(host)}", f"port = {ports[endpoint]}"]
            case "rtu":
                lines += ['transport = "rtu"', *_line(paths[endpoint], protocol)]
            case "opcua":
                url = f"opc.tcp://{host}:{ports[endpoint]}/"
                lines += [f"url = {_text(url)}", 'security_policy = "None"']
            case "sics":
                lines += _line(paths[endpoint], protocol)
    kinds: dict[str, DeviceMap] = {}
    for device in devices:
        kinds.setdefault(device.kind, device)
        lines += ["", "[[device]]", f"name = {_text(device.name)}", f"link = {_text(device.endpoint)}"]
        lines += [f"area = {_text(device.area)}"] + ([f"line = {_text(device.line)}"] if device.line else [])
        lines += [f"template = {_text(device.kind)}"]
        match device.protocol:
            case "modbus" | "rtu":
                lines += [f"unit = {device.unit}", f"word_order = {_text(device.order)}"]
            case "sics":
                lines += ['preset = "sics"']
    for kind, device in kinds.items():
        lines += ["", "[[template]]", f"name = {_text(kind)}", f"driver = {_text(_DRIVERS[device.protocol])}"]
        for group in dict.fromkeys(row.group for row in device.rows):
            lines += ["", "  [[template.group]]", f"  name = {_text(group)}", f"  interval_ms = {intervals[group]}"]
            if device.protocol == "sics":
                lines += ['  mode = "poll"']
            for row in device.rows:
                if row.group == group:
                    lines += ["", "    [[template.group.tag]]", *(f"    {line}" for line in _tag(device, row))]
    return "\n".join(lines) + "\n"


def _line(path: str, protocol: str) -> list[str]:
    characters = _CHARACTERS[protocol]
    return [f"device = {_text(path)}", f"baud = {characters.baud}", f"parity = {_text(characters.parity)}"]


def _tag(device: DeviceMap, row: Row) -> Iterator[str]:
    yield f"name = {_text(row.path)}"
    match device.protocol:
        case "modbus" | "rtu":
            yield f"address = {_text(row.address)}"
        case "opcua":
            yield f"node = {_text(f'nsu={NAMESPACE};s={row.address}')}"
        case "sics":
            yield f"field = {_text(row.address)}"
    yield f"type = {_text(row.type)}"
    if row.scale != 1.0:
        yield f"scale = {row.scale}"
    if row.unit is not None:
        yield f"unit = {_text(row.unit)}"
    if row.low is not None:
        yield f"low = {row.low}"
    if row.high is not None:
        yield f"high = {row.high}"
    if row.length is not None:
        yield f"length = {row.length}"
    if row.order is not None:
        yield f"word_order = {_text(row.order)}"
    if row.count is not None:
        yield f"count = {row.count}"
    if row.writable:
        yield "writable = true"
    if row.description is not None:
        yield f"description = {_text(row.description)}"


def _text(text: str) -> str:
    """A TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(text)
