"""Who does something, and how much they may do. Everything that changes a gateway names its actor."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Self


class Role(enum.StrEnum):
    """What somebody may do; each role may do all that those before it may. Compared by that order, not by name."""

    VIEWER = "viewer"
    """Looks."""
    OPERATOR = "operator"
    """Writes to devices, within the limits of each tag."""
    ENGINEER = "engineer"
    """Changes the configuration."""
    ADMIN = "admin"
    """Users, tokens, certificates, updates."""

    @property
    def rank(self) -> int:
        return list(Role).index(self)

    def covers(self, needed: Role) -> bool:
        """Whether this role may do what `needed` is needed for."""
        return self.rank >= needed.rank


@dataclass(frozen=True, slots=True)
class Actor:
    """One who acts, as the audit log names them."""

    name: str
    role: Role
    via: str
    """How they came in: ``command line``, ``page``, ``token NAME``, ``gateway`` for the gateway itself."""

    @classmethod
    def gateway(cls) -> Self:
        """The gateway acting by itself, such as when it takes back a change that nobody confirmed."""
        return cls("gateway", Role.ADMIN, "gateway")
