"""What every bench can be asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from hil.benches.console import Console
from hil.benches.declaration import Declaration, Release
from hil.benches.page import Page

CLAIM_CODE = r"\b([0-9A-Z]{4}(?:-[0-9A-Z]{4}){3})\b"
"""As it is shown to whoever stands before the box."""


class BoxFailed(Exception):
    """The box didn't do what it must for any test to go on. One sentence, then what it said last."""


@dataclass(frozen=True, slots=True)
class Wiring:
    """The plant's endpoints as the gateway sees them, and where its broker is."""

    host: str
    """This machine."""
    serial: Mapping[str, str]
    """Serial line → the gateway's device."""
    data_dir: str
    radio: str = "ble"
    """The driver to reach Bluetooth devices with."""
    adapter: str = "hci0"
    clock: str = "auto"


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str = ""


@dataclass(slots=True)
class Plugs:
    """This machine's ends of the cables."""

    serial: Mapping[str, str] = field(default_factory=dict)
    """Serial line → path of the plant's end."""
    hci_port: int = 0
    """TCP port of the loopback where a Bluetooth adapter is offered."""


class Bench(ABC):
    """One box and the switches around it; a context manager, after which nothing of it runs.

    The order is: enter, `connect` the cables, `power_on`. What its file says it can't do raises NotImplementedError.
    """

    def __init__(self, name: str, declaration: Declaration, directory: Path) -> None:
        """`directory`: where it may keep what it needs while it runs."""
        self.name = name
        self.declaration = declaration
        self.directory = directory
        self.console: Console
        self.public_key: str | None = None
        """Of the key by which `run` signs in, where the box is to learn of it."""
        self.private_key: Path | None = None
        """Its other half."""

    @property
    @abstractmethod
    def here(self) -> str:
        """This machine's address on the network it shares with the box."""

    @property
    @abstractmethod
    def page(self) -> Page:
        """A stranger at the box's local page."""

    @abstractmethod
    def connect(self, plugs: Plugs) -> Wiring:
        """Plug the cables in, before the power is there."""

    @abstractmethod
    def power_on(self, *, since: str | None = None) -> None:
        """Returns at once. `since`: the time at which its clock starts, ISO 8601; default: the right one."""

    @abstractmethod
    def power_off(self) -> None:
        """Cut the power, whatever goes on. Nothing happens if it is off."""

    @abstractmethod
    def restart(self) -> None:
        """In order. Returns when it has gone down."""

    def expect_start(self) -> Callable[[float], None]:
        """What is returned waits, so many seconds, until the box has begun to start since. It raises BoxFailed."""
        raise NotImplementedError

    @abstractmethod
    def wait_until_up(self) -> None:
        """Return when its page answers. Raises BoxFailed."""

    @abstractmethod
    def claim_code(self, mark: int = 0) -> str:
        """What it shows to whoever stands before it, after `mark` on its console. Raises BoxFailed."""

    @abstractmethod
    def provision(self, files: Mapping[str, bytes]) -> None:
        """Hand over a provisioning file, ``provision.toml``, and what it names. Returns at once."""

    @abstractmethod
    def run(self, command: str, *, timeout_s: float = 60.0, check: bool = True) -> Ran:
        """Have its shell, as root, run a command; `check`: AssertionError unless it succeeds. Raises BoxFailed."""

    @abstractmethod
    def tidegate(self, *arguments: str) -> Ran:
        """Run its command line, whatever the exit code."""

    @abstractmethod
    def ready(self) -> None:
        """What is to be done in the box after each start, once its shell answers, to have the bench's devices."""

    @property
    def own_ports(self) -> frozenset[int]:
        """TCP ports that the box has open for this bench's sake alone."""
        return frozenset()

    def open_ports(self) -> list[int]:
        """TCP ports that take connections from outside."""
        raise NotImplementedError

    @property
    def time_hidden(self) -> bool:
        return False

    def hide_time(self) -> None:
        """From now on nobody tells the box what time it is."""
        raise NotImplementedError

    def tell_time(self) -> None:
        raise NotImplementedError

    def bundle(self, release: Release) -> Path:
        """Signed, for this box. The same one if asked again."""
        raise NotImplementedError

    def download(self) -> Path:
        """The compressed image that people download."""
        raise NotImplementedError

    def remains(self, text: bytes) -> bool:
        """Whether `text` stands anywhere on its disk. While it is off."""
        raise NotImplementedError

    def cut_network(self) -> None:
        raise NotImplementedError

    def restore_network(self) -> None:
        raise NotImplementedError

    def insert_stick(self, files: Mapping[str, Path]) -> None:
        """A USB stick (FAT) with files, in folders where their names say so."""
        raise NotImplementedError

    def remove_stick(self) -> None:
        raise NotImplementedError

    @abstractmethod
    def put_back(self) -> None:
        """What a test that failed has left: power, cable, stick, time. Raises BoxFailed."""

    def last_words(self) -> str:
        """For whoever has to find out why a test failed."""
        return self.console.tail()

    def __enter__(self) -> Bench:
        return self

    @abstractmethod
    def close(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
