"""What a provisioning file says of the machine: each setting is applied or refused by itself."""

from __future__ import annotations

import os
import tomllib
from typing import Any

import pytest
from tidegate_appliance.places import Places
from tidegate_appliance.provisioning import MachineTables, tables

from gateway.ops.provisioning import Provisions, Setting
from tests.appliance.programs import Programs

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl ada@plant"


@pytest.fixture(autouse=True)
def root(monkeypatch: pytest.MonkeyPatch, programs: Programs) -> None:
    """On a box this is root's, and these programs talk to systemd."""
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    programs.replace("busctl", "systemctl", "hostnamectl")


def provision(places: Places, text: str) -> dict[str, Setting]:
    return {setting.name: setting for setting in MachineTables(places).provision(tomllib.loads(text))}


def outcomes(settings: dict[str, Setting]) -> dict[str, str]:
    return {name: setting.outcome for name, setting in settings.items()}


def test_everything_a_file_may_say_is_applied_and_a_second_time_unchanged(places: Places, programs: Programs) -> None:
    text = f"""
    [machine]
    hostname = "packing-3"
    timezone = "Europe/Berlin"
    [time]
    servers = ["ntp.plant.example", "192.168.1.1"]
    [[network]]
    interface = "eth0"
    address = "192.168.1.10/24"
    gateway = "192.168.1.1"
    dns = ["192.168.1.1"]
    [[network]]
    interface = "eth1"
    dhcp = true
    [ssh]
    authorized_keys = ["{KEY}"]
    [update]
    url = "https://updates.example.com/tidegate.raucb"
    """
    first = provision(places, text)
    assert list(first) == [
        "ssh authorized_keys",
        "network eth0",
        "network eth1",
        "machine hostname",
        "machine timezone",
        "time servers",
        "update url",
    ], "SSH and the network come first"
    assert set(outcomes(first).values()) == {"applied"}
    assert places.hostname.read_text() == "packing-3\n"
    assert os.readlink(places.localtime) == "/usr/share/zoneinfo/Europe/Berlin"
    assert "NTP=ntp.plant.example 192.168.1.1\n" in places.time_servers.read_text()
    fixed = (places.networks / "50-eth0.network").read_text()
    assert {"Name=eth0", "DHCP=no", "Address=192.168.1.10/24", "Gateway=192.168.1.1", "DNS=192.168.1.1"} <= set(
        fixed.splitlines()
    )
    assert "DHCP=yes\n" in (places.networks / "50-eth1.network").read_text()
    assert places.authorized_keys.read_text() == f"{KEY}\n"
    assert places.authorized_keys.stat().st_mode & 0o777 == 0o600
    assert places.update_url.read_text() == "https://updates.example.com/tidegate.raucb\n"
    calls = programs.calls
    assert sum(call.endswith("network1.Manager Reload") for call in calls) == 1
    assert "hostnamectl --transient hostname packing-3" in calls

    assert set(outcomes(provision(places, text)).values()) == {"unchanged"}
    assert programs.calls == calls, "nothing is restarted for nothing"


def test_what_is_wrong_is_refused_alone(places: Places) -> None:
    found = provision(
        places,
        """
        [machine]
        hostname = "Packing 3"
        timezone = "Europe/Berlin"
        colour = "red"
        [time]
        servers = ["ntp plant"]
        [[network]]
        interface = "eth0"
        address = "192.168.1.10/24"
        gateway = "10.0.0.1"
        [[network]]
        interface = "../eth1"
        dhcp = true
        [[network]]
        interface = "eth2"
        dhcp = true
        [ssh]
        authorized_keys = ["ssh-ed25519 short", "-----BEGIN OPENSSH PRIVATE KEY-----"]
        [update]
        url = "http://updates.example.com/"
        """,
    )
    assert outcomes(found) == {
        "ssh authorized_keys": "refused",
        "network eth0": "refused",
        "network ../eth1": "refused",
        "network eth2": "applied",
        "machine hostname": "refused",
        "machine timezone": "applied",
        "machine colour": "refused",
        "time servers": "refused",
        "update url": "refused",
    }
    assert found["machine colour"].mend == "it has hostname, timezone"
    assert "10.0.0.1" in found["network eth0"].said
    assert [path.name for path in places.networks.iterdir()] == ["50-eth2.network"]
    assert not places.authorized_keys.exists()


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("machine = 3", "machine"),
        ("ssh = ['a key']", "ssh"),
        ("network = 'eth0'", "network"),
        ("[[network]]\ndhcp = true", "network"),
        ("[[network]]\ninterface = 'eth0'", "network eth0"),
        ("[[network]]\ninterface = 'eth0'\ndhcp = 'yes'", "network eth0"),
        ("[[network]]\ninterface = 'eth0'\ndhcp = true\naddress = '192.168.1.10/24'", "network eth0"),
        ("[[network]]\ninterface = 'eth0'\naddress = '192.168.1.0/24'", "network eth0"),
        ("[machine]\nhostname = 7", "machine hostname"),
        ("[machine]\ntimezone = '../../etc/shadow'", "machine timezone"),
        ("[time]\nservers = 'ntp.example.com'", "time servers"),
        ("[time]\nservers = ['a.example', 'b.example', 'c.example', 'd.example', 'e.example']", "time servers"),
        ('[time]\nservers = ["a\\nNTP=b"]', "time servers"),
        ('[ssh]\nauthorized_keys = ["command=\\"sh\\" ssh-ed25519 AAAA"]', "ssh authorized_keys"),
        ("[update]\nurl = 'https://ada:secret@updates.example.com/t.raucb'", "update url"),
        ("[update]\nurl = 'https://updates.example.com/tidegate/'", "update url"),
    ],
)
def test_nonsense_is_refused_in_one_sentence_and_changes_nothing(places: Places, text: str, name: str) -> None:
    before = sorted(places.root.rglob("*"))
    found = provision(places, text)
    assert outcomes(found) == {name: "refused"}
    assert found[name].said
    assert "\n" not in found[name].said
    assert "secret" not in found[name].said
    assert sorted(places.root.rglob("*")) == before


def test_a_folder_of_updates_is_refused_with_what_to_write(places: Places) -> None:
    found = provision(places, "[update]\nurl = 'https://updates.example.com/tidegate/'")["update url"]
    assert found.said.endswith("/' leads to a folder, and updates come from a bundle's own address")
    assert found.mend == "write it as https://updates.example.com/tidegate.raucb"


def test_an_interface_that_isnt_there_is_set_and_said(places: Places) -> None:
    data = places.root / "run/udev/data"
    data.mkdir(parents=True)
    (data / "n2").write_text("E:ID_PATH=platform-fd580000\nE:SYSTEMD_ALIAS=/sys/subsystem/net/devices/end0\n")
    found = provision(places, "[[network]]\ninterface = 'eth0'\ndhcp = true\n[[network]]\ninterface='end0'\ndhcp=true")
    assert found["network eth0"].said == "by DHCP, once there is such an interface; there are end0"
    assert found["network end0"].said == "by DHCP"


def test_without_a_key_nobody_comes_in_any_more(places: Places, programs: Programs) -> None:
    provision(places, f"[ssh]\nauthorized_keys = ['{KEY}']")
    assert outcomes(provision(places, "[ssh]\nauthorized_keys = []")) == {"ssh authorized_keys": "applied"}
    assert not places.authorized_keys.exists()
    assert "systemctl stop ssh.service" in programs.calls


def test_no_time_servers_means_those_of_the_release_again(places: Places) -> None:
    provision(places, "[time]\nservers = ['ntp.example.com']")
    assert outcomes(provision(places, "[time]\nservers = []")) == {"time servers": "applied"}
    assert not places.time_servers.exists()


def test_a_program_that_fails_is_said_and_the_rest_goes_on(places: Places, programs: Programs) -> None:
    programs.replace("busctl", script="echo 'the bus is away' >&2; exit 1")
    programs.replace("hostnamectl", script="exit 1")
    found = provision(places, "[[network]]\ninterface='eth0'\ndhcp=true\n[machine]\nhostname='a'\ntimezone='UTC'")
    assert outcomes(found) == {
        "network eth0": "applied",
        "network": "refused",
        "machine hostname": "refused",
        "machine timezone": "applied",
    }
    assert "the bus is away" in found["network"].said


def test_who_isnt_root_changes_nothing(places: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert outcomes(provision(places, "[machine]\nhostname = 'a'\n[other]\nkey = 1")) == {"machine": "refused"}
    assert not places.hostname.exists()


def test_the_entry_point_makes_what_the_gateway_looks_for() -> None:
    made: Any = tables()
    assert isinstance(made, Provisions)
