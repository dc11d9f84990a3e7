"""Updates of the whole system, where it runs from slots."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pydantic import ConfigDict, Field, model_validator

from gateway import __version__
from gateway.actors import Role
from gateway.audit import AuditLog
from gateway.control.answers import as_json
from gateway.control.operation import EXACT, Answer, Body, Call, Event, NoQuery, Operation, Query, Refusal, events
from gateway.ops.download import Source
from gateway.ops.slots import Appliance, Slot, Trial, UpdateRefused
from gateway.ops.updates import Installation, OutOfPlace, Updates, Upload

PART = 4 << 20
"""Bytes of an upload that may come at once."""
_PATH = r"^/[^\x00]*$"


class Bundle(Body):
    """Where a bundle is: either a file or an address."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["path"]}, {"required": ["url"]}],
            "dependentRequired": {"ca": ["url"]},
        }
    )

    path: str = Field(
        default="",
        min_length=2,
        max_length=1000,
        pattern=_PATH,
        description="A signed bundle that the gateway can read.",
    )
    url: str = Field(
        default="",
        min_length=1,
        max_length=2000,
        description="Where to download one: its HTTPS address, not a folder's.",
    )
    ca: str = Field(
        default="",
        min_length=2,
        max_length=1000,
        pattern=_PATH,
        description="Certificates (PEM) of the authority of that server, where the machine doesn't know it.",
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if bool(self.path) == bool(self.url):
            raise ValueError("give either path or url")
        if self.ca and not self.url:
            raise ValueError("ca goes with url")
        return self

    def source(self) -> Path | Source:
        """Raises UpdateRefused."""
        return Source(self.url, Path(self.ca) if self.ca else None) if self.url else Path(self.path)


class Place(Query):
    """Of a part in the whole."""

    offset: int = Field(ge=0, le=EXACT, description="Bytes before this part. 0 begins a new upload.")
    size: int = Field(ge=1, le=EXACT, description="Bytes of the whole bundle.")


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    version: str
    """Of the software that runs."""
    image: str | None
    """None: there are no slots, and this installation is updated by its package manager."""
    address: str | None
    """Where bundles are downloaded from unless somebody says otherwise."""
    slots: list[Slot]
    trial: Trial | None
    """The release that was installed last, until it has proved itself."""
    installation: Installation | None
    """The latest since the gateway started."""


def operations(updates: Updates, audit: AuditLog) -> list[Operation[Any, Any]]:
    async def status() -> UpdateStatus:
        image = updates.appliance
        if image is None:
            return UpdateStatus(__version__, None, None, [], None, updates.latest)
        try:
            return UpdateStatus(
                __version__,
                image.name,
                image.address,
                list(await image.slots()),
                await image.trial(),
                updates.latest,
            )
        except UpdateRefused as error:
            raise _refused(error) from None

    async def get_update(_: Call[NoQuery, None]) -> UpdateStatus:
        return await status()

    async def install_update(call: Call[NoQuery, Bundle]) -> UpdateStatus:
        _image(updates)
        try:
            source = call.body.source()
            updates.check(source)
            # Before it begins: what can't be put down isn't done.
            await audit.record(call.actor, "update.install", str(source), "asked")
            updates.install(
                source,
                lambda end: audit.record(call.actor, "update.install", str(source), end.state, detail=end.detail),
            )
        except UpdateRefused as error:
            raise _refused(error) from None
        return await status()

    async def upload_update(call: Call[Place, bytes]) -> Upload:
        _image(updates)
        if call.query.offset == 0:
            await audit.record(call.actor, "update.upload", f"{call.query.size} bytes", "begun")
        try:
            return await updates.receive(call.body, call.query.offset, call.query.size)
        except OutOfPlace as error:
            raise Refusal(
                409, "out-of-place", str(error), "send what comes after them, or begin anew", received=error.received
            ) from None
        except UpdateRefused as error:
            raise _refused(error) from None

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
            "PUT", "/v1/update/upload", "upload_update", Role.ADMIN,
            "Hand over a bundle, part by part; it is installed by the path in the answer.",
            upload_update, Answer(Upload), query=Place, body=bytes, max_body=PART, refusals=(409, 501),
        ),
        Operation(
            "POST", "/v1/update/install", "install_update", Role.ADMIN,
            "Begin to install a signed bundle, from a file or an address, into the slot that doesn't run.",
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
