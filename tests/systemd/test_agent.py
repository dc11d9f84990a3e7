"""The agent under the service manager that it is for: started by a connection, shut in, its timer a real one."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.machine import Machine, root_file_system
from tests.systemd.test_machine import ROOT, packages

__all__ = ["packages"]

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(400),
    pytest.mark.skipif(os.geteuid() != 0, reason="booting a machine takes root"),
]

PYTHON = "/usr/lib/tidegate/bin/python3"
ASK = """\
import socket, sys
with socket.socket(socket.AF_UNIX) as agent:
    agent.connect("/run/tidegate-agent/agent.sock")
    agent.sendall(sys.argv[1].encode() + b"\\n")
    print(agent.makefile().readline(), end="")
"""
SHIPPED = {
    "10-eth0.netdev": "[NetDev]\nName=eth0\nKind=veth\n[Peer]\nName=far0\n",
    "10-far0.network": "[Match]\nName=far0\n[Network]\nLinkLocalAddressing=ipv6\n",
    "80-tidegate.network": "[Match]\nName=eth0\n[Network]\nAddress=192.0.2.10/24\n",
}
TRY: dict[str, Any] = {
    "verb": "try-network", "interface": "eth0", "dhcp": False, "address": "192.0.2.20/24", "gateway": "192.0.2.1",
    "dns": ["192.0.2.5"],
}  # fmt: skip


@pytest.fixture(scope="module")
def machine(packages: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """With the package, and of the appliance's what the agent needs."""
    with Machine(root_file_system(), tmp_path_factory.mktemp("machine")) as booted:
        booted.put(packages["0.1.0"], "/root/tidegate.deb")
        booted.run("dpkg", "--install", "/root/tidegate.deb")
        library = booted.run(PYTHON, "-c", "import gateway, pathlib; print(pathlib.Path(gateway.__file__).parents[1])")
        booted.put(ROOT / "image/appliance/tidegate_appliance", f"{library}/tidegate_appliance")
        for unit in ("agent.socket", "agent@.service", "take-back.service", "timezone.service"):
            name = f"tidegate-{unit}"
            booted.put(ROOT / "systemd" / "appliance" / name, f"/usr/lib/systemd/system/{name}")
        booted.run("mkdir", "-p", "/data/config", "/data/identity", "/etc/systemd/timesyncd.conf.d")
        for name, text in SHIPPED.items():
            booted.write(f"/usr/lib/systemd/network/{name}", text)
        booted.write("/srv/ask.py", ASK)
        if not booted.place("/usr/lib/systemd/system/systemd-timesyncd.service").exists():
            booted.write("/usr/lib/systemd/system/systemd-timesyncd.service", "[Service]\nExecStart=sleep infinity\n")
        booted.run("systemctl", "daemon-reload")
        booted.run("systemctl", "start", "systemd-networkd.service", "tidegate-agent.socket")
        booted.until(lambda: "192.0.2.10/24" in _addresses(booted), "the network as it is shipped")
        yield booted


def ask(machine: Machine, user: str = "tidegate", **request: Any) -> Any:
    """The answer. Raises AssertionError if it is refused."""
    said = machine.run("setpriv", f"--reuid={user}", "--clear-groups", PYTHON, "/srv/ask.py", json.dumps(request))
    told = json.loads(said)
    assert "error" not in told, f"{told}\n{machine.run('journalctl', '--no-pager', '--lines=30')}"
    return told["answer"]


def _addresses(machine: Machine) -> str:
    told = json.loads(machine.run("networkctl", "--json=short", "status", "eth0", check=False) or "{}")
    found = [each for each in told.get("Addresses", ()) if each["Family"] == 2]
    return " ".join(f"{'.'.join(map(str, each['Address']))}/{each['PrefixLength']}" for each in found)


def test_it_looks(machine: Machine) -> None:
    state = ask(machine, verb="look")
    eth0 = next(each for each in state["interfaces"] if each["name"] == "eth0")
    assert eth0["addresses"][0] == "192.0.2.10/24"
    assert eth0["settings"]["dhcp"]
    assert state["hostname"] == machine.run("hostname")


def test_nobody_else_gets_in(machine: Machine) -> None:
    done = machine.attempt("setpriv", "--reuid=nobody", "--clear-groups", PYTHON, "/srv/ask.py", "{}")
    assert "PermissionError" in done.stdout


def test_a_network_that_nobody_confirms_comes_back_by_a_timer_of_the_system(machine: Machine) -> None:
    begun = time.monotonic()
    ask(machine, **TRY, within_s=8)
    machine.until(lambda: "192.0.2.20/24" in _addresses(machine), "the new address")
    assert machine.run("systemctl", "is-active", "tidegate-take-back.timer") == "active"
    machine.until(lambda: "192.0.2.10/24" in _addresses(machine), "the old address")
    assert time.monotonic() - begun >= 8
    machine.until(lambda: ask(machine, verb="unconfirmed") is None, "nothing waits")
    assert "was taken back, since nobody confirmed it" in machine.run("journalctl", "-u", "tidegate-take-back")


def test_a_network_that_is_confirmed_stays(machine: Machine) -> None:
    ask(machine, **TRY, within_s=300)
    machine.until(lambda: "192.0.2.20/24" in _addresses(machine), "the new address")
    ask(machine, verb="confirm")
    assert machine.run("systemctl", "is-active", "tidegate-take-back.timer", check=False) == "inactive"
    assert machine.run("ls", "/run/systemd/network") == ""
    machine.run("systemctl", "restart", "systemd-networkd.service")
    machine.until(lambda: "192.0.2.20/24" in _addresses(machine), "the address that was confirmed")


def test_time_and_name(machine: Machine) -> None:
    ask(machine, verb="try-time", timezone="Europe/Berlin", servers=["192.0.2.9"], within_s=300)
    machine.until(lambda: machine.place("/run/systemd/timesyncd.conf.d/trial.conf").exists(), "it counts")
    ask(machine, verb="confirm")
    assert "NTP=192.0.2.9" in machine.place("/etc/systemd/timesyncd.conf.d/servers.conf").read_text()
    assert machine.run("readlink", "/data/config/localtime") == "/usr/share/zoneinfo/Europe/Berlin"
    machine.run("ln", "-sf", "/data/identity/hostname", "/etc/hostname")  # as on a box
    ask(machine, verb="set-hostname", name="press-7")
    assert machine.run("hostname") == "press-7"
    assert machine.run("readlink", "/etc/hostname") == "/data/identity/hostname"
