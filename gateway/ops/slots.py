"""Update slots: the small interface through which an image lets itself be updated. Elsewhere there is none.

An image that boots from two slots installs a package that publishes an :class:`Appliance` (`gateway.ops.published`). An
installation without one is updated by its package manager.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from gateway.ops.published import published

_log = logging.getLogger(__name__)


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


@runtime_checkable
class Appliance(Protocol):
    """What an image implements. Every method may raise UpdateRefused; anything else it raises is a flaw of it."""

    @property
    def name(self) -> str:
        """What is updated, for people: ``Tidegate image for x86-64``."""
        ...

    async def slots(self) -> Sequence[Slot]: ...

    def install(self, bundle: Path) -> AsyncIterator[Step]:
        """Check the signed bundle and write it to the slot that doesn't run, which is then next.

        Closing the iterator ends it; what runs is never touched.
        """
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


@dataclass(frozen=True, slots=True)
class Installation:
    """The latest installation since the gateway started."""

    bundle: str
    percent: int
    doing: str
    state: Literal["running", "done", "failed"]
    detail: str = ""
    """Why it failed."""


class Updates:
    """One installation at a time, which goes on whoever watches. Call from the event loop only."""

    def __init__(self, find: Callable[[], Appliance | None] = appliance) -> None:
        self._find = find
        self._found: list[Appliance | None] = []
        self._latest: Installation | None = None
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()

    @property
    def appliance(self) -> Appliance | None:
        """Looked for when it is first asked for."""
        if not self._found:
            self._found.append(self._find())
        return self._found[0]

    @property
    def latest(self) -> Installation | None:
        return self._latest

    @property
    def busy(self) -> bool:
        return self._task is not None and not self._task.done()

    def install(self, bundle: Path) -> None:
        """Start it. Raises UpdateRefused if it can't even start."""
        image = self.appliance
        if image is None:
            raise UpdateRefused("this installation has no update slots")
        if self.busy:
            raise UpdateRefused("an update is being installed already")
        if not bundle.is_absolute() or not bundle.is_file():
            raise UpdateRefused(f"there is no file {bundle} that the gateway can read")
        self._say(Installation(str(bundle), 0, "starting", "running"))
        self._task = asyncio.create_task(self._install(image, bundle), name="update")

    async def follow(self) -> AsyncIterator[Installation]:
        """How the latest one goes on, until it ends; nothing if there was none."""
        while (latest := self._latest) is not None:
            changed = self._changed
            yield latest
            if latest.state != "running":
                return
            if latest is self._latest:
                await changed.wait()

    async def close(self) -> None:
        """End an installation under way; the slot that runs is as it was."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _install(self, image: Appliance, bundle: Path) -> None:
        _log.info("update: installing %s", bundle)
        percent, doing = 0, "starting"
        try:
            async for step in image.install(bundle):
                percent, doing = min(100, max(percent, step.percent)), step.doing
                self._say(Installation(str(bundle), percent, doing, "running"))
        except asyncio.CancelledError:
            self._say(Installation(str(bundle), percent, doing, "failed", "it was stopped"))
            raise
        except UpdateRefused as error:
            _log.error("update: %s", error)
            self._say(Installation(str(bundle), percent, doing, "failed", str(error)))
        except Exception:  # noqa: BLE001 - third-party code may raise anything
            _log.exception("update: the image's installer failed")
            self._say(Installation(str(bundle), percent, doing, "failed", "the image's installer failed: see the log"))
        else:
            _log.info("update: %s is installed and runs after the next restart", bundle)
            self._say(Installation(str(bundle), 100, "installed", "done"))

    def _say(self, latest: Installation) -> None:
        self._latest = latest
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
