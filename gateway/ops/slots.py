"""Update slots: the small interface through which an image lets itself be updated. Elsewhere there is none.

An image that boots from two slots installs a package that publishes an :class:`Appliance` (`gateway.ops.published`). An
installation without one is updated by its package manager. What is asked of it, one thing at a time, stands in
`gateway.ops.updates`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from gateway.ops.published import published


class UpdateRefused(Exception):
    """An update that isn't made: the bundle isn't trusted or doesn't fit, a slot is missing. One sentence."""


@dataclass(frozen=True, slots=True)
class Slot:
    """One of the places that hold a whole system."""

    name: str
    """As the boot loader calls it."""
    version: str | None
    """None: empty."""
    booted: bool
    """It runs now."""
    next: bool
    """It runs after the next restart."""
    good: bool
    """It has proved itself, or was marked good. A booted one that isn't goes back to the other at a restart."""
    installed_ms: int | None = None
    """ms since 1970 UTC."""


@dataclass(frozen=True, slots=True)
class Step:
    """How far an installation is."""

    percent: int
    doing: str


@dataclass(frozen=True, slots=True)
class Trial:
    """What has become of the release that was installed last, until it has proved itself or another is installed."""

    version: str
    slot: str
    state: Literal["waiting", "running", "fallen"]
    """It runs after the next restart; it runs and hasn't proved itself yet; it didn't, and the other one runs again."""
    sentence: str
    """That, for people."""
    mend: str = ""
    """What can be done about it; empty if the image knows no more than that."""


@runtime_checkable
class Appliance(Protocol):
    """What an image implements. Every method may raise UpdateRefused; anything else it raises is a flaw of it."""

    @property
    def name(self) -> str:
        """What is updated, for people: ``Tidegate image for x86-64``."""
        ...

    @property
    def incoming(self) -> Path:
        """Where bundles that come from elsewhere are kept while they are installed: this process may write there."""
        ...

    @property
    def address(self) -> str | None:
        """Where bundles are downloaded from unless somebody says otherwise, if that was set."""
        ...

    async def slots(self) -> Sequence[Slot]: ...

    async def trial(self) -> Trial | None: ...

    def install(self, bundle: Path, well: Collection[str]) -> AsyncGenerator[Step]:
        """Check the signed bundle and write it to the slot that doesn't run, which is then next.

        `well`: what works now, as ``sink plant`` and ``device oven``; the new release has to get some of it to work,
        too. Closing the generator ends it as far as that is possible; what runs is never touched.
        """
        ...

    async def leaving(self, well: Collection[str]) -> None:
        """The gateway stops in order, and `well` is what works until then: it says more of a restart that may follow
        than what worked at the installation."""
        ...

    async def mark_good(self) -> None:
        """What runs has proved itself."""
        ...

    async def roll_back(self) -> None:
        """The other slot is next. Nothing is restarted."""
        ...


def appliance() -> Appliance | None:
    """The image this runs in. None: it is no image, or what it publishes can't be used, which is logged."""
    return published(Appliance)  # type: ignore[type-abstract]
