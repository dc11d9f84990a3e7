"""The update slots of the box: what `gateway.ops.slots` asks of an image, on RAUC.

Everything here runs as the gateway's user. RAUC, which runs as root, checks the signature, compatibility and, by
``min-bundle-version``, the version floor again by itself.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from gateway.ops.files import write_atomically
from gateway.ops.slots import Slot, Step, Trial, UpdateRefused
from tidegate_appliance.places import Places
from tidegate_appliance.rauc import Rauc, RaucError, RaucSlot, rauc
from tidegate_appliance.refusals import BUSY, TRY_AGAIN, refused
from tidegate_appliance.release import floor_of, is_older, release_of
from tidegate_appliance.trial import Attempt, TrialFile, start_of

_log = logging.getLogger(__name__)


class RaucSlots:
    """An :class:`gateway.ops.slots.Appliance`."""

    name = "Tidegate image"

    def __init__(self, places: Places) -> None:
        self._places = places
        self._trial = TrialFile(places.trial)
        self._latest: Sequence[Slot] = ()
        """As they were when RAUC last told: while it installs it answers nothing."""

    @property
    def incoming(self) -> Path:
        return self._places.incoming

    @property
    def address(self) -> str | None:
        try:
            return self._places.update_url.read_text().strip() or None
        except OSError:
            return None

    async def slots(self) -> Sequence[Slot]:
        try:
            async with rauc() as service:
                listed, primary = await service.slots(), await service.primary()
        except RaucError as error:
            if BUSY in str(error).lower():
                return self._while_busy()
            raise refused(str(error)) from None
        attempt = self._trial.read()
        self._latest = [self._told(slot, primary, attempt) for slot in listed]
        return self._latest

    async def trial(self) -> Trial | None:
        attempt = self._trial.read()
        if attempt is None:
            return None
        phase = attempt.phase(start_of(self._places))
        if phase in ("waiting", "running", "fallen"):
            return Trial(attempt.version, attempt.slot, phase, attempt.sentence(phase))
        return None

    async def install(self, bundle: Path, well: Collection[str]) -> AsyncGenerator[Step]:
        yield Step(0, "checking the signature")
        try:
            async with rauc() as service:
                attempt = await self._begin(service, bundle, well)
                try:
                    async with contextlib.aclosing(written(service, bundle)) as steps:
                        async for step in steps:
                            yield step
                except RaucError:
                    self._trial.forget()
                    raise
                self._trial.change(attempt, state="installed")
        except RaucError as error:
            _log.error("update: RAUC says: %s", error)
            raise refused(str(error)) from None
        except OSError as error:
            raise UpdateRefused(f"what updates must remember can't be written: {error.strerror or error}") from None

    async def leaving(self, well: Collection[str]) -> None:
        attempt = self._trial.read()
        if attempt is not None and attempt.phase(start_of(self._places)) == "waiting":
            self._trial.change(attempt, well=tuple(sorted(well)))

    async def confirm(self) -> None:
        """What runs works: the boot loader counts its attempts anew, and it is on trial no more.

        Raises UpdateRefused or OSError.
        """
        try:
            async with rauc() as service:
                await service.mark("good", "booted")
        except RaucError as error:
            raise refused(str(error)) from None
        attempt = self._trial.read()
        if attempt is not None and attempt.phase(start_of(self._places)) == "running":
            self._trial.forget()
        self._raise_floor()

    async def mark_good(self) -> None:
        """Also: what waits for a restart is given up, and what fell back is no news any more."""
        await self.confirm()
        try:
            async with rauc() as service:
                if await service.primary() != _booted(await service.slots()).name:
                    await service.mark("active", "booted")
        except RaucError as error:
            raise refused(str(error)) from None
        self._trial.forget()

    async def roll_back(self) -> None:
        attempt = self._trial.read()
        fallen = attempt is not None and attempt.phase(start_of(self._places)) == "fallen"
        try:
            async with rauc() as service:
                other = next((slot for slot in await service.slots() if not slot.booted), None)
                if other is None or not _holds_something(other):
                    raise UpdateRefused("the other slot is empty")
                if attempt is not None and fallen and attempt.slot == other.bootname:
                    raise UpdateRefused(f"the other slot holds {attempt.version}, which didn't work")
                await service.mark("active", other.name)
        except RaucError as error:
            raise refused(str(error)) from None
        if attempt is not None and attempt.slot != other.bootname:
            self._trial.forget()  # it is left on purpose: that is no failure of it

    async def _begin(self, service: Rauc, bundle: Path, well: Collection[str]) -> Attempt:
        """Look at a bundle before anything is written. Raises RaucError, UpdateRefused or OSError."""
        on_trial = self._trial.read()
        if on_trial is not None and on_trial.phase(start_of(self._places)) == "running":
            raise UpdateRefused(
                f"{on_trial.version} is on trial, and the other slot is the way back: wait until it has proved itself"
            )
        await self.slots()
        manifest = await service.inspect(bundle)
        mine = await service.compatible()
        if manifest.compatible != mine:
            raise UpdateRefused(f"the bundle is for {manifest.compatible}, and this machine is {mine}")
        if not manifest.version:
            raise UpdateRefused("the bundle doesn't say which version it is")
        floor = self._floor()
        if is_older(manifest.version, floor):
            raise UpdateRefused(
                f"the bundle has version {manifest.version}, and this machine takes none before {floor} any more"
            )
        slots = await service.slots()
        target = next((slot for slot in slots if not slot.booted), None)
        if target is None:
            raise UpdateRefused("there is no other slot to install it into")
        running = release_of(self._places.release).version
        return self._trial.begin(manifest.version, target.bootname, running, well, start_of(self._places))

    def _floor(self) -> str:
        """The higher of what this release says and what one before it said that was kept."""
        kept = ""
        with contextlib.suppress(OSError):
            kept = self._places.floor.read_text().strip()
        said = floor_of(self._places.rauc_conf)
        return said if is_older(kept, said) else kept

    def _raise_floor(self) -> None:
        floor = self._floor()
        try:
            if floor and (not self._places.floor.exists() or self._places.floor.read_text().strip() != floor):
                write_atomically(self._places.floor, f"{floor}\n".encode())
        except OSError as error:
            _log.error("the oldest version that may be installed can't be noted: %s", error)

    def _while_busy(self) -> Sequence[Slot]:
        """What runs, and that the other slot's content is being replaced, as far as this process knew them before."""
        if not self._latest:
            return [Slot(start_of(self._places).slot, release_of(self._places.release).version, True, True, True)]
        return [slot if slot.booted else replace(slot, version=None, good=False) for slot in self._latest]

    def _told(self, slot: RaucSlot, primary: str, attempt: Attempt | None) -> Slot:
        version = slot.version
        if slot.booted:
            with contextlib.suppress(OSError):
                version = release_of(self._places.release).version or version
        elif slot.status and slot.status != "ok":
            version = None  # its installation was cut off
        on_trial = attempt is not None and attempt.slot == slot.bootname
        installed = None if slot.installed is None else int(datetime.fromisoformat(slot.installed).timestamp() * 1000)
        return Slot(
            slot.bootname, version, slot.booted, slot.name == primary, slot.bootable and not on_trial, installed
        )


def appliance() -> RaucSlots:
    """The entry point."""
    return RaucSlots(Places())


async def written(service: Rauc, bundle: Path) -> AsyncGenerator[Step]:
    """Have RAUC install a bundle; once more, where that is known to help. Raises RaucError."""
    for last in (False, True):
        try:
            async with contextlib.aclosing(service.install(bundle)) as steps:
                async for percent, doing in steps:
                    yield Step(percent, doing)
            return
        except RaucError as error:
            if last or TRY_AGAIN not in str(error):
                raise
            _log.warning("update: RAUC says %s; once more", error)


def _booted(slots: Sequence[RaucSlot]) -> RaucSlot:
    """Raises RaucError."""
    for slot in slots:
        if slot.booted:
            return slot
    raise RaucError("no slot is the one that runs")


def _holds_something(slot: RaucSlot) -> bool:
    return slot.bootable and slot.status in ("", "ok")
