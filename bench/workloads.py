"""What is measured: the workloads, and the gateway configuration each of them means.

A device is a block of holding registers that all change at every read. The first four are one uint64, the tag ``t``:
the simulator's CLOCK_MONOTONIC in µs when it answered. The rest are uint16 tags ``r4``, ``r5``, … So a device of 125
registers has 122 values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

CLOCK_REGISTERS = 4
BLOCK = 125
"""Registers in one Modbus read, the protocol's limit for function 03."""
ROOT = "uns"
LOCATION = ("acme", "plant1")
GROUP = "fast"


@dataclass(frozen=True, slots=True)
class Workload:
    """`devices` devices of `registers` registers, each on its own port.

    They are polled every `interval_ms`; 0 means again as soon as a poll is done.
    """

    name: str
    devices: int
    registers: int
    interval_ms: int
    granularity: str = "asset"

    @property
    def values(self) -> int:
        """Values in one poll of one device."""
        return self.registers - CLOCK_REGISTERS + 1

    @property
    def paths(self) -> tuple[str, ...]:
        """Tag paths in register order."""
        return ("t", *(f"r{number}" for number in range(CLOCK_REGISTERS, self.registers)))

    @property
    def reads(self) -> tuple[tuple[int, int], ...]:
        """(address, count) of each request of a poll."""
        return tuple((at, min(BLOCK, self.registers - at)) for at in range(0, self.registers, BLOCK))

    @property
    def interval_us(self) -> int:
        return self.interval_ms * 1000


W1 = Workload("w1", devices=10, registers=100, interval_ms=1000)
W2 = Workload("w2", devices=50, registers=125, interval_ms=1000)
W2_DISK = replace(W2, name="w2_disk")
W2_TAG = replace(W2, name="w2_tag", granularity="tag")
W3 = Workload("w3", devices=10, registers=1000, interval_ms=100)
W4 = Workload("w4", devices=1, registers=1000, interval_ms=0)


def device_name(index: int) -> str:
    return f"dev{index:03}"


_HEAD = """\
[gateway]
id = "bench"
enterprise = "{enterprise}"
site = "{site}"
data_dir = "{data_dir}"

[[sink]]
name = "broker"
type = "mqtt"
host = "127.0.0.1"
port = {broker_port}
granularity = "{granularity}"
root = "{root}"

[[template]]
name = "block"
driver = "modbus"
  [[template.group]]
  name = "{group}"
  interval_ms = {interval_ms}
"""

_TAG = """\
    [[template.group.tag]]
    name = "{path}"
    address = "hr:{address}"
    type = "{type}"
"""

_DEVICE = """\
[[link]]
name = "{name}"
driver = "modbus"
transport = "tcp"
host = "127.0.0.1"
port = {port}

[[device]]
name = "{name}"
link = "{name}"
template = "block"
"""


def configuration(workload: Workload, device_ports: Sequence[int], broker_port: int, data_dir: Path) -> str:
    """The gateway's TOML for this workload.

    Everything not said is the product's default, journal and retained values included.
    """
    enterprise, site = LOCATION
    head = _HEAD.format(
        enterprise=enterprise,
        site=site,
        data_dir=data_dir,
        broker_port=broker_port,
        granularity=workload.granularity,
        root=ROOT,
        group=GROUP,
        interval_ms=workload.interval_ms,
    )
    addresses = (0, *range(CLOCK_REGISTERS, workload.registers))
    tags = "".join(
        _TAG.format(path=path, address=address, type="uint64" if path == "t" else "uint16")
        for path, address in zip(workload.paths, addresses, strict=True)
    )
    devices = "".join(_DEVICE.format(name=device_name(index), port=port) for index, port in enumerate(device_ports))
    return head + tags + devices
