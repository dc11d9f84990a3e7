"""The configuration: looking at it, drafting a change, making it, going back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal, cast

from pydantic import Field

from gateway.actors import Role
from gateway.changes.bodies import Change, Difference, Files, JsonSchema, Overview, OwnerBody, SettingsView
from gateway.changes.changes import Changes
from gateway.changes.drafting import differences
from gateway.changes.errors import ChangeRefused
from gateway.changes.history import Revision
from gateway.changes.owner import NAME
from gateway.changes.ports import CONFIRM_WITHIN_S, LONGEST_CONFIRM_S, How
from gateway.changes.view import view
from gateway.config.archive import pack
from gateway.config.export import json_schema
from gateway.config.tree import Tree
from gateway.control.operation import EXACT, Answer, Body, Call, File, NoQuery, Operation, Query, file
from gateway.control.refusing import change_errors
from gateway.control.routes import draft
from gateway.control.routes.draft import Seen, texts


class Which(Query):
    of: str = Field(
        default="files",
        pattern=r"^(files|running|draft|[1-9][0-9]{0,8})$",
        description="`files` (what is in place), `running`, `draft`, or the number of a revision.",
    )


class Against(Query):
    to: str = Field(
        default="",
        pattern=r"^(files|running|draft|[1-9][0-9]{0,8})?$",
        description="What to compare with: as `of`. Default: the revision before.",
    )


class ChangeBody(Body):
    """How a change is to be made."""

    reason: str = Field(default="", max_length=500, description="Why, for the history and the audit log.")
    confirm_within_s: float = Field(
        default=CONFIRM_WITHIN_S,
        ge=0,
        le=LONGEST_CONFIRM_S,
        description="It comes back by itself unless it is confirmed in this time. 0: it needs no confirmation.",
    )
    confirm_by: Literal["hand", "health"] = Field(
        default="hand",
        description="`health`: the gateway confirms it once every sink and device that was well before, and still is "
        "configured, is well again.",
    )
    acting_as: str | None = Field(
        default=None, max_length=64, description="The owner in whose name it is made, such as `ansible`."
    )

    def how(self) -> How:
        return How(self.reason, self.confirm_within_s, self.confirm_by, self.acting_as)


class RollbackBody(ChangeBody):
    """Where to go back to, and how."""

    to: int | None = Field(default=None, ge=1, le=EXACT, description="A revision. Default: what was before.")


class NewOwner(Body):
    name: str = Field(pattern=f"^{NAME}$", description="`page`, or a tool such as `ansible`.")


def operations(changes: Changes) -> list[Operation[Any, Any]]:
    """The operations of one gateway's configuration."""
    return [*_looking(changes), *draft.operations(changes), *_changing(changes)]


def _looking(changes: Changes) -> list[Operation[Any, Any]]:
    async def get_config(_: Call[NoQuery, None]) -> Overview:
        with change_errors():
            return await changes.overview()

    async def get_config_files(call: Call[Which, None]) -> Files:
        with change_errors():
            tree = await changes.tree_of(call.query.of)
        return {"digest": tree.digest, "main": tree.main, "files": texts(tree)}

    async def get_config_settings(call: Call[Which, None]) -> SettingsView:
        with change_errors():
            tree = await changes.tree_of(call.query.of)
            settings = changes.settings if call.query.of == "running" else await changes.drafting.check(tree)
        return await asyncio.to_thread(view, tree, settings)

    async def get_config_schema(_: Call[NoQuery, None]) -> JsonSchema:
        return cast(JsonSchema, await asyncio.to_thread(json_schema))

    async def export_config(call: Call[Which, None]) -> File:
        with change_errors():
            tree = await changes.tree_of(call.query.of)
        return File(pack(tree.files), "application/x-tar", f"tidegate-{tree.digest[:8]}.tar")

    async def get_config_history(_: Call[NoQuery, None]) -> list[Revision]:
        return changes.records.revisions

    async def get_config_revision(call: Call[NoQuery, None]) -> Revision:
        with change_errors():
            return changes.records.revision(_number(call.path))

    async def diff_config_revision(call: Call[Against, None]) -> Difference:
        with change_errors():
            number = _number(call.path)
            tree = await changes.tree_of(str(number))
            before = next((each.number for each in changes.records.revisions if each.number < number), None)
            if not call.query.to and before is None:
                return await asyncio.to_thread(differences, Tree(tree.main, {}), tree)
            return await asyncio.to_thread(differences, await changes.tree_of(call.query.to or str(before)), tree)

    return [
        Operation(
            "GET",
            "/v1/config",
            "get_config",
            Role.VIEWER,
            "Say which files make the configuration, who owns it, and whether a change waits to be confirmed.",
            get_config,
            Answer(Overview),
        ),
        Operation(
            "GET",
            "/v1/config/files",
            "get_config_files",
            Role.VIEWER,
            "Give the text of every file.",
            get_config_files,
            Answer(Files),
            query=Which,
        ),
        Operation(
            "GET",
            "/v1/config/settings",
            "get_config_settings",
            Role.VIEWER,
            "Give the configuration with every default filled in: links, devices, groups, tags.",
            get_config_settings,
            Answer(SettingsView),
            query=Which,
        ),
        Operation(
            "GET",
            "/v1/config/schema",
            "get_config_schema",
            Role.VIEWER,
            "Give the JSON Schema of the configuration, the drivers' keys included.",
            get_config_schema,
            Answer(JsonSchema),
        ),
        Operation(
            "GET",
            "/v1/config/export",
            "export_config",
            Role.VIEWER,
            "Give all files as one tar archive. Secrets are references, so they aren't in it.",
            export_config,
            file("application/x-tar"),
            query=Which,
        ),
        Operation(
            "GET",
            "/v1/config/history",
            "get_config_history",
            Role.VIEWER,
            "List the revisions, the newest first.",
            get_config_history,
            Answer(list[Revision]),
        ),
        Operation(
            "GET",
            "/v1/config/history/{number}",
            "get_config_revision",
            Role.VIEWER,
            "Say who made a revision, when, why, and what came of it.",
            get_config_revision,
            Answer(Revision),
        ),
        Operation(
            "GET",
            "/v1/config/history/{number}/diff",
            "diff_config_revision",
            Role.VIEWER,
            "Say what a revision changed, as text and in words.",
            diff_config_revision,
            Answer(Difference),
            query=Against,
            refusals=(409,),
        ),
    ]


def _changing(changes: Changes) -> list[Operation[Any, Any]]:
    async def apply_config(call: Call[Seen, ChangeBody]) -> Change:
        with change_errors():
            return await changes.apply(call.actor, call.body.how(), call.query.version)

    async def confirm_config(call: Call[NoQuery, None]) -> Revision:
        with change_errors():
            return await changes.confirm(call.actor)

    async def rollback_config(call: Call[NoQuery, RollbackBody]) -> Change:
        with change_errors():
            return await changes.rollback(call.actor, call.body.how(), call.body.to)

    async def set_config_owner(call: Call[NoQuery, NewOwner]) -> OwnerBody:
        with change_errors():
            await changes.set_owner(call.actor, call.body.name)
        return changes.records.owner.body()

    return [
        Operation(
            "POST",
            "/v1/config/apply",
            "apply_config",
            Role.ENGINEER,
            "Run the draft. Unless it is confirmed in time, the configuration before it comes back.",
            apply_config,
            Answer(Change),
            query=Seen,
            body=ChangeBody,
            refusals=(409, 507),
        ),
        Operation(
            "POST",
            "/v1/config/confirm",
            "confirm_config",
            Role.ENGINEER,
            "Make the change that runs permanent.",
            confirm_config,
            Answer(Revision),
            refusals=(409, 507),
        ),
        Operation(
            "POST",
            "/v1/config/rollback",
            "rollback_config",
            Role.ENGINEER,
            "Take back the change that is unconfirmed, or go back to an earlier revision by a new change.",
            rollback_config,
            Answer(Change),
            body=RollbackBody,
            refusals=(409, 507),
        ),
        Operation(
            "PUT",
            "/v1/config/owner",
            "set_config_owner",
            Role.ADMIN,
            "Say who changes the configuration: people, or one tool.",
            set_config_owner,
            Answer(OwnerBody),
            body=NewOwner,
            refusals=(409, 507),
        ),
    ]


def _number(path: Mapping[str, str]) -> int:
    number = path["number"]
    if not (number.isascii() and number.isdigit()):
        raise ChangeRefused(404, "no-such-revision", f"there is no revision {number}", "see: tidegate config history")
    return int(number[:9])
