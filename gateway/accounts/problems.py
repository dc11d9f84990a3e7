"""How the accounts say no, and what a name, a verifier, a scope may look like."""

from __future__ import annotations

import re
from collections.abc import Iterable

NAME = r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}"
SCOPE = r"[a-z]{1,30}(-[a-z]{1,30}){0,3}"
VERIFIER = (
    r"\$argon2id\$v=19\$m=(819[2-9]|8[2-9][0-9]{2}|9[0-9]{3}|[1-9][0-9]{4}|1[0-9]{5}),t=([1-9]|1[0-6]),p=[1-8]"
    r"\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{27,86}"
)
"""An argon2id PHC string whose check takes 8 to 195 MiB and bounded time: whoever may set one must not be able to have
the page's process take all there is."""
_RESERVED = ("gateway", "page")
MOST_SCOPES = 32


class AccountError(Exception):
    """Something about accounts isn't possible. `str` is one sentence, `mend` says what to do."""

    def __init__(self, code: str, message: str, mend: str) -> None:
        """`code`: ``missing``, ``taken``, ``invalid``, ``last-admin``, ``refused``, ``out-of-scope``, ``too-fast``,
        ``full``, ``damaged`` or ``unwritable``."""
        super().__init__(message)
        self.code = code
        self.mend = mend


def check_name(name: str, what: str) -> str:
    """Raises AccountError."""
    if not re.fullmatch(NAME, name):
        raise AccountError(
            "invalid",
            f"{name!r} can't be the name of a {what}",
            "use 1 to 64 letters, digits and . _ @ -, beginning with a letter or a digit",
        )
    if name.casefold() in _RESERVED:
        raise AccountError("taken", f"the name {name!r} is the gateway's own", "choose another name")
    return name


def check_verifier(verifier: str) -> str:
    """Whether a password can be checked against it within reasonable memory and time. Raises AccountError."""
    if not re.fullmatch(VERIFIER, verifier):
        raise AccountError(
            "invalid",
            "the password's hash isn't an argon2id PHC string of 8 to 195 MiB, 1 to 16 passes and 1 to 8 lanes",
            "hash the password with argon2id, m=19456, t=2, p=1; the gateway never takes a password itself",
        )
    return verifier


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Sorted, each once. Raises AccountError."""
    unique = tuple(sorted(set(scopes)))
    if len(unique) > MOST_SCOPES:
        raise AccountError("invalid", f"a token has at most {MOST_SCOPES} scopes", "leave some out")
    for scope in unique:
        if not re.fullmatch(SCOPE, scope):
            raise AccountError(
                "invalid",
                f"{scope!r} can't be the scope of a token",
                "name a part of the API, as its paths do after /v1/: status, values, writes",
            )
    return unique
