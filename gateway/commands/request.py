"""What is asked of the desk, and what came of it."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import orjson

from gateway.model import Value

WRITE_ID = r"[A-Za-z0-9._:-]{8,64}"
LONGEST_REASON = 500
LONGEST_VALUE = 16 * 1024


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One value for one tag, once."""

    tag: str
    """``device/path``."""
    value: Value
    """As published, in the tag's unit."""
    id: str
    """Made by whoever asks; the same id is never sent twice."""
    reason: str | None = None
    ttl_s: float | None = None
    """It isn't sent later than this after it was asked. None: the gateway's own bound."""
    expires_ns: int | None = None
    """Nor later than this moment, ns since 1970 UTC; needs a gateway whose clock is right."""
    expected: Value = None
    """It is only sent if the device reads this right before. None: whatever it reads."""

    @property
    def place(self) -> tuple[str, str]:
        """(device, path)"""
        device, _, path = self.tag.partition("/")
        return device, path

    @property
    def digest(self) -> str:
        """What makes a repetition one: tag, value and expectation. Only of a request whose form was checked."""
        body = orjson.dumps([self.tag, as_json(self.value), as_json(self.expected)])
        return hashlib.sha256(body).hexdigest()[:32]


class Outcome(enum.StrEnum):
    """What came of a write."""

    WRITTEN = "written"
    """Sent, accepted, and read back as the same value."""
    REFUSED = "refused"
    """Nothing was changed."""
    DIFFERS = "differs"
    """Sent and accepted, but it reads back as something else, or can't be read back."""
    UNKNOWN = "unknown"
    """It may have been carried out or not."""
    PENDING = "pending"
    """It is under way."""


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """One accepted write, as it is remembered."""

    id: str
    digest: str
    tag: str
    value: Value
    reason: str | None
    actor: str
    role: str
    via: str
    asked_ns: int
    """Wall clock, ns since 1970 UTC."""
    outcome: Outcome = Outcome.PENDING
    sent: bool | None = None
    """Whether anything went out; None: that isn't known."""
    read_back: Value = None
    code: str | None = None
    """Of any outcome but ``written``: ``not-as-expected``, ``unreachable``, ``not-sent``, ``device-refused``,
    ``reads-otherwise`` or ``unknown``."""
    message: str | None = None
    """One sentence about it."""
    done_ns: int | None = None

    def to_json(self) -> dict[str, Any]:
        body = asdict(self)
        body["value"], body["read_back"] = as_json(self.value), as_json(self.read_back)
        return body

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> Self:
        """Raises KeyError, TypeError or ValueError."""
        return cls(
            **{
                **body,
                "value": from_json(body["value"]),
                "read_back": from_json(body["read_back"]),
                "outcome": Outcome(body["outcome"]),
            }
        )


class WriteRefused(Exception):
    """A request isn't accepted; nothing was sent, and nothing is remembered. `str` is one sentence."""

    def __init__(self, code: str, message: str, mend: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        """``no-such-tag``, ``writes-disabled``, ``not-writable``, ``role-too-low``, ``reason-missing``,
        ``bad-request``, ``out-of-limits``, ``expired``, ``too-fast``, ``id-reused``, ``not-recorded`` or
        ``stopping``."""
        self.mend = mend
        self.retry_after_s = retry_after_s


def check_form(request: WriteRequest) -> None:
    """Raises WriteRefused for a request that makes no sense, whatever the tag."""
    if not re.fullmatch(WRITE_ID, request.id):
        raise WriteRefused(
            "bad-request",
            f"{request.id!r} can't be the id of a write",
            "send 8 to 64 letters, digits and . _ : - that you never used before, such as a UUID",
        )
    if request.reason is not None and len(request.reason) > LONGEST_REASON:
        raise WriteRefused("bad-request", f"the reason is longer than {LONGEST_REASON} characters", "shorten it")
    if request.ttl_s is not None and not 0 < request.ttl_s <= 86_400:
        raise WriteRefused("bad-request", f"ttl is {request.ttl_s:g} s", "give more than 0 and at most a day")

    if len(_encoded(request.value)) > LONGEST_VALUE or len(_encoded(request.expected)) > LONGEST_VALUE:
        raise WriteRefused("bad-request", f"the value is longer than {LONGEST_VALUE} bytes", "write less at once")


def _encoded(value: Value) -> bytes:
    try:
        return orjson.dumps(as_json(value))
    except TypeError as error:
        raise WriteRefused("bad-request", f"the value can't be understood: {error}", "write another one") from None


def as_json(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value


def from_json(value: Any) -> Value:
    return tuple(value) if isinstance(value, list) else value
