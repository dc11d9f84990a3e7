"""Who owns the configuration: people at the page and the command line, or one tool such as Ansible."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from gateway.actors import Actor
from gateway.changes.bodies import OwnerBody
from gateway.changes.errors import ChangeRefused
from gateway.ops.files import write_atomically

PEOPLE = "page"
"""The owner if nobody says otherwise: whoever signs in to the page or calls the command line."""
NAME = r"[a-z0-9][a-z0-9._-]{0,63}"
"""An owner's name, as a regular expression."""


@dataclass(frozen=True, slots=True)
class Owner:
    name: str = PEOPLE
    set_by: str | None = None
    set_at_ms: int | None = None

    def body(self) -> OwnerBody:
        return {"name": self.name, "set_by": self.set_by, "set_at_ms": self.set_at_ms}

    def admit(self, actor: Actor, acting_as: str | None) -> None:
        """Whether a change is its owner's: one acts as a tool by saying so, or with a token of that name.

        Raises ChangeRefused.
        """
        names = {acting_as} if acting_as is not None else {PEOPLE, actor.via.removeprefix("token ")}
        if self.name not in names:
            raise ChangeRefused(
                409,
                "not-the-owner",
                f"the configuration belongs to {self.name}, so that it isn't changed from two sides",
                f"change it there (the draft can be exported as a patch), or take it over: "
                f"tidegate config owner {acting_as or PEOPLE}",
                owner=self.name,
            )


def read_owner(path: Path) -> Owner:
    """Raises OSError; the default owner if the file says nothing sensible."""
    try:
        body = orjson.loads(path.read_bytes())
        return Owner(str(body["name"]), body.get("set_by"), body.get("set_at_ms"))
    except (FileNotFoundError, orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        return Owner()


def new_owner(name: str, actor: Actor) -> Owner:
    """Raises ChangeRefused for what can't be a name."""
    if not re.fullmatch(NAME, name):
        raise ChangeRefused(
            409, "bad-owner", "an owner's name has 1 to 64 of a-z 0-9 . _ -", f"write it like {PEOPLE} or ansible"
        )
    return Owner(name, actor.name, time.time_ns() // 1_000_000)


def write_owner(path: Path, owner: Owner) -> None:
    """Raises OSError."""
    write_atomically(path, orjson.dumps(owner.body()))
