"""What a provisioning file may say of the machine. The reference page is generated from these models."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from gateway.fields import Options
from gateway.ops.download import leads_to_a_folder
from gateway.ops.machine import MachineRefused, Network, Time, check_hostname, check_interface
from gateway.ops.machine.settings import MOST_SERVERS


def _checked(check: Callable[[str], object]) -> AfterValidator:
    """The same checks, in the same words, as where these are set on the page."""

    def validate(value: str) -> str:
        try:
            check(value)
        except MachineRefused as refused:
            raise ValueError(_sentence(refused)) from None
        return value

    return AfterValidator(validate)


def _sentence(refused: MachineRefused) -> str:
    return f"{refused}: {refused.mend}" if refused.mend else str(refused)


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
    written = "write it as https://updates.example.com/tidegate.raucb"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme != "https" or not text.isprintable() or " " in text:
        raise ValueError(f"{text!r} is no address of updates: {written}")
    if parts.username or parts.password:
        raise ValueError("an address of updates has no user and no password: leave them out")
    if leads_to_a_folder(parts):
        raise ValueError(f"{text!r} leads to a folder, and updates come from a bundle's own address: {written}")
    return text


HostName: TypeAlias = Annotated[str, _checked(check_hostname)]
TimeZone: TypeAlias = Annotated[str, _checked(lambda name: Time(timezone=name).check())]
TimeServer: TypeAlias = Annotated[str, _checked(lambda name: Time(servers=(name,)).check())]
Interface: TypeAlias = Annotated[str, _checked(check_interface)]
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

    servers: tuple[TimeServer, ...] | None = Field(
        default=None,
        max_length=MOST_SERVERS,
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
    address: str | None = Field(
        default=None,
        description="A fixed address with its prefix; without `dhcp` it is required.",
        examples=["192.168.1.10/24"],
    )
    gateway: str | None = Field(default=None, description="The router, in the network of `address`.")
    dns: tuple[str, ...] = Field(
        default=(), max_length=MOST_SERVERS, description="Name servers. With `dhcp`: in place of those it names."
    )

    @property
    def settings(self) -> Network:
        return Network(self.dhcp, self.address, self.gateway, self.dns)

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            self.settings.check()
        except MachineRefused as refused:
            raise ValueError(_sentence(refused)) from None
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

    url: Url | None = Field(
        default=None,
        description="Where `tidegate update install` gets the bundle: one address for all releases; https only.",
        examples=["https://updates.example.com/tidegate.raucb"],
    )
