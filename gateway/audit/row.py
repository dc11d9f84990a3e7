"""One row of the audit log and the line it is kept as.

A line is a JSON object whose last two keys are ``before``, the hash of the row before it, and ``hash``: SHA-256, in
hexadecimal, of the line's own bytes up to the comma in front of ``"hash"``. So every row vouches for all before it, and
any tool can check a line without knowing how JSON is to be written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from gateway.actors import Actor

NOTHING_BEFORE = "0" * 64
"""What the first row of all has before it."""

_MARK = b',"hash":"'
_TAIL = len(_MARK) + 64 + len(b'"}')
_LONGEST_TEXT = 500
_MOST_ITEMS = 100
_LONGEST_DETAILS = 8192
_DEEPEST = 6


@dataclass(frozen=True, slots=True)
class Row:
    """Who did what to what, and how it ended."""

    number: int
    """Counts rows from 1, without a gap."""
    at: str
    """RFC 3339, UTC, to the millisecond."""
    trusted: bool
    """False while the gateway's clock wasn't known to be right."""
    actor: str
    role: str
    via: str
    action: str
    """Noun and verb: ``write.intent``, ``user.add``."""
    subject: str
    """What it was done to: ``filler1/setpoint``, a user's name."""
    outcome: str
    details: Mapping[str, Any]
    before: str
    hash: str

    def to_json(self) -> dict[str, Any]:
        """JSON-ready; the hashes are left out."""
        return {
            "number": self.number,
            "at": self.at,
            "trusted": self.trusted,
            "actor": self.actor,
            "role": self.role,
            "via": self.via,
            "action": self.action,
            "subject": self.subject,
            "outcome": self.outcome,
            "details": dict(self.details),
        }


@dataclass(frozen=True, slots=True)
class Entry:
    """A row that has no place in the chain yet."""

    at: str
    trusted: bool
    actor: Actor
    action: str
    subject: str
    outcome: str
    details: Mapping[str, Any]

    def line(self, number: int, before: str) -> tuple[bytes, str]:
        """(the line with its newline, its hash). Never fails for what the details hold: what doesn't fit is cut."""
        details = _fitting(self.details)
        body = {
            "number": number,
            "at": self.at,
            "trusted": self.trusted,
            "actor": _short(self.actor.name),
            "role": self.actor.role.value,
            "via": _short(self.actor.via),
            "action": _short(self.action),
            "subject": _short(self.subject),
            "outcome": _short(self.outcome),
            "details": details,
            "before": before,
        }
        hashed = orjson.dumps(body)[:-1]
        digest = hashlib.sha256(hashed).hexdigest()
        return b'%b%b%b"}\n' % (hashed, _MARK, digest.encode()), digest


class BadLine(ValueError):
    """A line isn't a row as it was written. The message says how, to follow "the row"."""


def parse(line: bytes) -> Row:
    """The row in a line without its newline. Raises BadLine."""
    hashed, tail = line[:-_TAIL], line[-_TAIL:]
    digest = tail[len(_MARK) : -2].decode("ascii", "replace")
    if not tail.startswith(_MARK) or not tail.endswith(b'"}') or hashlib.sha256(hashed).hexdigest() != digest:
        raise BadLine("was changed after it was written: its hash is wrong")
    try:
        row = Row(**orjson.loads(line))
    except (orjson.JSONDecodeError, TypeError) as error:
        raise BadLine(f"isn't one of this log's: {error}") from None
    if not isinstance(row.number, int) or not isinstance(row.details, dict):
        raise BadLine("isn't one of this log's: number or details are of another type")
    return row


def moment(ns: int) -> str:
    """Nanoseconds since 1970 as a row says it."""
    return datetime.fromtimestamp(ns // 1_000_000 / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _fitting(details: Mapping[str, Any]) -> dict[str, Any]:
    fitting = {_short(str(key)): _plain(value) for key, value in list(details.items())[:_MOST_ITEMS]}
    size = len(orjson.dumps(fitting))
    return fitting if size <= _LONGEST_DETAILS else {"left_out": f"{size} bytes of details were too many for the log"}


def _plain(value: Any, depth: int = 0) -> Any:
    """As JSON has it, and no longer than makes sense."""
    if depth > _DEEPEST:
        return "…"
    match value:
        case None | bool() | float():
            return value
        case int():
            return value if -(1 << 63) <= value < 1 << 64 else str(value)
        case str():
            return _short(value)
        case Mapping():
            return {_short(str(key)): _plain(each, depth + 1) for key, each in list(value.items())[:_MOST_ITEMS]}
        case list() | tuple():
            return [_plain(each, depth + 1) for each in value[:_MOST_ITEMS]]
    return _short(str(value))


def _short(text: str) -> str:
    text = str(text).encode("utf-8", "replace").decode()  # a lone surrogate has no UTF-8
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
