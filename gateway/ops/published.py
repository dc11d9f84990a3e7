"""What a package beside the gateway publishes of the machine it runs on, under the entry-point group
``tidegate.appliance``: callables without arguments, each returning an object with one or more of the powers that
`gateway.ops.slots` and `gateway.ops.machine` describe. An ordinary installation has none.
"""

from __future__ import annotations

import logging
from importlib.metadata import entry_points
from typing import Any, TypeVar

_log = logging.getLogger(__name__)

GROUP = "tidegate.appliance"

Power = TypeVar("Power")


def published(power: type[Power]) -> Power | None:
    """The first object that has `power`, a runtime-checkable Protocol. None: there is none, or it can't be made, which
    is logged."""
    for point in entry_points(group=GROUP):
        try:
            found: Any = point.load()()
        except Exception:  # noqa: BLE001 - third-party code may raise anything
            _log.exception("what %s offers of this machine can't be used", point.value)
            continue
        if isinstance(found, power):
            return found
    return None
