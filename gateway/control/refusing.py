"""What a room says no with, as refusals of the API."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from gateway.accounts import AccountError
from gateway.audit import AuditError
from gateway.control.operation import Refusal

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
