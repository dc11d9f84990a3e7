"""What a room says no with, as refusals of the API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gateway.accounts import AccountError
from gateway.audit import AuditError
from gateway.changes.errors import ChangeRefused
from gateway.config.candidate import Flawed
from gateway.control.operation import Refusal
from gateway.diagnostics.lines import Taken
from gateway.diagnostics.room import NoSuch
from gateway.driver import DeviceSilent, LinkDown, ScanFailed
from gateway.sentences import with_mend

_STATUS = {
    "missing": 404,
    "taken": 409,
    "last-admin": 409,
    "full": 409,
    "invalid": 422,
    "refused": 403,
    "out-of-scope": 403,
    "too-fast": 429,
    "damaged": 503,
    "unwritable": 503,
}
ACCOUNT_STATUSES = (409, 429, 503)
"""Those that an operation on accounts may answer beside the ones that all may."""


@contextlib.contextmanager
def account_errors() -> Iterator[None]:
    """AccountError and AuditError become refusals."""
    try:
        yield
    except AccountError as error:
        raise Refusal(_STATUS[error.code], error.code, str(error), error.mend) from None
    except AuditError as error:
        raise Refusal(503, "unwritable", f"{error}; nothing was changed", "mend the disk") from None


@contextlib.contextmanager
def change_errors() -> Iterator[None]:
    """ChangeRefused becomes a refusal, with the problems it carries."""
    try:
        yield
    except ChangeRefused as error:
        raise Refusal(
            error.status, error.code, error.message, error.mend, problems=tuple(error.problems), **error.more
        ) from None


@contextlib.contextmanager
def diagnostics_errors() -> Iterator[None]:
    """What diagnostics can't do, or can't reach, becomes a refusal."""
    try:
        yield
    except NoSuch as error:
        raise Refusal(404, "no-such-thing", str(error)) from None
    except Flawed as error:
        problems = tuple(
            {"message": flaw.message, "mend": flaw.mend, "field": flaw.field or None} for flaw in error.flaws
        )
        raise Refusal(409, "tables-invalid", "the tables can't be used", problems=problems) from None
    except Taken as error:
        raise Refusal(409, "taken", *with_mend(str(error))) from None
    except (LinkDown, DeviceSilent) as error:
        raise Refusal(502, "device-unreachable", *with_mend(str(error))) from None
    except ScanFailed as error:
        raise Refusal(409, "not-possible", *with_mend(str(error))) from None
