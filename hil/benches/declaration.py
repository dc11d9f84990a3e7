"""A bench as its file declares it."""

from __future__ import annotations

import ipaddress
import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from hil.plant.config import LINES

DIRECTORY = Path(__file__).parent
_FIELDS = "docs/how-to/test-on-hardware.md has a table of them"


class Part(StrEnum):
    """What a test may need of a bench."""

    SYSTEM = "system"
    """A machine of its own: systemd, kernel, file systems, memory."""
    CONSOLE = "console"
    """What it says is heard from the first moment on."""
    POWER = "power"
    """The power can be cut, and comes back."""
    CABLE = "cable"
    """Its network can be cut, and comes back."""
    SCAN = "scan"
    """Its ports can be probed from outside."""
    CLOCK = "clock"
    """It can start at another time, and a time server can be kept from it."""
    STICK = "stick"
    """A USB stick can be put in."""
    SLOTS = "slots"
    """It boots from two slots, and there are bundles for it."""
    WATCHDOG = "watchdog"
    """A hung machine is reset by hardware."""
    IMAGE = "image"
    """The image that people download is at hand."""
    RADIO = "radio"
    """Bluetooth devices are within reach."""
    WIPE = "wipe"
    """What is on it may be destroyed."""


class Release(StrEnum):
    """What a box is updated to."""

    GOOD = "good"
    BROKEN = "broken"
    """Its gateway doesn't start."""
    DEAD = "dead"
    """Its system doesn't even start."""
    ON_A_STICK = "stick"

    @property
    def version(self) -> str:
        """Newer than any image under test."""
        return {"good": "9000.1.0", "broken": "9000.2.0", "dead": "9000.4.0", "stick": "9000.3.0"}[self.value]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Local(_Table):
    """Processes on this machine."""

    kind: Literal["local"]


class Qemu(_Table):
    """The image in an emulated board."""

    kind: Literal["qemu"]
    variant: str = "rpi"
    """Of the image: the newest that was built."""
    memory_mb: int = 1024
    cpus: int = 2
    disk_mb: int = 2048
    """The image is grown to it, as an SD card is larger than what was written to it."""
    boot_s: float = 480.0
    """Within this it must have started: emulation on a busy machine takes its time."""


class Ssh(_Table):
    """A real gateway, reached over the network."""

    impossible: ClassVar = (
        Part.CONSOLE, Part.CABLE, Part.CLOCK, Part.STICK, Part.IMAGE, Part.RADIO, Part.WIPE,
    )  # fmt: skip
    kind: Literal["ssh"]
    host: str
    """The gateway."""
    key: Path
    """A private key that `user` may sign in with."""
    user: str = "root"
    port: int = 22
    here: str
    """This machine, as the gateway reaches it."""
    boot_s: float = 180.0
    serial: dict[str, str] = Field(default_factory=dict)
    """Serial line of the plant → the gateway's device at one end of the cable."""
    cable: dict[str, str] = Field(default_factory=dict)
    """Serial line of the plant → this machine's device at the other end."""
    power_off: str | None = None
    """A command of this machine that cuts the power, at a relay or a switched socket."""
    power_on: str | None = None
    off_s: float = 5.0
    """So long the power stays off: supplies go on for a while by what is in their capacitors."""
    adapter: str = "hci0"
    page_port: int = 443
    data_dir: str = "/var/lib/tidegate"
    bundles: dict[Release, Path] = Field(default_factory=dict)
    """Under the versions that a :class:`Release` has."""
    command_line: tuple[str, ...] = ("tidegate",)

    @model_validator(mode="after")
    def _wired(self) -> Self:
        for name in ("host", "here"):
            address = getattr(self, name)
            if _is_example(address):
                raise _wrong(name, f"{address} is the address of an example: write the one it has on your network")
        for name in ("serial", "cable"):
            ends = getattr(self, name)
            if ends.keys() != LINES.keys():
                raise _wrong(name, f"it names the serial lines {_listed(ends)}: name {_listed(LINES)}")
        return self


class Declaration(_Table):
    """A bench's whole file."""

    about: str
    bench: Annotated[Local | Qemu | Ssh, Field(discriminator="kind")]
    cannot: dict[Part, str] = Field(default_factory=dict)
    """What it can't do → why. Tests that need it are skipped, and say so."""
    patience: float = 1.0
    """How many times longer than a quick machine things may take."""

    @model_validator(mode="after")
    def _able(self) -> Self:
        """What isn't in `cannot` can be done with what is declared."""
        if not isinstance(self.bench, Ssh):
            return self
        for part in self.bench.impossible:
            if part not in self.cannot:
                raise _wrong(f"cannot.{part}", "no program can do that to a real gateway: say why in a sentence")
        if Part.POWER not in self.cannot and None in (self.bench.power_off, self.bench.power_on):
            raise _wrong("bench.power_off, bench.power_on", "write both commands, or put power into [cannot]")
        needed = () if Part.SLOTS in self.cannot else (Release.GOOD, Release.BROKEN, Release.DEAD)
        lacking = [release for release in needed if release not in self.bench.bundles]
        if lacking:
            raise _wrong(f"bench.bundles.{lacking[0]}", "name the file of that bundle, or put slots into [cannot]")
        return self


class BenchInvalid(Exception):
    """A bench's file can't be used. One sentence."""


def declared(name: str) -> Declaration:
    """By the name of one of ours, or the path of a file. Raises BenchInvalid."""
    path = Path(name) if name.endswith(".toml") else DIRECTORY / f"{name}.toml"
    try:
        return Declaration.model_validate(tomllib.loads(path.read_text("utf-8")))
    except OSError as error:
        known = ", ".join(sorted(each.stem for each in DIRECTORY.glob("*.toml")))
        raise BenchInvalid(f"no bench {path}: {error.strerror}; name one of {known}, or a file") from None
    except tomllib.TOMLDecodeError as error:
        raise BenchInvalid(f"{path} isn't TOML: {error}; mend it") from None
    except ValidationError as error:
        raise BenchInvalid(f"{path}: {_sentence(error.errors()[0])}") from None


def _wrong(where: str, what: str) -> PydanticCustomError:
    return PydanticCustomError("bench", "{what}", {"where": where, "what": what})


def _sentence(error: Any) -> str:
    """Without the name of the kind, which stands in no file between `bench` and what is in it."""
    steps = [str(step) for step in error["loc"]]
    where = ".".join([*steps[:1], *steps[2:]] if steps[:1] == ["bench"] else steps)
    match error["type"]:
        case "bench":
            inner = error["ctx"]["where"]
            return f"{where + '.' if where else ''}{inner}: {error['ctx']['what']}"
        case "missing":
            return f"{where} is missing; {_FIELDS}"
        case "extra_forbidden":
            return f"there is no setting {where}; {_FIELDS}"
    return f"{where}: {error['msg']}; {_FIELDS}"


def _is_example(address: str) -> bool:
    """RFC 5737's TEST-NET-1, as in the file that is copied."""
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network("192.0.2.0/24")
    except ValueError:
        return False


def _listed(names: Any) -> str:
    return ", ".join(sorted(names)) or "none"
