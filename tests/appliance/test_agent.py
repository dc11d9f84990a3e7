"""The agent on a box with a real network: what it is asked for, what comes back by itself, what it refuses."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tidegate_appliance import network
from tidegate_appliance.agent import unconfirmed
from tidegate_appliance.agent.serve import LONGEST_LINE, serve
from tidegate_appliance.agent.state import parsed
from tidegate_appliance.places import Places

from gateway.ops.machine import Machine, MachineRefused, Network, Time
from tests.appliance.networked import Box, missing, running
from tests.appliance.programs import Programs

UNITS = Path(__file__).parents[2] / "systemd" / "appliance"
WHY_NOT = missing()
on_a_box = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")
pytestmark = pytest.mark.integration

STATIC = Network(dhcp=False, address="192.0.2.20/24", gateway="192.0.2.1", dns=("192.0.2.5", "192.0.2.6"))
MINUTES_S = 300.0


@pytest.fixture
async def box(tmp_path: Path) -> AsyncIterator[Box]:
    async with running(tmp_path / "box") as box:
        yield box


# -- network


@on_a_box
async def test_it_says_what_the_network_is(box: Box) -> None:
    assert isinstance(box.machine, Machine)
    eth0 = await box.until(lambda each: each.gateway is not None, "DHCP answers")
    assert (eth0.settings, eth0.gateway, eth0.dns) == (Network(dhcp=True), "192.0.2.1", ("192.0.2.53",))
    assert eth0.addresses[0].startswith("192.0.2.1")
    assert eth0.mac == subprocess.check_output(
        ["nsenter", "-t", str(box.pid), "-n", "ip", "-br", "link", "show", "eth0"], text=True
    ).split()[2]  # fmt: skip


@on_a_box
async def test_a_network_that_nobody_confirms_comes_back(box: Box) -> None:
    before = await box.until(lambda each: each.gateway is not None, "DHCP answers")
    waiting = await box.machine.try_network("eth0", STATIC, 6.0)
    assert (waiting.what, waiting.subject, waiting.address) == ("network", "eth0", "192.0.2.20")
    assert 4 < waiting.seconds_left <= 6
    eth0 = await box.until(lambda each: "192.0.2.20/24" in each.addresses, "the new address")
    assert (eth0.settings, eth0.dns) == (STATIC, STATIC.dns)
    assert not list(box.places.networks.iterdir()), "nothing outlives a restart"
    eth0 = await box.until(lambda each: before.addresses[0] in each.addresses, "the old address")
    assert "192.0.2.20/24" not in eth0.addresses
    assert eth0.settings == Network(dhcp=True)
    assert await box.machine.unconfirmed() is None
    with pytest.raises(MachineRefused, match="no change"):
        await box.machine.confirm()


@on_a_box
async def test_a_network_that_is_confirmed_stays_over_a_power_cut(box: Box) -> None:
    await box.machine.try_network("eth0", STATIC, MINUTES_S)
    await box.until(lambda each: "192.0.2.20/24" in each.addresses, "the new address")
    with pytest.raises(MachineRefused, match="isn't confirmed yet"):
        await box.machine.try_network("eth0", Network(dhcp=True), MINUTES_S)
    await box.machine.confirm()
    assert await box.machine.unconfirmed() is None
    assert box.asked[-1] == "systemctl stop tidegate-take-back.timer"
    assert not unconfirmed.network_trial("eth0", box.places).exists()
    assert (await box.eth0()).settings == STATIC
    box.cut_power()
    await box.start()
    eth0 = await box.until(lambda each: "192.0.2.20/24" in each.addresses, "the address that was confirmed")
    assert (eth0.settings, eth0.gateway) == (STATIC, "192.0.2.1")


@on_a_box
async def test_a_power_cut_takes_back_what_nobody_confirmed(box: Box) -> None:
    await box.machine.try_network("eth0", STATIC, MINUTES_S)
    await box.until(lambda each: "192.0.2.20/24" in each.addresses, "the new address")
    box.cut_power()
    await box.start()
    eth0 = await box.until(lambda each: each.gateway is not None, "DHCP answers")
    assert eth0.settings == Network(dhcp=True)
    assert "192.0.2.20/24" not in eth0.addresses
    assert await box.machine.unconfirmed() is None


@on_a_box
async def test_what_is_taken_back_leads_to_what_was_confirmed_before(box: Box) -> None:
    await box.machine.try_network("eth0", STATIC, MINUTES_S)
    await box.machine.confirm()  # before it begins to count
    await box.until(lambda each: "192.0.2.20/24" in each.addresses, "what is confirmed counts")
    await box.machine.try_network("eth0", Network(dhcp=True), MINUTES_S)
    await box.until(lambda each: "192.0.2.20/24" not in each.addresses, "DHCP")
    await box.machine.take_back()
    eth0 = await box.until(lambda each: "192.0.2.20/24" in each.addresses, "the address from before")
    assert eth0.settings == STATIC


@on_a_box
async def test_an_interface_that_isnt_there_is_refused(box: Box) -> None:
    with pytest.raises(MachineRefused, match="no interface eth7") as refused:
        await box.machine.try_network("eth7", STATIC, MINUTES_S)
    assert (refused.value.field, refused.value.mend) == ("interface", "there are: eth0, far0")
    assert not [line for line in box.asked if line.startswith("systemd-run")]


@on_a_box
async def test_what_somebody_wrote_by_hand_is_left_alone_and_said(box: Box) -> None:
    box.places.networks.joinpath("20-hand.network").write_text("[Match]\nName=eth0\n[Network]\nAddress=192.0.2.77/24\n")
    box.cut_power()
    await box.start()
    eth0 = await box.until(lambda each: "192.0.2.77/24" in each.addresses, "the address by hand")
    assert (eth0.settings, eth0.file) == (None, "/etc/systemd/network/20-hand.network")
    with pytest.raises(MachineRefused, match="was set by hand, in /etc/systemd/network/20-hand"):
        await box.machine.try_network("eth0", STATIC, MINUTES_S)


@pytest.mark.parametrize(
    "settings",
    [
        STATIC,
        Network(dhcp=True),
        Network(dhcp=True, dns=("192.0.2.5",)),
        Network(dhcp=False, address="10.1.2.3/8"),
        Network(dhcp=False, address="2001:db8::5/64", gateway="fe80::1", dns=("2001:db8::53",)),
    ],
)
def test_a_file_says_what_was_set(tmp_path: Path, settings: Network) -> None:
    places = Places(tmp_path)
    network.keep("eth0", settings, places)
    assert parsed(network.file_of("eth0", places)) == settings


# -- time, name, restart, erasing: beside a service manager that only writes down what it is asked for


@on_a_box
async def test_a_time_that_is_confirmed_stays(box: Box) -> None:
    wanted = Time("Europe/Berlin", ("ntp.example.com", "192.0.2.9"))
    waiting = await box.machine.try_time(wanted, MINUTES_S)
    assert (waiting.what, waiting.address) == ("time", None)
    await _counts(box)
    clock = (await box.machine.look()).clock
    assert (clock.settings, clock.source, clock.synchronised) == (wanted, "192.0.2.54", False)
    assert not box.places.time_servers.exists()
    await box.machine.confirm()
    assert "NTP=ntp.example.com 192.0.2.9" in box.places.time_servers.read_text()
    assert not unconfirmed.time_trial(box.places).exists()
    assert not box.places.timezone_before.is_symlink()
    assert (await box.machine.look()).clock.settings == wanted


def test_a_time_zone_is_confirmed_on_the_disk_not_in_memory(
    places: Places, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.replace("systemctl", "systemd-run")
    record = unconfirmed.Record.begun("time", "time", MINUTES_S, Time("Europe/Berlin", ()))
    unconfirmed.begin(record, places)
    unconfirmed.take_up(record, places)
    assert places.timezone_before.is_symlink()
    synced: list[tuple[Path, bool]] = []
    monkeypatch.setattr(
        unconfirmed, "sync_directory", lambda path: synced.append((path, places.timezone_before.is_symlink()))
    )
    unconfirmed.confirm(places)
    assert synced == [(places.timezone_before.parent, False)]


@on_a_box
async def test_a_time_that_nobody_confirms_comes_back(box: Box) -> None:
    await box.machine.try_time(Time("Europe/Berlin", ("192.0.2.9",)), 5.0)
    await _counts(box)
    assert os.readlink(box.places.localtime) == "/usr/share/zoneinfo/Europe/Berlin"
    await box.until_true(lambda: unconfirmed.current(box.places) is None)
    assert (await box.machine.look()).clock.settings == Time()
    assert not unconfirmed.time_trial(box.places).exists()


@on_a_box
async def test_a_power_cut_takes_back_a_time_zone(box: Box) -> None:
    await box.machine.try_time(Time("Europe/Berlin"), MINUTES_S)
    await _counts(box)
    box.cut_power()
    unit = (UNITS / "tidegate-timezone.service").read_text()
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart=")).removeprefix("ExecStart=")
    subprocess.run(command.replace("/data", str(box.places.data)).split(), check=True)
    await box.start()
    assert (await box.machine.look()).clock.settings == Time()


@on_a_box
async def test_a_name_a_restart_and_erasing(box: Box) -> None:
    await box.machine.set_hostname("press-7")
    assert box.places.hostname.read_text() == "press-7\n"
    assert box.asked[-1] == "hostnamectl --transient hostname press-7"
    for verb in ("reset", "wipe"):
        await getattr(box.machine, verb)()
        assert box.places.erase.read_text() == f"{verb}\n"
    await box.machine.restart()
    await box.until_asked("systemctl --no-block reboot", 3)


async def _counts(box: Box) -> None:
    """Until a change of time counts."""
    await box.until_asked("systemctl try-restart systemd-timesyncd.service")


# -- who and what is refused


def asked(places: Places, sent: bytes, allowed: frozenset[int] | None = None) -> dict[str, Any]:
    """The answer to what is sent over one connection."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        with contextlib.suppress(BrokenPipeError):
            ours.sendall(sent)
        ours.shutdown(socket.SHUT_WR)
        assert not serve(theirs, places, frozenset({os.getuid()}) if allowed is None else allowed)
        answer = b"".join(iter(lambda: ours.recv(4096), b"")) if theirs.fileno() < 0 else ours.recv(1 << 16)
    told = json.loads(answer)
    assert isinstance(told, dict)
    return told


TRY = {"verb": "try-network", "interface": "eth0", "within_s": 60, "gateway": None, "dns": []}


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (b"", "isn't one line"),
        (b'{"verb": "look"}', "isn't one line"),
        (b"x" * (LONGEST_LINE + 1), "isn't one line"),
        (b"nonsense\n", "isn't understood"),
        (b'["look"]\n', "isn't understood"),
        (b'{"verb": "shell"}\n', "isn't understood"),
        (b'{"verb": "look", "path": "/etc/shadow"}\n', "isn't understood"),
        (b'{"verb": "set-hostname", "name": 7}\n', "isn't understood"),
        (b'{"verb": "set-hostname", "name": "a;reboot"}\n', "isn't a host name"),
        (b'{"verb": "try-time", "timezone": "../../etc/passwd", "servers": [], "within_s": 60}\n', "no time zone"),
        (b'{"verb": "try-time", "timezone": "UTC", "servers": ["a b"], "within_s": 60}\n', "isn't a host"),
        (b'{"verb": "try-time", "timezone": "UTC", "servers": [], "within_s": 601}\n', "isn't understood"),
        (b'{"verb": "try-time", "timezone": "UTC", "servers": [], "within_s": 1}\n', "isn't understood"),
        (json.dumps({**TRY, "dhcp": "yes", "address": None}).encode() + b"\n", "isn't understood"),
        (json.dumps({**TRY, "dhcp": False, "address": "192.0.2.1/24\nDHCP=yes"}).encode() + b"\n", "isn't an address"),
        (
            json.dumps({**TRY, "dhcp": True, "address": None, "interface": "../eth0"}).encode() + b"\n",
            "isn't the name of a network interface",
        ),
    ],
)
def test_what_isnt_on_the_list_is_refused(tmp_path: Path, sent: bytes, says: str) -> None:
    told = asked(Places(tmp_path), sent)
    assert says in told["error"]
    assert told["mend"]
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"lock"}


def test_another_user_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    told = asked(Places(tmp_path), b'{"verb": "look"}\n', frozenset({os.getuid() + 1}))
    assert told["error"] == "this is for the gateway alone"
    assert not list(tmp_path.iterdir())
