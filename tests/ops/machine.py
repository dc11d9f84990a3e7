"""A machine as its maker writes it, but it is a file in the directory that ``MACHINE`` names.

It outlives the gateway, and takes back by itself what nobody confirmed, as a machine does.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gateway.ops.machine import Clock, Interface, MachineRefused, Network, State, Time, Unconfirmed

_FRESH: dict[str, Any] = {
    "hostname": "tidegate-0a1b2c",
    "network": {"dhcp": True, "address": None, "gateway": None, "dns": []},
    "time": {"timezone": "UTC", "servers": []},
    "waiting": None,
    "begun": [],
}


class FileMachine:
    def __init__(self, directory: Path) -> None:
        self._path = directory / "machine.json"
        if not self._path.exists():
            self._write(_FRESH)

    async def look(self) -> State:
        body = self._read()
        now = {key: body[key] for key in ("network", "time")}
        if body["waiting"] is not None:
            now[body["waiting"]["what"]] = body["waiting"]["settings"]
        network = Network(**{**now["network"], "dns": tuple(now["network"]["dns"])})
        clock = Time(now["time"]["timezone"], tuple(now["time"]["servers"]))
        address = "192.0.2.100/24" if network.dhcp else str(network.address)
        eth0 = Interface(
            "eth0", "02:00:00:00:00:01", True, (address, "fe80::1/64"), network.gateway or "192.0.2.1",
            network.dns or ("192.0.2.53",), network, None,
        )  # fmt: skip
        wlan0 = Interface(
            "wlan0", "02:00:00:00:00:02", False, (), None, (), None, "/etc/systemd/network/20-wlan.network"
        )
        return State(
            body["hostname"], (eth0, wlan0), Clock(clock, bool(clock.servers), next(iter(clock.servers), None))
        )

    async def unconfirmed(self) -> Unconfirmed | None:
        waiting = self._read()["waiting"]
        if waiting is None:
            return None
        address = waiting["settings"].get("address")
        return Unconfirmed(
            waiting["id"], waiting["what"], waiting["subject"], max(0.0, waiting["until"] - time.monotonic()),
            address and address.partition("/")[0],
        )  # fmt: skip

    async def try_network(self, interface: str, settings: Network, within_s: float) -> Unconfirmed:
        if interface != "eth0":
            raise MachineRefused(f"there is no interface {interface}", "there is: eth0", "interface")
        return await self._try("network", interface, settings, within_s)

    async def try_time(self, settings: Time, within_s: float) -> Unconfirmed:
        return await self._try("time", settings.timezone, settings, within_s)

    async def confirm(self) -> None:
        body = self._read()
        waiting = body["waiting"]
        if waiting is None:
            raise MachineRefused("no change of the machine waits to be confirmed")
        self._write({**body, waiting["what"]: waiting["settings"], "waiting": None})

    async def take_back(self) -> None:
        self._write({**self._read(), "waiting": None})

    async def set_hostname(self, name: str) -> None:
        if name == "flaw":
            raise RuntimeError("a flaw")
        self._write({**self._read(), "hostname": name})

    async def restart(self) -> None:
        self._begin("restart")

    async def reset(self) -> None:
        self._begin("reset")

    async def wipe(self) -> None:
        self._begin("wipe")

    async def _try(self, what: str, subject: str, settings: Network | Time, within_s: float) -> Unconfirmed:
        waiting = {
            "id": str(time.monotonic_ns()), "what": what, "subject": subject, "until": time.monotonic() + within_s,
            "settings": asdict(settings),
        }  # fmt: skip
        self._write({**self._read(), "waiting": waiting})
        found = await self.unconfirmed()
        assert found is not None
        return found

    def _begin(self, what: str) -> None:
        body = self._read()
        self._write({**body, "begun": [*body["begun"], what]})

    def _read(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(self._path.read_bytes())
        if body["waiting"] is not None and body["waiting"]["until"] < time.monotonic():
            body["waiting"] = None
            self._write(body)
        return body

    def _write(self, body: dict[str, Any]) -> None:
        draft = self._path.with_suffix(".new")
        draft.write_text(json.dumps(body))
        draft.replace(self._path)


def machine() -> FileMachine:
    """The entry point."""
    return FileMachine(Path(os.environ["MACHINE"]))


def publish(directory: Path) -> dict[str, str]:
    """A package that publishes it, below `directory`, as an appliance installs it: the environment of who finds it."""
    package = directory / "site" / "test_machine-1.dist-info"
    package.mkdir(parents=True)
    package.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: test-machine\nVersion: 1\n")
    package.joinpath("entry_points.txt").write_text("[tidegate.appliance]\nmachine = tests.ops.machine:machine\n")
    home = directory / "machine"
    home.mkdir()
    root = Path(__file__).parents[2]
    return {"PYTHONPATH": os.pathsep.join([str(directory / "site"), str(root)]), "MACHINE": str(home)}


def told(environment: dict[str, str]) -> dict[str, Any]:
    """What it holds, as a file."""
    body: dict[str, Any] = json.loads((Path(environment["MACHINE"]) / "machine.json").read_bytes())
    return body
