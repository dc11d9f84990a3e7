"""The machine itself: what makes sense of its settings, changes that come back, and the gateway beside one."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import Refused
from gateway.ops.machine import (
    Machine,
    MachineRefused,
    Machines,
    Network,
    Time,
    Turn,
    check_hostname,
    check_interface,
)
from gateway.ops.machine.changing import machine
from tests.ops.machine import FileMachine, publish, told
from tests.support.configuration import configuration
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import free_port

STATIC = Network(dhcp=False, address="192.0.2.20/24", gateway="192.0.2.1", dns=("192.0.2.5",))


# -- what makes sense


@pytest.mark.parametrize(
    "settings",
    [
        Network(dhcp=True),
        Network(dhcp=True, dns=("192.0.2.5", "2001:db8::1")),
        STATIC,
        Network(dhcp=False, address="10.0.0.1/31", gateway="10.0.0.0"),
        Network(dhcp=False, address="2001:db8::2/64", gateway="fe80::1"),
        Time(),
        Time("Europe/Berlin", ("ntp.example.com", "192.0.2.9", "2001:db8::1")),
    ],
)
def test_what_makes_sense_is_taken(settings: Network | Time) -> None:
    settings.check()


@pytest.mark.parametrize(
    ("settings", "field", "says"),
    [
        (Network(dhcp=True, address="192.0.2.20/24"), "address", "comes from the DHCP server"),
        (Network(dhcp=True, gateway="192.0.2.1"), "gateway", "comes from the DHCP server"),
        (Network(dhcp=False), "address", "there is no address"),
        (Network(dhcp=False, address="192.0.2.20"), "address", "has no prefix"),
        (Network(dhcp=False, address="192.0.2.20/33"), "address", "isn't an address"),
        (Network(dhcp=False, address="192.0.2.20/32"), "address", "/32 is no prefix"),
        (Network(dhcp=False, address="192.0.2.0/24"), "address", "network's own address"),
        (Network(dhcp=False, address="192.0.2.255/24"), "address", "broadcast address"),
        (Network(dhcp=False, address="127.0.0.5/8"), "address", "can't be the address of one machine"),
        (Network(dhcp=False, address="224.0.0.5/24"), "address", "can't be the address of one machine"),
        (Network(dhcp=False, address="192.0.2.20/24\n[Link]"), "address", "isn't an address"),
        (Network(dhcp=False, address="fe80::1%eth0/64"), "address", "isn't an address"),
        (Network(dhcp=False, address="192.0.2.20/24", gateway="198.51.100.1"), "gateway", "isn't in 192.0.2.0/24"),
        (Network(dhcp=False, address="192.0.2.20/24", gateway="192.0.2.20"), "gateway", "is the machine itself"),
        (Network(dhcp=False, address="192.0.2.20/24", gateway="192.0.2.255"), "gateway", "broadcast address"),
        (Network(dhcp=False, address="192.0.2.20/24", gateway="fe80::1"), "gateway", "isn't in"),
        (Network(dhcp=True, dns=("ns.example.com",)), "dns", "isn't an address"),
        (Network(dhcp=True, dns=("192.0.2.1",) * 5), "dns", "5 name servers are too many"),
        (Network(dhcp=True, dns=("fe80::1%eth0",)), "dns", "isn't an address"),
        (Network(dhcp=False, address="192.0.2.20/255.255.255.0"), "address", "isn't an address"),
        (Network(dhcp=False, address="fe80::1%a\nDHCP=yes/64"), "address", "isn't an address"),
        (Time("Mars/Olympus"), "timezone", "there is no time zone"),
        (Time("../etc/shadow"), "timezone", "there is no time zone"),
        (Time(servers=("ntp.example.com:123",)), "servers", "isn't a host"),
        (Time(servers=("a b",)), "servers", "isn't a host"),
        (Time(servers=("%H",)), "servers", "isn't a host"),
        (Time(servers=("",)), "servers", "isn't a host"),
        (Time(servers=("a",) * 5), "servers", "too many"),
    ],
)
def test_what_makes_no_sense_is_refused_by_field(settings: Network | Time, field: str, says: str) -> None:
    with pytest.raises(MachineRefused, match=says) as refused:
        settings.check()
    assert refused.value.field == field
    assert refused.value.mend


@pytest.mark.parametrize(
    "name", ["Press7", "press_7", "-press", "press-", "", "a.b", "x" * 64, "localhost", "77", "a\n"]
)
def test_names_that_are_no_host_names(name: str) -> None:
    with pytest.raises(MachineRefused):
        check_hostname(name)


def test_names() -> None:
    check_hostname("press-7")
    check_interface("enp1s0.7")
    for name in ("", "../eth0", "eth0*", "e" * 16, "[Match]", "eth 0"):
        with pytest.raises(MachineRefused):
            check_interface(name)


# -- changes


class Beside:
    """The room beside a machine, and what it told."""

    def __init__(self, directory: Path) -> None:
        self.machine = FileMachine(directory)
        self.turns: asyncio.Queue[Turn] = asyncio.Queue()
        self.machines = Machines(self.turns.put, lambda: self.machine)

    async def told(self) -> tuple[str, bool]:
        turn = await asyncio.wait_for(self.turns.get(), 20)
        return turn.state, turn.by_itself


@pytest.fixture
async def beside(tmp_path: Path) -> AsyncIterator[Beside]:
    beside = Beside(tmp_path)
    yield beside
    await beside.machines.close()


def test_here_is_no_appliance() -> None:
    assert machine() is None
    assert isinstance(FileMachine, type)
    assert not Machines(partial(asyncio.sleep, 0), lambda: None).here


async def test_a_change_is_confirmed(beside: Beside) -> None:
    assert isinstance(beside.machine, Machine)
    change = await beside.machines.try_network("eth0", STATIC, 60)
    assert await beside.told() == ("pending", False)
    waiting = await beside.machines.unconfirmed()
    assert waiting is not None
    assert (waiting.id, waiting.address) == (change.id, "192.0.2.20")
    with pytest.raises(MachineRefused, match="isn't confirmed yet"):
        await beside.machines.try_time(Time(), 60)
    assert (await beside.machines.confirm()).id == change.id
    assert await beside.told() == ("confirmed", False)
    assert await beside.machines.unconfirmed() is None
    assert (await beside.machines.look()).interfaces[0].settings == STATIC
    await beside.machines.try_time(Time("Europe/Berlin"), 60)
    assert await beside.told() == ("pending", False)
    await beside.machines.take_back()
    assert await beside.told() == ("taken back", False)
    assert (await beside.machines.look()).clock.settings == Time()


async def test_what_the_machine_takes_back_is_told(beside: Beside) -> None:
    await beside.machines.try_network("eth0", STATIC, 0.2)
    assert await beside.told() == ("pending", False)
    assert await beside.told() == ("taken back", True)
    assert await beside.machines.unconfirmed() is None
    with pytest.raises(MachineRefused, match="no change"):
        await beside.machines.confirm()


async def test_a_change_that_is_gone_cant_be_confirmed(beside: Beside) -> None:
    await beside.machines.try_network("eth0", STATIC, 60)
    assert await beside.told() == ("pending", False)
    await beside.machine.take_back()  # by somebody else, or since it didn't work
    with pytest.raises(MachineRefused, match="no change"):
        await beside.machines.confirm()
    assert await beside.told() == ("taken back", True)
    assert await beside.machines.unconfirmed() is None


async def test_a_change_outlives_the_gateway_that_made_it(beside: Beside, tmp_path: Path) -> None:
    change = await beside.machines.try_network("eth0", STATIC, 60)
    await beside.machines.close()
    next_start = Beside(tmp_path)
    next_start.machines.start()
    assert await next_start.told() == ("pending", False)
    found = await next_start.machines.unconfirmed()
    assert found is not None
    assert found.id == change.id
    await next_start.machines.confirm()
    await next_start.machines.close()


async def test_a_flaw_of_the_appliance_is_one_sentence(beside: Beside, caplog: pytest.LogCaptureFixture) -> None:
    with pytest.raises(MachineRefused, match="has a flaw"):
        await beside.machines.do(lambda machine: machine.set_hostname("flaw"))
    assert any("RuntimeError: a flaw" in str(record.exc_text or record.exc_info) for record in caplog.records)


# -- through the one door


@pytest.mark.integration
async def test_the_control_api_and_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = publish(tmp_path)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    text = configuration(tmp_path / "data", [free_port()], free_port())
    with GatewayProcess(tmp_path, text) as gateway:

        async def tidegate(*words: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, "-m", "gateway", "machine", *words, "--config", str(gateway.config)]
            return await asyncio.to_thread(
                partial(
                    subprocess.run, command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL
                )
            )  # fmt: skip

        async def refused(method: str, path: str, body: Any = None) -> tuple[int, str]:
            with pytest.raises(Refused) as caught:
                await asyncio.to_thread(gateway.client.call, method, f"/v1/machine{path}", None, body)
            return caught.value.status, str(caught.value)

        await gateway.until(lambda body: True, "it answers")
        shown = await tidegate("status")
        assert shown.returncode == 0, shown.stderr
        assert "tidegate-0a1b2c\nUTC, servers by DHCP" in shown.stdout
        assert "eth0\tDHCP\tup\t02:00:00:00:00:01\t192.0.2.1\t192.0.2.53\t192.0.2.100/24, fe80::1/64" in shown.stdout
        assert "wlan0\tby hand, in /etc/systemd/network/20-wlan.network\tdown" in shown.stdout

        assert (await tidegate("network", "eth0")).returncode == 2
        wrong = await tidegate("network", "eth0", "--address", "192.0.2.20/24", "--gateway", "10.0.0.1")
        assert (wrong.returncode, "gateway: the gateway 10.0.0.1 isn't in" in wrong.stderr) == (1, True)
        static = ("network", "eth0", "--address", "192.0.2.20/24", "--gateway", "192.0.2.1", "--dns", "192.0.2.5")
        done = await tidegate(*static, "--json", "--confirm-within", "600")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["address"] == "192.0.2.20"
        assert told(environment)["network"]["dhcp"], "it isn't kept yet"
        again = await tidegate("time", "--timezone", "Europe/Berlin")
        assert (again.returncode, "isn't confirmed yet" in again.stderr) == (5, True)
        assert "taken back in" in (await tidegate("status")).stderr
        assert json.loads((await tidegate("confirm", "--json")).stdout) == {"appliance": True, "unconfirmed": None}
        assert told(environment)["network"]["address"] == "192.0.2.20/24"
        assert (await tidegate("confirm")).returncode == 5

        assert (await tidegate("time", "--server", "192.0.2.9")).returncode == 0
        assert (await tidegate("take-back")).returncode == 0
        assert (await tidegate("time", "--server", "192.0.2.9")).returncode == 0
        assert (await tidegate("confirm")).returncode == 0
        assert "192.0.2.9: synchronised with 192.0.2.9" in (await tidegate("status")).stdout

        assert (await tidegate("hostname", "Press_7")).returncode == 1
        assert json.loads((await tidegate("hostname", "press-7", "--json")).stdout)["hostname"] == "press-7"
        assert (await tidegate("restart")).returncode == 2
        assert (await tidegate("restart", "--yes")).returncode == 0
        for how in ("reset", "wipe"):
            assert (await tidegate(how)).returncode == 2, "nobody can be asked"
            other = await tidegate(how, "--hostname", "tidegate-0a1b2c")
            assert (other.returncode, "isn't this machine's host name" in other.stderr) == (1, True)
            assert (await tidegate(how, "--hostname", "press-7")).returncode == 0
        assert told(environment)["begun"] == ["restart", "reset", "wipe"]

        assert await refused("PUT", "/network/eth9", {"dhcp": True}) == (422, "there is no interface eth9")
        assert (await refused("PUT", "/network/eth0", {"dhcp": True, "within_s": 601}))[0] == 422
        assert (await refused("PUT", "/hostname", {"hostname": "flaw"}))[0] == 409

        rows = await asyncio.to_thread(gateway.client.get, "/v1/audit", action="machine", limit=100)
        seen = [(row["action"], row["subject"], row["outcome"]) for row in reversed(rows["rows"])]
        assert seen[:3] == [
            ("machine.network", "eth0", "begun"),
            ("machine.network", "eth0", "to be confirmed"),
            ("machine.time", "Europe/Berlin", "begun"),
        ]
        assert ("machine.time", "Europe/Berlin", "refused") in seen
        assert ("machine.network", "eth0", "confirmed") in seen
        assert ("machine.time", "UTC", "taken back") in seen
        assert ("machine.wipe", "press-7", "begun") in seen
        assert ("machine.wipe", "press-7", "under way") in seen
        events = await asyncio.to_thread(gateway.client.get, "/v1/events/recent")
        states = [each["change"]["state"] for each in events if each["event"] == "machine"]
        assert states == ["pending", "confirmed", "pending", "taken-back", "pending", "confirmed"]


@pytest.mark.integration
async def test_where_there_is_no_appliance_it_says_so(tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, configuration(tmp_path / "data", [free_port()], free_port())) as gateway:
        await gateway.until(lambda body: True, "it answers")
        body = await asyncio.to_thread(gateway.client.get, "/v1/machine")
        assert (body["appliance"], body["interfaces"], body["clock"]) == (False, [], None)
        with pytest.raises(Refused) as refused:
            await asyncio.to_thread(gateway.client.call, "PUT", "/v1/machine/network/eth0", None, {"dhcp": True})
        assert (refused.value.status, refused.value.code) == (501, "no-appliance")
        assert "operating system" in (refused.value.mend or "")
        rows = await asyncio.to_thread(gateway.client.get, "/v1/audit", action="machine")
        assert rows["rows"] == []
