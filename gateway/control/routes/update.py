"""Updates of the whole system, where it runs from slots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from gateway import __version__
from gateway.actors import Role
from gateway.audit import AuditLog
from gateway.control.answers import as_json
from gateway.control.operation import Answer, Body, Call, Event, NoQuery, Operation, Refusal, events
from gateway.ops.slots import Appliance, Installation, Slot, UpdateRefused, Updates


class Bundle(Body):
    path: str = Field(
        min_length=2, max_length=1000, pattern=r"^/[^\x00]*$", description="A signed bundle that the gateway can read."
    )


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    version: str
    """Of the software that runs."""
    image: str | None
    """None: there are no slots, and this installation is updated by its package manager."""
    slots: list[Slot]
    installation: Installation | None
    """The latest since the gateway started."""


def operations(updates: Updates, audit: AuditLog) -> list[Operation[Any, Any]]:
    async def status() -> UpdateStatus:
        image = updates.appliance
        slots = [] if image is None else list(await image.slots())
        return UpdateStatus(__version__, None if image is None else image.name, slots, updates.latest)

    async def get_update(_: Call[NoQuery, None]) -> UpdateStatus:
        return await status()

    async def install_update(call: Call[NoQuery, Bundle]) -> UpdateStatus:
        _image(updates)
        try:
            updates.install(Path(call.body.path))
        except UpdateRefused as error:
            raise _refused(error) from None
        await audit.record(call.actor, "update.install", call.body.path, "begun")
        return await status()

    async def follow_update(_: Call[NoQuery, None]) -> AsyncIterator[Event]:
        return _told(updates.follow())

    async def mark_update_good(call: Call[NoQuery, None]) -> UpdateStatus:
        try:
            await _image(updates).mark_good()
        except UpdateRefused as error:
            raise _refused(error) from None
        await audit.record(call.actor, "update.mark-good", "booted slot", "done")
        return await status()

    async def roll_back_update(call: Call[NoQuery, None]) -> UpdateStatus:
        if updates.busy:
            raise Refusal(409, "update-busy", "an update is being installed", "wait until it is done")
        try:
            await _image(updates).roll_back()
        except UpdateRefused as error:
            raise _refused(error) from None
        await audit.record(call.actor, "update.roll-back", "other slot", "done")
        return await status()

    return [
        Operation(
            "GET", "/v1/update", "get_update", Role.VIEWER,
            "Say what runs, what the other slot holds, and how the latest update went.",
            get_update, Answer(UpdateStatus),
        ),
        Operation(
            "POST", "/v1/update/install", "install_update", Role.ADMIN,
            "Begin to install a signed bundle into the slot that doesn't run.",
            install_update, Answer(UpdateStatus, status=202, description="It has begun."), body=Bundle,
            refusals=(409, 501),
        ),
        Operation(
            "GET", "/v1/update/progress", "follow_update", Role.VIEWER,
            "Stream how the latest installation goes on, until it ends.",
            follow_update, events(Installation, "Events `installation`, until it is done or has failed."),
        ),
        Operation(
            "POST", "/v1/update/mark-good", "mark_update_good", Role.ADMIN,
            "Keep the slot that runs: it has proved itself.",
            mark_update_good, Answer(UpdateStatus), refusals=(409, 501),
        ),
        Operation(
            "POST", "/v1/update/roll-back", "roll_back_update", Role.ADMIN,
            "Have the other slot run after the next restart.",
            roll_back_update, Answer(UpdateStatus), refusals=(409, 501),
        ),
    ]  # fmt: skip


def _image(updates: Updates) -> Appliance:
    image = updates.appliance
    if image is None:
        raise Refusal(
            501,
            "no-slots",
            "this installation has no update slots",
            "it is updated by its package manager: apt upgrade, or pip install --upgrade tidegate",
        )
    return image


def _refused(error: UpdateRefused) -> Refusal:
    return Refusal(409, "update-refused", str(error), "see: tidegate update status")


async def _told(source: AsyncIterator[Installation]) -> AsyncIterator[Event]:
    async for latest in source:
        yield Event(as_json(latest), "installation")
