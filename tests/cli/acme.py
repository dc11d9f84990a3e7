"""A driver as a third party writes it, with every optional power: it searches, browses, decodes, keeps certificates."""

from __future__ import annotations

import asyncio
import enum
import struct
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from gateway.driver import (
    Certificate,
    Decoding,
    DeviceSilent,
    DriverKind,
    Finding,
    Item,
    LinkDown,
    PointError,
    PollGroup,
    Progress,
    Scan,
    ScanFailed,
    Site,
)
from gateway.fields import SecretReference
from gateway.model import Batch, DataType

DAY_S = 86_400.0


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Link(_Options):
    """One connection that is made in memory."""

    host: str = Field(min_length=1, description="Where.")
    trouble: Literal["refused", "silent", "forbidden"] | None = Field(default=None, description="What goes wrong.")


class Device(_Options):
    """One device."""


class Tag(_Options):
    """One tag."""

    spot: str = Field(description="Where it is.")
    swap: bool = Field(default=False, description="Swapped.")


class Speed(enum.StrEnum):
    SLOW = "slow"
    FAST = "fast"


def _even(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd: write an even number")
    return number


class Search(_Options):
    """How to search."""

    network: str = Field(description="Where to search, such as `10.0.0.0/24`.", examples=["10.0.0.0/24"])
    port: int = Field(default=502, ge=1, le=65535, description="TCP port.")
    timeout_s: float = Field(default=0.5, gt=0, description="Longest wait.")
    units: list[int] = Field(default=[1], description="Units to ask.")
    even: Annotated[int, AfterValidator(_even)] = Field(default=0, description="An even number.")
    speed: Speed = Field(default=Speed.SLOW, description="How fast.")
    parity: Literal["even", "odd"] | None = Field(default=None, description="Parity. Default: any.")
    deep: bool = Field(default=False, description="Look deeper.")
    toml: bool = Field(default=False, description="A name that the command has, too.")
    password: SecretReference | None = Field(default=None, description="A secret.")
    end: Literal["well", "never", "down", "failed", "denied"] = Field(default="well", description="How it ends.")


async def search(options: Search, site: Site) -> AsyncIterator[Finding | Progress]:
    try:
        for done, unit in enumerate(options.units):
            yield Progress(done, len(options.units), f"unit {unit}")
            row = {"network": options.network, "unit": unit, "gateway": site.gateway, "state": str(site.state)}
            link = f'[[link]]\nname = "found"\ndriver = "acme"\nhost = "{options.network}"\n\n'
            yield Finding(row, f'{link}[[device]]\nname = "unit{unit}"\nlink = "found"\n')
        match options.end:
            case "never":
                await asyncio.Event().wait()
            case "down":
                raise LinkDown("the network is unreachable")
            case "failed":
                raise ScanFailed("no interface has that network")
            case "denied":
                raise PermissionError(13, "Permission denied", "/dev/acme")
    finally:
        if site.state.is_dir():
            site.state.joinpath("closed").touch()


@dataclass
class Bus:
    options: Link
    open: bool = False

    async def connect(self) -> None:
        if self.options.trouble == "refused":
            raise LinkDown("10.0.0.1 refused the connection")
        if self.options.trouble == "forbidden":
            raise PermissionError(13, "Permission denied", "/dev/acme")
        self.open = True

    async def close(self) -> None:
        self.open = False


@dataclass
class Plan:
    group: PollGroup
    errors: list[PointError] = field(default_factory=list)
    asks: bool = True

    def describe(self) -> Sequence[str]:
        return [f"read {len(self.group.points)}"]


ITEMS = (
    Item("", "tank", "folder"),
    Item("t:1", "tank/level", "value", DataType.FLOAT32, name="level", unit="m", value=1.5),
    Item("t:2", "tank/wave", "value", DataType.INT16, 8, name="Wave, \x1b[31m8", description='a "wave"', value=(1, 2)),
    Item("t:3", "tank/picture", "value", None, name="picture"),
    Item("t:4", "tank/reset", "method", DataType.JSON, writable=True, options={"swap": True}),
)


class Plain:
    """A driver without any power beyond reading."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def plan(self, group: PollGroup) -> Plan:
        return Plan(group)

    async def read(self, plan: Plan) -> Batch:
        raise AssertionError("nothing is read here")


class Able(Plain):
    """One that can be asked what it has."""

    reads = 0

    async def browse(self, start: str | None, depth: int | None) -> AsyncIterator[Item]:
        assert self._bus.open
        if start is not None and not start.startswith("t:"):
            mend = "" if start else ": leave it out"
            raise ScanFailed(f"there is no {start}{mend}")
        for item in ITEMS:
            if self._bus.options.trouble == "silent" and item.address == "t:3":
                raise DeviceSilent("d1 at 10.0.0.1: no answer within 1 s")
            if depth is None or item.path.count("/") < depth:
                yield item

    async def decode(self, address: str) -> Sequence[Decoding]:
        assert self._bus.open
        if not address.isdecimal():
            raise ScanFailed(f"{address} is no address")
        type(self).reads += 1
        if self._bus.options.trouble == "silent" and self.reads == 2:
            raise DeviceSilent("d1 at 10.0.0.1: no answer within 1 s")
        first = int(address)
        return [
            each for at in (first - 1, first, first + 1) for each in _readings(str(at), bytes([0, self.reads, 65, 172]))
        ]


def _readings(address: str, raw: bytes) -> list[Decoding]:
    swapped = raw[2:] + raw[:2]
    return [
        Decoding(address, DataType.UINT16, "", raw[:2], int.from_bytes(raw[:2], "big")),
        Decoding(address, DataType.FLOAT32, "ABCD", raw, struct.unpack(">f", raw)[0]),
        Decoding(address, DataType.FLOAT32, "CDAB", raw, struct.unpack(">f", swapped)[0]),
        Decoding(address, DataType.STRING, "", raw, None),
    ]


class Store:
    """Trust lists: one file a certificate, its state in the folder's name."""

    def __init__(self, site: Site) -> None:
        self._folder = site.state

    def list(self) -> Sequence[Certificate]:
        return [_certificate(file) for file in sorted(self._folder.glob("*/*"))]

    def accept(self, fingerprint: str) -> Certificate:
        return self._move(fingerprint, "trusted")

    def reject(self, fingerprint: str) -> Certificate:
        file = self._file(fingerprint)
        certificate = _certificate(file)
        file.unlink()
        return certificate

    def add(self, file: Path) -> Certificate:
        if not file.read_text().isdecimal():
            raise ValueError(f"{file} holds no certificate")
        kept = self._folder / "trusted" / f"{'cd' * 32}"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(file.read_text())
        return _certificate(kept)

    def renew(self) -> Certificate:
        (own,) = self._folder.glob("own/*")
        return replace(_certificate(own), fingerprint="ef" * 32)

    def _move(self, fingerprint: str, state: str) -> Certificate:
        file = self._file(fingerprint)
        kept = file.parent.parent / state / file.name
        kept.parent.mkdir(exist_ok=True)
        return _certificate(file.rename(kept))

    def _file(self, fingerprint: str) -> Path:
        try:
            (file,) = self._folder.glob(f"*/{fingerprint}")
        except ValueError:
            raise KeyError(f"there is no certificate {fingerprint}") from None
        return file


def _certificate(file: Path) -> Certificate:
    """The file holds when it ends, in seconds since 1970."""
    until_s = float(file.read_text())
    return Certificate(file.name, file.parent.name, "CN=acme", ["urn:acme"], until_s - 365 * DAY_S, until_s, file)


def _kind(name: str, driver: type[Plain], **more: Any) -> DriverKind:
    return DriverKind(
        name=name,
        summary="Nothing real.",
        link_options=Link,
        device_options=Device,
        tag_options=Tag,
        open_bus=lambda link, options, site: Bus(options),
        address_key="spot",
        open_device=lambda bus, device, options: driver(bus),  # type: ignore[arg-type, return-value]
        **more,
    )


KIND = _kind("acme", Able, scan=Scan("Search a network for nothing.", Search, search), certificates=Store)
PLAIN = _kind("plain", Plain)
