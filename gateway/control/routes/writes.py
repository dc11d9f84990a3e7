"""Writing to devices, at most once by id. What came of a write that was accepted is an answer or a refusal with it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Protocol

from pydantic import Field
from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.commands import Outcome, Preview, WriteDesk, WriteRecord, WriteRefused, WriteRequest
from gateway.commands.request import WRITE_ID, as_json, from_json
from gateway.control.operation import Answer, Body, Call, NoQuery, Operation, Refusal
from gateway.live import Live
from gateway.live.describe import current
from gateway.model import quality_name

_REFUSED = {
    "no-such-tag": 404,
    "writes-disabled": 403,
    "not-writable": 403,
    "role-too-low": 403,
    "reason-missing": 422,
    "bad-request": 422,
    "out-of-limits": 422,
    "expired": 409,
    "id-reused": 409,
    "too-fast": 429,
    "not-recorded": 503,
    "stopping": 503,
}
"""Code → HTTP status of a request that isn't accepted."""
_CAME = {
    "not-as-expected": 409,
    "reads-otherwise": 409,
    "device-refused": 422,
    "not-sent": 503,
    "unreachable": 502,
    "unknown": 504,
}
"""The same for one that was."""


class HasLive(Protocol):
    """`gateway.runtime.Runtime`, as far as this door needs it."""

    @property
    def live(self) -> Live: ...


class Wanted(Body):
    tag: str = Field(max_length=1000, description="`device/tag`.")
    value: Any = Field(description="As published, in the tag's unit.")
    id: str = Field(
        pattern=f"^{WRITE_ID}$",
        description="Made by you, never used before, such as a UUID: 8 to 64 of A-Z a-z 0-9 . _ : -. "
        "Asked again by the same id, nothing is sent a second time.",
    )
    reason: str | None = Field(default=None, max_length=500)
    ttl_ms: float | None = Field(
        default=None, gt=0, le=86_400_000, description="Not sent later than this. Default: `write.ttl_ms`."
    )
    expires: str | None = Field(
        default=None, max_length=40, description="Not sent later than at this moment: RFC 3339, UTC."
    )
    expected: Any = Field(default=None, description="Sent only if the device reads this right before.")


class Looked(Body):
    tag: str = Field(max_length=1000, description="`device/tag`.")
    value: Any = Field(default=None, description="What would be written. Left out: look at the tag only.")
    reason: str | None = Field(default=None, max_length=500)


class WriteAnswer(TypedDict):
    id: str
    tag: str
    value: Any
    outcome: str
    """`written`, `refused` (nothing was changed), `differs`, `unknown` or `pending`."""
    sent: bool | None
    """Null: that isn't known."""
    read_back: Any
    code: str | None
    message: str | None
    reason: str | None
    actor: str
    role: str
    via: str
    asked_ms: int
    """ms since 1970 UTC."""
    done_ms: int | None


class Current(TypedDict):
    value: Any
    quality: int
    quality_name: str
    timestamp_ms: int | None


class PreviewRefusal(TypedDict):
    code: str
    message: str
    mend: str


class PreviewAnswer(TypedDict):
    tag: str
    type: str
    count: int | None
    unit: str | None
    description: str | None
    writable: bool
    enabled: bool
    """Whether anything may be written on this gateway."""
    min: float | None
    max: float | None
    step: float | None
    role: str
    require_reason: bool
    min_interval_ms: float
    ttl_ms: float
    current: Current
    refusal: PreviewRefusal | None
    """Why the value wouldn't be taken."""
    frames: list[str] | None
    """What would go out, a line a request. Null: the driver can't say, or there is no value."""


def operations(desk: WriteDesk, runtime: HasLive) -> list[Operation[Any, Any]]:
    async def write_tag(call: Call[NoQuery, Wanted]) -> dict[str, Any]:
        try:
            desk.target(call.body.tag)
            record = await desk.write(call.actor, _request(call.body))
        except WriteRefused as refused:
            raise _refusal(refused) from None
        if record.outcome is not Outcome.WRITTEN:
            code = record.code or "unknown"
            raise Refusal(_CAME[code], code, record.message or "it isn't known", _mend(record), write=_answer(record))
        return _answer(record)

    async def get_write(call: Call[NoQuery, None]) -> dict[str, Any]:
        try:
            record = await desk.find(call.path["id"])
        except WriteRefused as refused:
            raise _refusal(refused) from None
        if record is None:
            raise Refusal(
                404, "no-such-write", f"no write of the id {call.path['id']!r} is remembered", "ids are kept for a day"
            )
        return _answer(record)

    async def preview_write(call: Call[NoQuery, Looked]) -> dict[str, Any]:
        body = call.body
        with_value = "value" in body.model_fields_set
        request = WriteRequest(body.tag, from_json(body.value), "preview-only", body.reason)
        try:
            preview = desk.preview(call.actor.role, request, with_value=with_value)
        except WriteRefused as refused:
            raise _refusal(refused) from None
        return _preview(preview, runtime.live)

    return [
        Operation(
            "POST",
            "/v1/writes",
            "write_tag",
            Role.OPERATOR,
            "Write one value to a device, once, within the limits of its tag, and read it back.",
            write_tag,
            Answer(WriteAnswer, description="Written, and read back as the same value."),
            body=Wanted,
            refusals=tuple(sorted({*_REFUSED.values(), *_CAME.values()} - {403, 404, 422})),
        ),
        Operation(
            "POST",
            "/v1/writes/preview",
            "preview_write",
            Role.VIEWER,
            "Say what a write would be: the current value, the limits, whether it would be taken, the exact frame.",
            preview_write,
            Answer(PreviewAnswer),
            body=Looked,
            refusals=(503,),
        ),
        Operation(
            "GET",
            "/v1/writes/{id}",
            "get_write",
            Role.OPERATOR,
            "Say what came of a write of the last day.",
            get_write,
            Answer(WriteAnswer),
            refusals=(503,),
        ),
    ]


def _request(body: Wanted) -> WriteRequest:
    """Raises Refusal."""
    return WriteRequest(
        tag=body.tag,
        value=from_json(body.value),
        id=body.id,
        reason=body.reason,
        ttl_s=None if body.ttl_ms is None else body.ttl_ms / 1000,
        expires_ns=None if body.expires is None else _moment(body.expires),
        expected=from_json(body.expected),
    )


def _moment(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        return round(moment.astimezone(UTC).timestamp() * 1e9)
    except (ValueError, OverflowError):
        raise Refusal(
            422, "bad-body", f"expires is {text!r}, which is no moment", "write it like 2026-01-31T12:00:00Z"
        ) from None


def _refusal(refused: WriteRefused) -> Refusal:
    more: dict[str, Any] = {} if refused.retry_after_s is None else {"retry_after_s": round(refused.retry_after_s, 3)}
    return Refusal(_REFUSED[refused.code], refused.code, str(refused), refused.mend, **more)


def _mend(record: WriteRecord) -> str:
    if record.outcome is Outcome.REFUSED:
        return "mend the cause, then write again with a new id"
    return "look at the device and at the tag's value before you write again"


def _answer(record: WriteRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "tag": record.tag,
        "value": as_json(record.value),
        "outcome": record.outcome.value,
        "sent": record.sent,
        "read_back": as_json(record.read_back),
        "code": record.code,
        "message": record.message,
        "reason": record.reason,
        "actor": record.actor,
        "role": record.role,
        "via": record.via,
        "asked_ms": record.asked_ns // 1_000_000,
        "done_ms": None if record.done_ns is None else record.done_ns // 1_000_000,
    }


def _preview(preview: Preview, live: Live) -> dict[str, Any]:
    refusal = preview.refusal
    return {
        **preview.target.to_json(),
        "enabled": preview.enabled,
        "ttl_ms": preview.ttl_s * 1000,
        "current": _current(preview.target.name, live),
        "refusal": refusal and {"code": refusal.code, "message": str(refusal), "mend": refusal.mend},
        "frames": None if preview.frames is None else list(preview.frames),
    }


def _current(tag: str, live: Live) -> dict[str, Any]:
    value, quality, at_ms = current(live.directory.find(tag), wall_ns=live.wall_ns(), mono_ns=live.mono_ns())
    return {
        "value": as_json(value),
        "quality": quality,
        "quality_name": quality_name(quality),
        "timestamp_ms": at_ms,
    }
