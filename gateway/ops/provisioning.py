"""What becomes of a setting in a provisioning file, and who applies those that aren't the gateway's own.

An image installs a package that publishes, under the entry-point group ``tidegate.provision``, something callable
without arguments that returns a :class:`Machine`. Where there is none, a file has nothing to say of the machine.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

_log = logging.getLogger(__name__)

GROUP = "tidegate.provision"

Outcome: TypeAlias = Literal["applied", "unchanged", "refused"]


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing in the file, and what became of it."""

    name: str
    outcome: Outcome
    said: str = ""
    mend: str | None = None


@runtime_checkable
class Machine(Protocol):
    """What applies tables that are about the machine."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Their names, in the order in which they are applied."""
        ...

    def apply(self, wanted: Mapping[str, Any]) -> Iterator[Setting]:
        """Each setting of its tables by itself; whatever else `wanted` holds is left alone. Never raises."""
        ...


def machine() -> Machine | None:
    """None: this isn't an image's machine, or what it publishes can't be used, which is logged."""
    for point in entry_points(group=GROUP):
        try:
            found = point.load()()
        except Exception:  # noqa: BLE001 - third-party code may raise anything
            _log.exception("the machine's settings of %s can't be used", point.value)
            continue
        if isinstance(found, Machine):
            return found
        _log.error("the machine's settings of %s can't be used: it makes no Machine", point.value)
    return None
