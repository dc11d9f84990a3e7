"""Factory reset and wipe: asked for here, done by the first program of the next start, when nothing is in use yet."""

from __future__ import annotations

from typing import Literal, TypeAlias

from gateway.ops.files import write_atomically
from tidegate_appliance.commands import run
from tidegate_appliance.places import Places

Kind: TypeAlias = Literal["reset", "wipe"]
"""``reset``: as delivered, but the same box: its identity stays. ``wipe``: nothing of it can be read again, nor what
people put onto the boot partition."""


def ask_to_erase(kind: Kind, places: Places) -> None:
    """From here on the next start erases, whatever happens before it. Raises OSError."""
    write_atomically(places.erase, f"{kind}\n".encode(), 0o600)


def erase(kind: Kind, places: Places) -> None:
    """Ask for it and restart. Raises OSError, CommandFailed."""
    ask_to_erase(kind, places)
    run(["systemctl", "--no-block", "reboot"])
