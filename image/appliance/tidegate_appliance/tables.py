"""What a provisioning file may say of the machine. The reference page is generated from these models."""

from __future__ import annotations

import ipaddress
import os
import re
import zoneinfo
from typing import Annotated, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.fields import Host, Options
from tidegate_appliance.identity import HOST_NAME

_INTERFACE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}")
"""What the kernel takes (15 bytes), less what could be read as a pattern or a path."""


def _check_hostname(text: str) -> str:
    if not HOST_NAME.fullmatch(text):
        raise ValueError(
            f"{text!r} is no host name: write one label of a-z, 0-9 and hyphens, 63 characters at most, no dots"
        )
    return text


def _check_timezone(text: str) -> str:
    # A name out of the database never leaves its directory: the check by the list, not by opening a path.
    if text not in zoneinfo.available_timezones():
        raise ValueError(f"there is no time zone {text!r}: write one as Europe/Berlin or UTC")
    return text


def _check_interface(text: str) -> str:
    if not _INTERFACE.fullmatch(text):
        raise ValueError(f"{text!r} is no name of a network interface: see which there are with ip link")
    return text


def _check_address(text: str) -> str:
    try:
        given = ipaddress.ip_interface(text)
    except ValueError:
        raise ValueError(f"{text!r} is no address with its prefix: write it as 192.168.1.10/24") from None
    if "/" not in text:
        raise ValueError(f"{text!r} has no prefix: write it as {text}/24")
    network = given.network
    whole = network.num_addresses > 2 and given.ip == network.network_address
    broadcast = given.version == 4 and network.num_addresses > 2 and given.ip == network.broadcast_address
    if given.is_multicast or given.is_loopback or given.is_unspecified or whole or broadcast:
        raise ValueError(f"{text!r} can't be a machine's address: write one of the network {network} that is free")
    return str(given)


def _check_ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no IP address: write it as 192.168.1.1") from None


_KEY_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
)


def _check_key(text: str) -> str:
    line = text.strip()
    kind, _, rest = line.partition(" ")
    body = rest.strip().partition(" ")[0]
    if kind not in _KEY_TYPES or not re.fullmatch(r"AAAA[A-Za-z0-9+/]{40,}={0,2}", body) or not line.isprintable():
        shown = line if len(line) <= 40 else f"{line[:40]}…"
        raise ValueError(f"{shown!r} is no public SSH key: write one line as it stands in id_ed25519.pub")
    return line


def _check_url(text: str) -> str:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme != "https" or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is no address of updates: write it as https://updates.example.com/tidegate/")
    if parts.username or parts.password:
        raise ValueError("an address of updates has no user and no password: leave them out")
    return text


HostName: TypeAlias = Annotated[str, AfterValidator(_check_hostname)]
TimeZone: TypeAlias = Annotated[str, AfterValidator(_check_timezone)]
Interface: TypeAlias = Annotated[str, AfterValidator(_check_interface)]
Address: TypeAlias = Annotated[str, AfterValidator(_check_address)]
Ip: TypeAlias = Annotated[str, AfterValidator(_check_ip)]
PublicKey: TypeAlias = Annotated[str, AfterValidator(_check_key)]
Url: TypeAlias = Annotated[str, AfterValidator(_check_url)]


class MachineTable(Options):
    """The machine itself. Each key is applied or refused by itself."""

    hostname: HostName | None = Field(
        default=None,
        description="Its name, under which it is found as `NAME.local`. Default: `tidegate-` and six digits.",
    )
    timezone: TimeZone | None = Field(
        default=None,
        description="For people who read its log; values carry UTC. Default: UTC.",
        examples=["Europe/Berlin"],
    )


class TimeTable(Options):
    """Where it gets the time from."""

    servers: tuple[Host, ...] | None = Field(
        default=None,
        max_length=8,
        description="NTP servers. Default, and with `[]`: those that DHCP names, then Debian's pool.",
    )


class NetworkTable(Options):
    """One interface; a table for each. What isn't set here is configured by DHCP."""

    interface: Interface = Field(description="Its name, as `ip link` shows it.", examples=["eth0"])
    dhcp: bool = Field(
        default=False,
        strict=True,
        description="Address, router and name servers come by DHCP and router advertisements.",
    )
    address: Address | None = Field(
        default=None,
        description="A fixed address with its prefix; without `dhcp` it is required.",
        examples=["192.168.1.10/24"],
    )
    gateway: Ip | None = Field(default=None, description="The router, in the network of `address`.")
    dns: tuple[Ip, ...] = Field(
        default=(), max_length=4, description="Name servers. With `dhcp`: in place of those it names."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.dhcp and (self.address or self.gateway):
            raise ValueError("with dhcp there is neither an address nor a gateway: leave out dhcp or those")
        if not self.dhcp and self.address is None:
            raise ValueError('there is neither dhcp nor an address: write dhcp = true, or address = "192.168.1.10/24"')
        if self.gateway is not None and self.address is not None:
            given, router = ipaddress.ip_interface(self.address), ipaddress.ip_address(self.gateway)
            beside = router.version == 6 and router.is_link_local
            if router == given.ip or not (router in given.network or beside):
                raise ValueError(f"the gateway {router} isn't another machine of {given.network}: give one that is")
        return self


class SshTable(Options):
    """Who may come in by SSH, as `root` and by key alone."""

    authorized_keys: tuple[PublicKey, ...] | None = Field(
        default=None,
        max_length=64,
        description="Public keys, in place of those installed before. `[]`: nobody; nothing listens on port 22 then.",
    )


class UpdateTable(Options):
    """Where it gets updates from."""

    url: Url | None = Field(default=None, description="Where bundles are offered; https only.")


def interfaces() -> list[str]:
    """Those the machine has now, less loopback."""
    try:
        return sorted(name for name in os.listdir("/sys/class/net") if name != "lo")
    except OSError:
        return []
