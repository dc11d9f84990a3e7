"""One measured run of an OPC UA subscription: a server whose items all change each interval, the gateway, a broker."""

from __future__ import annotations

import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from bench.processes import BenchError, Broker, Child, Helper

NAMESPACE = "http://bench.example/items"
ITEMS = 1000
INTERVAL_MS = 1000
_START_S = 30.0
_STEP_S = 0.01

_HEAD = """\
[gateway]
id = "bench"
enterprise = "acme"
site = "plant1"
data_dir = "{data_dir}"

[[sink]]
name = "broker"
type = "mqtt"
host = "127.0.0.1"
port = {broker_port}
granularity = "asset"
root = "uns"

[[link]]
name = "server"
driver = "opcua"
url = "opc.tcp://127.0.0.1:{server_port}/bench"
security_policy = "None"

[[device]]
name = "dev000"
link = "server"

  [[device.group]]
  name = "fast"
  interval_ms = {interval_ms}
"""

_TAG = """\
    [[device.group.tag]]
    name = "item{number}"
    node = "nsu={namespace};s=Item{number}"
    type = "float64"
"""


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The gateway under a subscription to `items` items that change every second."""

    items: int
    window_s: float
    values: int
    """Values the subscriber received in the window."""
    delivered: float
    """The same as a share of the changes the server made in it."""
    cpu_share: float
    """Of one core."""
    rss_mb: float
    pss_mb: float
    server_cpu_share: float


def configuration(server_port: int, broker_port: int, data_dir: Path) -> str:
    """The gateway's TOML. Everything not said is the product's default."""
    head = _HEAD.format(data_dir=data_dir, broker_port=broker_port, server_port=server_port, interval_ms=INTERVAL_MS)
    return head + "".join(_TAG.format(number=number, namespace=NAMESPACE) for number in range(ITEMS))


def subscribed(directory: Path, *, warm_s: float, window_s: float) -> Subscribed:
    """Run it, let it warm up, and measure a window."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    size = ["--items", str(ITEMS), "--interval-ms", str(INTERVAL_MS)]
    with (
        Helper("opcua_server", size, directory / "opcua_server.log") as server,
        Broker(directory) as broker,
        Helper("sink", ["--port", str(broker.port)], directory / "sink.log") as sink,
    ):
        data = directory / "data"
        data.mkdir()
        path = directory / "tidegate.toml"
        path.write_text(configuration(int(server.ready["port"]), broker.port, data))
        arguments = [sys.executable, "-m", "gateway", "run", "--config", str(path)]
        with Child(arguments, directory / "gateway.log", talks=False) as gateway:
            _await_values(sink, gateway)
            time.sleep(warm_s)
            began, cpu_s, server_s = time.monotonic(), gateway.usage().cpu_s, server.usage().cpu_s
            values, changes = sink.ask("counts")["values"], server.ask("counts")["changes"]
            time.sleep(window_s)
            values = sink.ask("counts")["values"] - values
            changes = server.ask("counts")["changes"] - changes
            elapsed = time.monotonic() - began
            memory = gateway.memory()
            gateway.check()
            return Subscribed(
                items=ITEMS,
                window_s=elapsed,
                values=values,
                delivered=values / (changes * ITEMS) if changes else 0.0,
                cpu_share=(gateway.usage().cpu_s - cpu_s) / elapsed,
                rss_mb=memory.rss_mb,
                pss_mb=memory.pss_mb,
                server_cpu_share=(server.usage().cpu_s - server_s) / elapsed,
            )


def _await_values(sink: Helper, gateway: Child) -> None:
    until = time.monotonic() + _START_S
    while sink.ask("counts")["values"] < ITEMS:
        gateway.check()
        if time.monotonic() > until:
            raise BenchError(f"not every value arrived {_START_S:g} s after the gateway started; see {gateway.log}")
        time.sleep(_STEP_S)
