"""What the journal wants somebody to know: raised once when it begins, cleared once when it is over."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Alarm:
    """A transition of one condition."""

    name: str
    """``refused``, ``dropping``, ``disk``, ``corrupt``, ``newer``, ``memory``; for a sink's own, ``refused:{sink}``."""
    active: bool
    message: str


class Alarms:
    """Which conditions hold now."""

    def __init__(self) -> None:
        self.active: dict[str, str] = {}
        self._listeners: list[Callable[[Alarm], None]] = []

    def listen(self, listener: Callable[[Alarm], None]) -> None:
        self._listeners.append(listener)

    def raise_(self, name: str, message: str) -> None:
        """The condition holds. Told and logged only if it didn't."""
        if name in self.active:
            return
        self.active[name] = message
        _log.warning("%s", message)
        self._tell(Alarm(name, True, message))

    def clear(self, name: str, message: str) -> None:
        """The condition is over. Told and logged only if it held."""
        if self.active.pop(name, None) is None:
            return
        _log.info("%s", message)
        self._tell(Alarm(name, False, message))

    def _tell(self, alarm: Alarm) -> None:
        for listener in self._listeners:
            listener(alarm)
