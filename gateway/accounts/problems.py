"""How the accounts say no, and what a name, a verifier, a scope may look like."""

from __future__ import annotations

import re
from collections.abc import Iterable

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_SCOPE = re.compile(r"[a-z]+(?:-[a-z]+)*")
_RESERVED = ("gateway", "page")
_PHC = re.compile(
    r"\$argon2id\$v=19\$m=([0-9]{1,8}),t=([0-9]{1,3}),p=([0-9]{1,3})\$[A-Za-z0-9+/]{11,86}\$[A-Za-z0-9+/]{27,86}"
)
_MEMORY_KIB = (8 * 1024, 256 * 1024)
_PASSES = (1, 16)
_LANES = (1, 8)
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
    if not _NAME.fullmatch(name):
        raise AccountError(
            "invalid",
            f"{name!r} can't be the name of a {what}",
            "use 1 to 64 letters, digits and . _ @ -, beginning with a letter or a digit",
        )
    if name.casefold() in _RESERVED:
        raise AccountError("invalid", f"the name {name!r} is the gateway's own", "choose another name")
    return name


def check_verifier(verifier: str) -> str:
    """Whether a password can be checked against it within reasonable memory and time. Raises AccountError."""
    match = _PHC.fullmatch(verifier)
    if match is None:
        raise AccountError(
            "invalid",
            "the password's hash isn't an argon2id PHC string",
            "hash the password with argon2id; the gateway never takes a password itself",
        )
    costs = zip(("m", "t", "p"), map(int, match.groups()), (_MEMORY_KIB, _PASSES, _LANES), strict=True)
    for name, cost, (least, most) in costs:
        if not least <= cost <= most:
            raise AccountError(
                "invalid",
                f"the password's hash has {name}={cost}, but must have {least} to {most}",
                "hash the password with argon2id and m=19456, t=2, p=1",
            )
    return verifier


def check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Sorted, each once. Raises AccountError."""
    unique = tuple(sorted(set(scopes)))
    if len(unique) > MOST_SCOPES:
        raise AccountError("invalid", f"a token has at most {MOST_SCOPES} scopes", "leave some out")
    for scope in unique:
        if not _SCOPE.fullmatch(scope):
            raise AccountError(
                "invalid",
                f"{scope!r} can't be the scope of a token",
                "name a part of the API, as its paths do after /v1/: status, values, writes",
            )
    return unique
