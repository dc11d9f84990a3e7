"""Who changed what, and whether the log of it is whole."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.audit import AuditError, AuditLog, Finding
from gateway.control.operation import EXACT, Answer, Body, Call, NoQuery, Operation, Query, Refusal
from gateway.ops.provisioning import LONGEST_RECORDED, MOST_RECORDED


class Wanted(Query):
    before: int | None = Field(default=None, ge=1, le=EXACT, description="Only rows with a lower number.")
    after: int = Field(default=0, ge=0, le=EXACT, description="Only rows with a higher number.")
    limit: int = Field(default=100, ge=1, le=1000, description="So many at most: the newest.")
    action: str | None = Field(
        default=None, max_length=100, description="This action, or all below it: `write` means `write.done`, too."
    )
    actor: str | None = Field(default=None, max_length=100, description="Who did it.")
    subject: str | None = Field(
        default=None, max_length=500, description="To what, or to anything below it: a device, `device/tag`, a user."
    )


Text = Annotated[str, Field(max_length=LONGEST_RECORDED)]


class ProvisionedSetting(Body):
    file: Text
    name: Text
    outcome: Literal["applied", "refused"]
    said: Text


class Provisioned(Body):
    rows: list[ProvisionedSetting] = Field(max_length=MOST_RECORDED)
    left_out: int = Field(default=0, ge=0, le=EXACT, description="So many settings had no room in `rows`.")


class AuditRow(TypedDict):
    number: int
    """Without a gap, from 1."""
    at: str
    """RFC 3339, UTC."""
    trusted: bool
    """False while the gateway's clock wasn't known to be right."""
    actor: str
    role: str
    via: str
    action: str
    subject: str
    outcome: str
    details: Mapping[str, Any]


class AuditRows(TypedDict):
    rows: list[AuditRow]
    """Newest first."""


class AuditVerification(TypedDict):
    sound: bool
    rows: int
    first: int
    last: int
    hash: str
    """Of the last row. Kept elsewhere, it proves later that nothing up to it was changed."""
    findings: list[Finding]


def operations(log: AuditLog) -> list[Operation[Any, Any]]:
    async def list_audit(call: Call[Wanted, None]) -> dict[str, Any]:
        query = call.query
        try:
            rows = await log.query(
                query.before, query.limit, query.action, query.actor, query.subject, after=query.after
            )
        except OSError as error:
            raise _unreadable(error) from None
        return {"rows": [row.to_json() for row in rows]}

    async def verify_audit(_: Call[NoQuery, None]) -> dict[str, Any]:
        try:
            return (await log.verify()).to_json()
        except OSError as error:
            raise _unreadable(error) from None

    async def note_provisioning(call: Call[NoQuery, Provisioned]) -> None:
        """They are done already, so that here alone a row comes after what it tells."""
        body = call.body
        rows: list[tuple[str, str, dict[str, str]]] = [
            (row.name, row.outcome, {"file": row.file, "said": row.said}) for row in body.rows
        ]
        if body.left_out:
            rows.append((f"{body.left_out} more settings", "left out", {}))
        try:
            await asyncio.gather(
                *(
                    log.record(call.actor, "provisioning.apply", name, outcome, **details)
                    for name, outcome, details in rows
                )
            )
        except AuditError as error:
            raise Refusal(503, "unwritable", f"{error}; the rows are to be sent again", "mend the disk") from None

    return [
        Operation(
            "GET",
            "/v1/audit",
            "list_audit",
            Role.ENGINEER,
            "List what was changed, tried and refused: by whom, when, how it ended.",
            list_audit,
            Answer(AuditRows),
            Wanted,
            refusals=(503,),
        ),
        Operation(
            "GET",
            "/v1/audit/verification",
            "verify_audit",
            Role.ENGINEER,
            "Check every row of the audit log and the chain they form.",
            verify_audit,
            Answer(AuditVerification),
            refusals=(503,),
        ),
        Operation(
            "POST",
            "/v1/audit/provisioning",
            "note_provisioning",
            Role.ADMIN,
            "Put what a provisioning file did into the audit log.",
            note_provisioning,
            Answer(status=204),
            body=Provisioned,
            refusals=(503,),
            internal=True,
        ),
    ]


def _unreadable(error: OSError) -> Refusal:
    return Refusal(503, "unreadable", f"the audit log can't be read: {error.strerror or error}", "mend the disk")
