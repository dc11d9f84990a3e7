"""Updates under way: one at a time, from a file, an upload or an HTTPS address, and whoever watches them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from gateway.ops.download import Source, download
from gateway.ops.slots import Appliance, Trial, UpdateRefused, appliance

_log = logging.getLogger(__name__)

MAX_BUNDLE: Final = 1 << 30
"""Bytes of the largest bundle that is taken from anywhere."""
SPARE: Final = 64 << 20
"""Bytes that stay free on the disk: the journal's file system may be the same."""
_FETCHED_PERCENT: Final = 40
"""How far an installation is when its bundle was downloaded."""
_UPLOAD: Final = "upload.raucb"
_DOWNLOAD: Final = "download.raucb"


@dataclass(frozen=True, slots=True)
class Installation:
    """The latest installation since the gateway started."""

    bundle: str
    """A path, or an address without what may be secret in it."""
    percent: int
    doing: str
    state: Literal["running", "done", "failed"]
    detail: str = ""
    """Why it failed."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A bundle that is being sent."""

    path: str
    """Where it is; it is gone once it was installed, or the next one is sent."""
    received: int
    """Bytes."""


class OutOfPlace(Exception):
    """A part of an upload that doesn't follow on those that are there. `received`: bytes that are."""

    def __init__(self, received: int) -> None:
        super().__init__(f"{received:,} bytes are there")
        self.received = received


class Updates:
    """One installation at a time, which goes on whoever watches. Call from the event loop only."""

    def __init__(
        self,
        find: Callable[[], Appliance | None] = appliance,
        well: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        """`well`: what works at the moment, as :meth:`Appliance.install` wants it."""
        self._find = find
        self._well = well
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

    async def trial(self) -> Trial | None:
        """What became of the release that was installed last, if the image can say so."""
        with contextlib.suppress(UpdateRefused):
            return None if self.appliance is None else await self.appliance.trial()
        return None

    def check(self, source: Path | Source) -> None:
        """Whether :meth:`install` can begin. Raises UpdateRefused."""
        self._free()
        if isinstance(source, Path) and not (source.is_absolute() and source.is_file()):
            raise UpdateRefused(f"there is no file {source} that the gateway can read")

    def install(self, source: Path | Source, ended: Callable[[Installation], Awaitable[object]] | None = None) -> None:
        """Start it; `ended` is told how it ended. Raises UpdateRefused if it can't even start."""
        self.check(source)
        image = self._free()
        self._say(Installation(str(source), 0, "starting", "running"))
        self._task = asyncio.create_task(self._run(image, source, ended), name="update")

    async def receive(self, body: bytes, offset: int, size: int) -> Upload:
        """Keep a part of a bundle that somebody sends, `size` bytes in all; that at 0 begins a new one.

        Raises UpdateRefused, or OutOfPlace if another part is wanted.
        """
        path = self._free().incoming / _UPLOAD
        try:
            return await asyncio.to_thread(_kept, path, body, offset, size)
        except OSError as error:
            raise UpdateRefused(f"the bundle can't be kept: {error.strerror or error}") from None

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
        """End an installation under way; the slot that runs is as it was. Let the image know what works until now."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self.appliance is not None:
            try:
                await self.appliance.leaving(self._well())
            except Exception:  # noqa: BLE001 - third-party code may raise anything
                _log.exception("update: the image can't be told what works")

    def _free(self) -> Appliance:
        image = self.appliance
        if image is None:
            raise UpdateRefused("this installation has no update slots")
        if self.busy:
            raise UpdateRefused("an update is being installed already")
        return image

    async def _run(
        self, image: Appliance, source: Path | Source, ended: Callable[[Installation], Awaitable[object]] | None
    ) -> None:
        await self._install(image, source)
        if ended is not None and self._latest is not None:
            await ended(self._latest)

    async def _install(self, image: Appliance, source: Path | Source) -> None:
        _log.info("update: installing %s", source)
        latest = Installation(str(source), 0, "starting", "running")

        def step(percent: int, doing: str) -> None:
            nonlocal latest
            latest = Installation(latest.bundle, min(100, max(latest.percent, percent)), doing, "running")
            self._say(latest)

        def failed(why: str) -> None:
            self._say(Installation(latest.bundle, latest.percent, latest.doing, "failed", why))

        try:
            await self._installed(image, source, step)
        except asyncio.CancelledError:
            failed("it was stopped")
            raise
        except UpdateRefused as error:
            _log.error("update: %s", error)
            failed(str(error))
        except Exception:  # noqa: BLE001 - third-party code may raise anything
            _log.exception("update: the image's installer failed")
            failed("the image's installer failed: see the log")
        else:
            _log.info("update: %s is installed and runs after the next restart", source)
            self._say(Installation(latest.bundle, 100, "installed", "done"))

    async def _installed(self, image: Appliance, source: Path | Source, step: Callable[[int, str], None]) -> None:
        if isinstance(source, Path):
            bundle, begun = source, 0
        else:
            bundle, begun = image.incoming / _DOWNLOAD, _FETCHED_PERCENT
            (image.incoming / _UPLOAD).unlink(missing_ok=True)
            await download(
                source,
                bundle,
                limit=MAX_BUNDLE,
                room=lambda size: has_room(image.incoming, size),
                step=lambda percent, doing: step(percent * begun // 100, doing),
            )
        try:
            async with contextlib.aclosing(image.install(bundle, self._well())) as steps:
                async for each in steps:
                    step(begun + each.percent * (100 - begun) // 100, each.doing)
        finally:
            if bundle.parent == image.incoming:  # whoever reads it still has it open
                bundle.unlink(missing_ok=True)

    def _say(self, latest: Installation) -> None:
        self._latest = latest
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def has_room(directory: Path, size: int) -> None:
    """Raises UpdateRefused if `size` bytes don't fit into what may be used of the disk, or OSError."""
    if size > MAX_BUNDLE:
        raise UpdateRefused(f"the bundle has {size:,} bytes, and {MAX_BUNDLE:,} is the most that is taken")
    free = shutil.disk_usage(directory).free
    if free < size + SPARE:
        raise UpdateRefused(
            f"the disk has no room for the bundle: {size >> 20} MiB and {SPARE >> 20} MiB to spare are needed, and "
            f"{free >> 20} MiB are free"
        )


def _kept(path: Path, body: bytes, offset: int, size: int) -> Upload:
    """Blocking. Raises UpdateRefused, OutOfPlace or OSError."""
    if offset == 0:
        path.unlink(missing_ok=True)
        has_room(path.parent, size)
    with path.open("ab") as file:
        received = file.tell()
        if received != offset:
            raise OutOfPlace(received)
        if offset + len(body) > size:
            raise UpdateRefused(f"more came than the {size:,} bytes that were announced")
        file.write(body)
    return Upload(str(path), offset + len(body))
