"""The machine as it is, and what an appliance lets be done to it.

A package publishes it (`gateway.ops.published`): an object with everything that :class:`Machine` names.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from gateway.ops.machine.settings import MachineRefused, Network, Time

__all__ = ["Clock", "Interface", "Machine", "MachineRefused", "State", "Unconfirmed"]


@dataclass(frozen=True, slots=True)
class Interface:
    """One network interface, wired or radio, as it is now."""

    name: str
    mac: str
    link: bool
    """Whether there is a carrier: a cable with something at its other end."""
    addresses: tuple[str, ...]
    """With their prefixes, those of this link alone (fe80::) last."""
    gateway: str | None
    dns: tuple[str, ...]
    settings: Network | None
    """None: somebody set it by hand, by the file below, which isn't understood here."""
    file: str | None
    """What its settings stand in."""


@dataclass(frozen=True, slots=True)
class Clock:
    settings: Time
    synchronised: bool
    """Whether a server has set the clock since the machine started."""
    source: str | None
    """The server that is followed now."""
    servers: tuple[str, ...] = ()
    """All that are asked, set or not."""


@dataclass(frozen=True, slots=True)
class State:
    hostname: str
    interfaces: tuple[Interface, ...]
    clock: Clock


@dataclass(frozen=True, slots=True)
class Unconfirmed:
    """A change of network or time that runs and isn't confirmed: the machine takes it back by itself."""

    id: str
    what: Literal["network", "time"]
    subject: str
    """The interface; of time: the time zone."""
    seconds_left: float
    address: str | None = None
    """Under which the machine is reached now. None: a DHCP server says, or it is the same."""


@runtime_checkable
class Machine(Protocol):
    """What an appliance implements. Every method may raise MachineRefused; anything else it raises is a flaw of it.

    A change of network or time counts at once and is lost when the machine restarts, unless it is confirmed. The
    machine takes it back in time, whatever becomes of the gateway that asked for it.
    """

    async def look(self) -> State: ...

    async def unconfirmed(self) -> Unconfirmed | None:
        """The change that isn't confirmed."""
        ...

    async def try_network(self, interface: str, settings: Network, within_s: float) -> Unconfirmed:
        """Returns when it is sure to be taken back, and shortly before it counts: who asked can still be answered."""
        ...

    async def try_time(self, settings: Time, within_s: float) -> Unconfirmed: ...

    async def confirm(self) -> None:
        """Keep the change, over restarts and updates."""
        ...

    async def take_back(self) -> None: ...

    async def set_hostname(self, name: str) -> None: ...

    async def restart(self) -> None:
        """Returns when it has begun."""
        ...

    async def reset(self) -> None:
        """Restart with the settings it came with: configuration, users and the journal are gone, its name stays."""
        ...

    async def wipe(self) -> None:
        """Restart as from the factory: keys and data are destroyed."""
        ...
