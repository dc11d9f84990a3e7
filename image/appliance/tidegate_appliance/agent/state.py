"""The machine as it is: what systemd-networkd, systemd-timesyncd and the kernel say of it."""

from __future__ import annotations

import ipaddress
import json
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gateway.ops.machine import Clock, Interface, Network, State, Time
from tidegate_appliance import network
from tidegate_appliance.agent import unconfirmed
from tidegate_appliance.commands import CommandFailed, run
from tidegate_appliance.machine import ZONES
from tidegate_appliance.places import Places

_COMMAND_S = 10.0
_SHIPPED = "/usr/lib/systemd/network/"
_MADE = {"bridge", "bond", "dummy", "tun", "vlan", "vxlan", "wireguard"}
"""Kinds of interfaces that are no hardware."""
_TYPES = {"ether", "wlan"}


def look(places: Places) -> State:
    """Raises CommandFailed where networkd doesn't answer."""
    return State(socket.gethostname(), tuple(interfaces(places)), clock(places))


def interfaces(places: Places) -> Iterator[Interface]:
    found = json.loads(run(["networkctl", "--json=short", "list"], longest_s=_COMMAND_S))["Interfaces"]
    for each in sorted(found, key=lambda each: str(each["Name"])):
        if each.get("Type") in _TYPES and each.get("Kind") not in _MADE:
            yield _interface(each, places)


def clock(places: Places) -> Clock:
    """What timesyncd doesn't say isn't known."""
    record = unconfirmed.current(places)
    settings = record.time if record is not None and record.what == "time" else _time_settings(places)
    try:
        said = run(["timedatectl", "show-timesync", "--all"], longest_s=_COMMAND_S)
    except CommandFailed:
        said = ""
    told = dict(line.partition("=")[::2] for line in said.splitlines())
    named = " ".join(told.get(key, "") for key in ("SystemNTPServers", "RuntimeNTPServers", "LinkNTPServers"))
    servers = tuple(dict.fromkeys(named.split() or told.get("FallbackNTPServers", "").split()))
    synchronised = (places.runtime / "systemd" / "timesync" / "synchronized").exists()
    return Clock(settings, synchronised, told.get("ServerName") or None, servers)


def _interface(told: Mapping[str, Any], places: Places) -> Interface:
    name, file = str(told["Name"]), told.get("NetworkFile")
    addresses = [_with_prefix(each) for each in told.get("Addresses", ())]
    addresses.sort(key=lambda each: ipaddress.ip_interface(each).is_link_local)
    gateways = [each for each in told.get("Routes", ()) if each.get("Gateway") and each["DestinationPrefixLength"] == 0]
    gateways.sort(key=lambda each: (each["Family"], each.get("Priority", 0)))
    return Interface(
        name=name,
        mac=":".join(f"{byte:02x}" for byte in told.get("HardwareAddress", ())),
        link=told.get("CarrierState") in ("carrier", "degraded-carrier"),
        addresses=tuple(addresses),
        gateway=_address(gateways[0]["Gateway"]) if gateways else None,
        dns=tuple(dict.fromkeys(_address(each["Address"]) for each in told.get("DNS", ()))),
        settings=_network_settings(name, file, places),
        file=file,
    )


def _network_settings(name: str, file: str | None, places: Places) -> Network | None:
    record = unconfirmed.current(places)
    if record is not None and record.what == "network" and record.subject == name:
        return record.network
    kept = network.file_of(name, places)
    if kept.exists():
        return parsed(kept)
    return Network(dhcp=True) if file is None or file.startswith(_SHIPPED) else None


def parsed(path: Path) -> Network | None:
    """What `network.render` wrote; None: somebody wrote it by hand."""
    text = path.read_text("utf-8", "replace")
    if not text.startswith(network.HEAD):
        return None
    section, found = "", dict[tuple[str, str], list[str]]()
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line:
            key, _, value = line.partition("=")
            found.setdefault((section, key), []).append(value)

    def first(key: str) -> str | None:
        return next(iter(found.get(("Network", key), ())), None)

    dhcp = first("DHCP") == "yes"
    return Network(dhcp, first("Address"), first("Gateway"), tuple(found.get(("Network", "DNS"), ())))


def _time_settings(places: Places) -> Time:
    try:
        zone = os.path.relpath(os.readlink(places.localtime), ZONES)
    except OSError:
        zone = "UTC"
    try:
        lines = places.time_servers.read_text("utf-8", "replace").splitlines()
    except OSError:
        lines = []
    servers = next((line.removeprefix("NTP=").split() for line in lines if line.startswith("NTP=")), [])
    return Time(zone, tuple(servers))


def _address(given: Sequence[int]) -> str:
    return str(ipaddress.ip_address(bytes(given)))


def _with_prefix(told: Mapping[str, Any]) -> str:
    return f"{_address(told['Address'])}/{told['PrefixLength']}"
