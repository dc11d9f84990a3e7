"""Who changed what, and whether the log of it is whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field
from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.audit import AuditLog, Finding
from gateway.control.operation import EXACT, Answer, Call, NoQuery, Operation, Query, Refusal


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
    ]


def _unreadable(error: OSError) -> Refusal:
    return Refusal(503, "unreadable", f"the audit log can't be read: {error.strerror or error}", "mend the disk")
