"""What is known about who may come in, and the file it is kept in: one JSON document, private, replaced as a whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import orjson

from gateway.actors import Role
from gateway.ops.files import write_atomically

FORMAT = 1


@dataclass(frozen=True, slots=True)
class User:
    """A person."""

    name: str
    role: Role
    verifier: str
    """argon2id PHC string; what was hashed is never known here."""
    created: str
    """RFC 3339, UTC; so are all times here."""
    disabled: bool = False
    must_change: bool = False
    """The password was given by somebody else and is good for choosing another one only."""
    version: int = 1
    """Rises with every change of role, password or `disabled`: a session begun under another one is over."""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, without the verifier."""
        body = asdict(self)
        del body["verifier"]
        return body


@dataclass(frozen=True, slots=True)
class Token:
    """A key for a program."""

    id: str
    name: str
    role: Role
    scopes: tuple[str, ...]
    """Parts of the API it is good for, as paths name them after ``/v1/``; none: all that its role may."""
    digest: str
    """SHA-256 of the token, hexadecimal: 256 random bits need no slow hash."""
    created: str
    created_by: str
    expires: str | None = None
    last_used: str | None = None
    """The day only: a file that changes with every call wears the flash."""

    def to_json(self) -> dict[str, Any]:
        """JSON-ready, without the digest."""
        body = asdict(self)
        del body["digest"]
        return body


@dataclass(frozen=True, slots=True)
class State:
    """Everything at one moment."""

    users: Mapping[str, User] = field(default_factory=dict)
    """By name as it is compared: without case."""
    tokens: Mapping[str, Token] = field(default_factory=dict)
    """By id."""
    claim: str | None = None
    """SHA-256 of the claim code, while there is one."""

    def with_user(self, user: User) -> Self:
        return replace(self, users={**self.users, user.name.casefold(): user})

    def without_user(self, user: User) -> Self:
        return replace(self, users={key: each for key, each in self.users.items() if each != user})

    def with_token(self, token: Token) -> Self:
        return replace(self, tokens={**self.tokens, token.id: token})

    def without_token(self, token: Token) -> Self:
        return replace(self, tokens={key: each for key, each in self.tokens.items() if each != token})


class Damaged(Exception):
    """The file doesn't hold what it should. The message says what is wrong."""


def load(path: Path) -> State:
    """What the file holds; nothing if it doesn't exist. Raises Damaged or OSError."""
    try:
        body = path.read_bytes()
    except FileNotFoundError:
        return State()
    try:
        document = orjson.loads(body)
        if document["format"] != FORMAT:
            raise Damaged(f"it has the format {document['format']!r}, not {FORMAT}")
        users = [User(**{**each, "role": Role(each["role"])}) for each in document["users"]]
        tokens = [
            Token(**{**each, "role": Role(each["role"]), "scopes": tuple(each["scopes"])})
            for each in document["tokens"]
        ]
        return State({user.name.casefold(): user for user in users}, {t.id: t for t in tokens}, document["claim"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise Damaged(f"it can't be understood ({type(error).__name__}: {error})") from None


def save(path: Path, state: State) -> None:
    """Raises OSError."""
    document = {
        "format": FORMAT,
        "claim": state.claim,
        "users": [asdict(user) for user in state.users.values()],
        "tokens": [asdict(token) for token in state.tokens.values()],
    }
    write_atomically(path, orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE), 0o600)
