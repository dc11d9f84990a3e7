"""People who may come in, written down before a gateway starts: one of each role, all with one password."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from argon2 import PasswordHasher

from gateway.accounts.accounts import FILE
from gateway.accounts.model import State, Token, User, save
from gateway.accounts.secrets import new_token
from gateway.actors import Role

PASSWORD = "correct horse battery"
TOKENS: dict[str, str] = {}
"""Name → token: one for all that a viewer may, one for values only, one that has expired. Known once it is settled."""
PEOPLE = {"ada": Role.ADMIN, "eve": Role.ENGINEER, "otto": Role.OPERATOR, "vera": Role.VIEWER}


def settle(data_dir: Path) -> None:
    """Give a gateway that hasn't started its users. With the least costs that it takes, so that tests are quick."""
    data_dir.mkdir(exist_ok=True)
    verifier = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    state = State()
    for kept in _tokens():
        state = state.with_token(kept)
    for name, role in PEOPLE.items():
        state = state.with_user(User(name, role, verifier, "2026-01-01T00:00:00Z"))
    save(data_dir / FILE, state)


def _tokens() -> Iterator[Token]:
    for name, scopes, expires in (
        ("reporting", (), None),
        ("values-only", ("values",), None),
        ("old", (), "2020-01-01T00:00:00Z"),
    ):
        token_id, TOKENS[name], digest = new_token()
        yield Token(token_id, name, Role.VIEWER, scopes, digest, "2019-01-01T00:00:00Z", "ada", expires)
