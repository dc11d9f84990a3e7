"""Configurations for the devices of a `Field`: a read counter and as many registers as are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def configuration(
    data_dir: Path,
    ports: Sequence[int],
    broker_port: int,
    *,
    registers: int = 8,
    interval_ms: int = 100,
    timeout_ms: int = 500,
    sink: str = 'granularity = "asset"',
    extra: str = "",
) -> str:
    """One link and device per port, all from one template; `sink` and `extra` are lines of TOML."""
    tags = "".join(
        f'[[template.group.tag]]\nname = "r{i}"\naddress = "hr:{i}"\ntype = "uint16"\n' for i in range(4, registers)
    )
    devices = "".join(
        f'[[link]]\nname = "link{i}"\ndriver = "modbus"\ntransport = "tcp"\nhost = "127.0.0.1"\nport = {port}\n'
        f"timeout_ms = {timeout_ms}\n"
        f'[[device]]\nname = "dev{i}"\nlink = "link{i}"\ntemplate = "counter"\n'
        for i, port in enumerate(ports)
    )
    return f"""
[gateway]
id = "gw1"
enterprise = "acme"
site = "plant1"
data_dir = "{data_dir}"
clock = "trusted"
{extra}
[[sink]]
name = "plant"
type = "mqtt"
host = "127.0.0.1"
port = {broker_port}
{sink}
[[template]]
name = "counter"
driver = "modbus"
[[template.group]]
name = "main"
interval_ms = {interval_ms}
[[template.group.tag]]
name = "count"
address = "hr:0"
type = "uint64"
{tags}{devices}"""
