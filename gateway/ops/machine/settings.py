"""What is set of the machine, and what of it makes sense. The gateway checks it, and what runs as root checks it again.

Every check raises MachineRefused with one sentence, what to do about it, and the field that it is about.
"""

from __future__ import annotations

import ipaddress
import re
import zoneinfo
from dataclasses import dataclass
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv6Address, IPv6Interface

from gateway.hosts import is_host

MOST_SERVERS = 4
LONGEST_NAME = 63
"""Characters of a host name's one label (RFC 1035)."""
_INTERFACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")
_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_ADDRESS = re.compile(r"[0-9A-Fa-f.:]+")
_WITH_PREFIX = re.compile(rf"{_ADDRESS.pattern}/(0|[1-9][0-9]{{0,2}})")
"""What becomes a word of a file that systemd reads: ipaddress takes more, such as netmasks and names of interfaces."""
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9.:-]*[A-Za-z0-9])?")
_LEAST_V4_PREFIX, _MOST_V4_PREFIX, _MOST_V6_PREFIX = 8, 31, 127
_POINT_TO_POINT = 31


class MachineRefused(Exception):
    """Something that isn't done to the machine. One sentence."""

    def __init__(self, message: str, mend: str | None = None, field: str | None = None) -> None:
        super().__init__(message)
        self.mend = mend
        self.field = field
        """The key of the setting that is wrong."""


@dataclass(frozen=True, slots=True)
class Network:
    """How one interface gets its address: from a DHCP server, or the one that is set."""

    dhcp: bool
    address: str | None = None
    """With its prefix, ``192.168.1.20/24``, IPv4 or IPv6; exactly where it isn't DHCP."""
    gateway: str | None = None
    dns: tuple[str, ...] = ()
    """Servers in order. With DHCP: instead of those that it names."""

    def check(self) -> None:
        """Raises MachineRefused."""
        if len(self.dns) > MOST_SERVERS:
            raise MachineRefused(f"{len(self.dns)} name servers are too many", f"name at most {MOST_SERVERS}", "dns")
        for server in self.dns:
            _station(server, "dns")
        if self.dhcp:
            for field in ("address", "gateway"):
                if getattr(self, field) is not None:
                    raise MachineRefused(
                        f"the {field} comes from the DHCP server", "leave it out, or set an address without DHCP", field
                    )
            return
        own = _interface(self.address)
        if self.gateway is not None:
            _check_gateway(_station(self.gateway, "gateway"), own)


@dataclass(frozen=True, slots=True)
class Time:
    """Where the machine is in time, and who tells it what time it is."""

    timezone: str = "UTC"
    """A name of the IANA time zone database: ``Europe/Berlin``. For what people read on the machine itself."""
    servers: tuple[str, ...] = ()
    """NTP servers, names or addresses. None: those that DHCP names, or the system's own."""

    def check(self) -> None:
        """Raises MachineRefused."""
        if self.timezone not in timezones():
            raise MachineRefused(
                f"there is no time zone {self.timezone!r}", "name one as Europe/Berlin or UTC are", "timezone"
            )
        if len(self.servers) > MOST_SERVERS:
            raise MachineRefused(
                f"{len(self.servers)} time servers are too many", f"name at most {MOST_SERVERS}", "servers"
            )
        for server in self.servers:
            if not (is_host(server) and _HOST.fullmatch(server)):
                raise MachineRefused(
                    f"{server!r} isn't a host", "give a name or an address alone: ntp.example.com", "servers"
                )


@cache
def timezones() -> frozenset[str]:
    """Those that this machine knows."""
    return frozenset(zoneinfo.available_timezones()) | {"UTC"}


def check_interface(name: str) -> None:
    """Whether it can be a network interface's name at all. Raises MachineRefused."""
    if not _INTERFACE.fullmatch(name):
        raise MachineRefused(f"{name!r} isn't the name of a network interface", "name one that is listed", "interface")


def check_hostname(name: str) -> None:
    """One label, in lower case (RFC 1123). Raises MachineRefused."""
    if not _LABEL.fullmatch(name):
        raise MachineRefused(
            f"{name!r} isn't a host name",
            f"use a to z, digits and -, at most {LONGEST_NAME} characters, no - at the ends",
            "hostname",
        )
    if name == "localhost" or name.isdigit():
        raise MachineRefused(f"{name} doesn't tell this machine from others", "choose another name", "hostname")


def _interface(text: str | None) -> IPv4Interface | IPv6Interface:
    if not text:
        raise MachineRefused("there is no address", "give one with its prefix: 192.168.1.20/24", "address")
    if "/" not in text:
        raise MachineRefused(f"{text} has no prefix", f"say how long it is: {text}/24", "address")
    try:
        own = ipaddress.ip_interface(text) if _WITH_PREFIX.fullmatch(text) else None
    except ValueError:
        own = None
    if own is None:
        raise MachineRefused(f"{text!r} isn't an address with its prefix", "write it as 192.168.1.20/24", "address")
    _check_station(own.ip, text, "address")
    prefix, network = own.network.prefixlen, own.network
    if own.version == 4:
        if not _LEAST_V4_PREFIX <= prefix <= _MOST_V4_PREFIX:
            raise MachineRefused(
                f"/{prefix} is no prefix for an interface",
                f"it is between {_LEAST_V4_PREFIX} and {_MOST_V4_PREFIX}, mostly 24",
                "address",
            )
        if prefix < _POINT_TO_POINT and own.ip in (network.network_address, network.broadcast_address):
            which = "network's own" if own.ip == network.network_address else "broadcast"
            raise MachineRefused(f"{own.ip} is the {which} address of {network}", "take one in between", "address")
    elif not 1 <= prefix <= _MOST_V6_PREFIX:
        raise MachineRefused(f"/{prefix} is no prefix for an interface", "mostly it is 64", "address")
    return own


def _check_gateway(gateway: IPv4Address | IPv6Address, own: IPv4Interface | IPv6Interface) -> None:
    if gateway == own.ip:
        raise MachineRefused("the gateway is the machine itself", "name the router", "gateway")
    reachable = gateway.version == own.version and (gateway in own.network or gateway.is_link_local)
    if not reachable:
        raise MachineRefused(
            f"the gateway {gateway} isn't in {own.network}", "name a router in the same network, or none", "gateway"
        )
    if own.version == 4 and own.network.prefixlen < _POINT_TO_POINT and gateway == own.network.broadcast_address:
        raise MachineRefused(f"{gateway} is the broadcast address of {own.network}", "name the router", "gateway")


def _station(text: str, field: str) -> IPv4Address | IPv6Address:
    try:
        found = ipaddress.ip_address(text) if _ADDRESS.fullmatch(text) else None
    except ValueError:
        found = None
    if found is None:
        raise MachineRefused(f"{text!r} isn't an address", "write it as 192.168.1.1", field)
    _check_station(found, text, field)
    return found


def _check_station(found: IPv4Address | IPv6Address, text: str, field: str) -> None:
    """An address that one machine can have. Raises MachineRefused."""
    if found.is_unspecified or found.is_multicast or found.is_loopback or (found.version == 4 and found.is_reserved):
        raise MachineRefused(f"{text} can't be the address of one machine", "write it as 192.168.1.20", field)
