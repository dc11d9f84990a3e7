"""A bench as its file declares it."""

from __future__ import annotations

import tomllib
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

DIRECTORY = Path(__file__).parent


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
    RADIO = "radio"
    """Bluetooth devices are within reach."""
    WIPE = "wipe"
    """What is on it may be destroyed."""


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
    adapter: str = "hci0"
    page_port: int = 443
    data_dir: str = "/var/lib/tidegate"
    bundles: dict[str, Path] = Field(default_factory=dict)
    """Version → a bundle of it; ``broken`` → one of a release that doesn't work."""
    command_line: tuple[str, ...] = ("tidegate",)


class Declaration(_Table):
    """A bench's whole file."""

    about: str
    bench: Annotated[Local | Qemu | Ssh, Field(discriminator="kind")]
    cannot: dict[Part, str] = Field(default_factory=dict)
    """What it can't do → why. Tests that need it are skipped, and say so."""
    patience: float = 1.0
    """How many times longer than a quick machine things may take."""


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
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise BenchInvalid(f"{path}: {where}: {first['msg']}") from None
