"""The update slots of the box: what `gateway.ops.slots` asks of an image, on RAUC.

Everything here runs as the gateway's user. RAUC, which runs as root, checks the signature, compatibility and, by
``min-bundle-version``, the version floor again by itself.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncGenerator, Collection, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from gateway.ops.files import write_atomically
from gateway.ops.slots import Slot, Step, Trial, UpdateRefused
from tidegate_appliance.kept import Kept, read_kept, write_kept
from tidegate_appliance.places import Places
from tidegate_appliance.rauc import Rauc, RaucError, RaucSlot, rauc
from tidegate_appliance.refusals import BUSY, TRY_AGAIN, refused
from tidegate_appliance.release import floor_of, is_older, release_of
from tidegate_appliance.trial import Attempt, Phase, Start, TrialFile, start_of

_log = logging.getLogger(__name__)

_GO_BACK = "go back to it (tidegate update rollback, then restart), or keep what runs (tidegate update mark-good)"


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
        attempt, kept, start = self._trial.read(), read_kept(self._places.kept), start_of(self._places)
        if attempt is not None and (phase := attempt.phase(start)) in ("waiting", "running", "fallen"):
            return Trial(attempt.version, attempt.slot, phase, attempt.sentence(phase), self._mend(phase))
        if kept is not None and kept.gave_way(start):
            sentence = kept.sentence(release_of(self._places.release).version)
            return Trial(kept.version, kept.slot, "fallen", sentence, _GO_BACK)
        return None

    async def install(self, bundle: Path, well: Collection[str]) -> AsyncGenerator[Step]:
        yield Step(0, "checking the signature")
        with _refusing():
            try:
                async with rauc() as service:
                    before = self._trial.read()
                    attempt = await self._begin(service, bundle, well, before)
                    try:
                        async with contextlib.aclosing(written(service, bundle)) as steps:
                            async for step in steps:
                                yield step
                    except RaucError:
                        # It may not have come to the slot: what never proved itself there still hasn't.
                        if before is None:
                            self._trial.forget()
                        else:
                            self._trial.change(before, state="dropped")
                        raise
                    self._trial.change(attempt, state="installed")
            except RaucError as error:
                _log.error("update: RAUC says: %s", error)
                raise

    async def leaving(self, well: Collection[str]) -> None:
        attempt = self._trial.read()
        if attempt is not None and attempt.phase(start_of(self._places)) == "waiting":
            self._trial.change(attempt, well=tuple(sorted(well)))

    async def confirm(self) -> None:
        """What runs works: the boot loader counts its attempts anew, and it is on trial no more.

        What failed before is taken out of the boot loader's order: else it comes first once both slots run out of
        attempts. Raises UpdateRefused or OSError.
        """
        start, attempt = start_of(self._places), self._trial.read()
        phase = "none" if attempt is None else attempt.phase(start)
        try:
            async with rauc() as service:
                await service.mark("good", "booted")
                if attempt is not None and attempt.state in ("fallen", "dropped") and attempt.slot != start.slot:
                    await service.mark("bad", "other")
        except RaucError as error:
            raise refused(str(error)) from None
        proved = phase == "running" or self._trial.lost
        if proved or read_kept(self._places.kept) is None:
            self._keep(start)
        if proved:
            self._trial.forget()
        self._raise_floor()

    async def mark_good(self) -> None:
        """Also: what waits for a restart is given up, and what fell back is no news any more."""
        with _refusing():
            await self.confirm()
            start, attempt = start_of(self._places), self._trial.read()
            other = attempt if attempt is not None and attempt.slot != start.slot else None
            async with rauc() as service:
                if other is not None:
                    await service.mark("bad", "other")
                if await service.primary() != _booted(await service.slots()).name:
                    await service.mark("active", "booted")
            if other is not None:
                self._trial.change(other, state="dropped")
            else:
                self._trial.forget()
            self._keep(start)

    async def roll_back(self) -> None:
        with _refusing():
            start, attempt = start_of(self._places), self._trial.read()
            fallen = attempt is not None and attempt.phase(start) == "fallen"
            async with rauc() as service:
                other = next((slot for slot in await service.slots() if not slot.booted), None)
                if other is None or not _holds_something(other):
                    raise UpdateRefused("the other slot is empty")
                if attempt is not None and fallen and attempt.slot == other.bootname:
                    raise UpdateRefused(f"the other slot holds {attempt.version}, which didn't work")
                await service.mark("active", other.name)
            unproved = attempt is not None and attempt.slot == other.bootname
            if not unproved:
                write_kept(self._places.kept, Kept(other.version or "", other.bootname, start.id))
            if attempt is not None:
                # What is left on purpose hasn't failed; what never proved itself is on trial, whoever chose it.
                state = "installed" if unproved else "dropped"
                self._trial.change(attempt, state=state, failure="", boot_id=start.id)

    async def _begin(self, service: Rauc, bundle: Path, well: Collection[str], before: Attempt | None) -> Attempt:
        """Look at a bundle before anything is written. `before`: what was noted until now. Raises RaucError,
        UpdateRefused or OSError.
        """
        if before is not None and before.phase(start_of(self._places)) == "running":
            raise UpdateRefused(
                f"{before.version} is on trial, and the other slot is the way back: wait until it has proved itself"
            )
        if self._trial.lost:
            raise UpdateRefused(
                f"{self._places.trial} can't be read, and what runs may be on trial: "
                "wait until it has proved itself, or keep it"
            )
        await self.slots()
        manifest = await service.inspect(bundle)
        mine = await service.compatible()
        if manifest.compatible != mine:
            raise UpdateRefused(f"the bundle is for {manifest.compatible}, and this machine is {mine}")
        if not manifest.version:
            raise UpdateRefused("the bundle doesn't say which version it is")
        try:
            floor = self._floor()
        except OSError as error:
            raise UpdateRefused(
                f"the oldest version that may be installed isn't known, as {self._places.floor} can't be read: "
                f"{error.strerror or error}; restart, and remove that file if it stays so"
            ) from None
        if is_older(manifest.version, floor):
            raise UpdateRefused(
                f"the bundle has version {manifest.version}, and this machine takes none before {floor} any more"
            )
        slots = await service.slots()
        target = next((slot for slot in slots if not slot.booted), None)
        if target is None:
            raise UpdateRefused("there is no other slot to install it into")
        running = release_of(self._places.release).version
        self._places.fallen_log.unlink(missing_ok=True)
        return self._trial.begin(manifest.version, target.bootname, running, well, start_of(self._places))

    def _keep(self, start: Start) -> None:
        """Note that what runs is meant to. Where there is no room for that, nothing is known rather than what was."""
        try:
            write_kept(self._places.kept, Kept(release_of(self._places.release).version, start.slot, start.id))
        except OSError as error:
            _log.error("what is kept can't be noted: %s", error)
            with contextlib.suppress(OSError):
                self._places.kept.unlink(missing_ok=True)

    def _mend(self, phase: Phase) -> str:
        """What can be done about it, where the image knows more than the gateway."""
        if phase != "fallen" or not self._places.fallen_log.exists():
            return ""
        return f"look into {self._places.fallen_log}; keep what runs, or install another release"

    def _floor(self) -> str:
        """The higher of what this release says and what one before it said that was kept. Raises OSError."""
        kept = ""
        with contextlib.suppress(FileNotFoundError):
            kept = self._places.floor.read_text().strip()
        said = floor_of(self._places.rauc_conf)
        return said if is_older(kept, said) else kept

    def _raise_floor(self) -> None:
        try:
            floor = self._floor()
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


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """What goes wrong with RAUC or the disk is a refusal."""
    try:
        yield
    except RaucError as error:
        raise refused(str(error)) from None
    except OSError as error:
        raise UpdateRefused(f"what updates must remember can't be written: {error.strerror or error}") from None


def _booted(slots: Sequence[RaucSlot]) -> RaucSlot:
    """Raises RaucError."""
    for slot in slots:
        if slot.booted:
            return slot
    raise RaucError("no slot is the one that runs")


def _holds_something(slot: RaucSlot) -> bool:
    """What RAUC wrote may have been taken out of the boot loader's order since. Of the rest that alone tells."""
    return slot.status == "ok" or (slot.bootable and not slot.status)
