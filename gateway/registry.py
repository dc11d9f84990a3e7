"""Which drivers exist. Built-in ones are imported only when a configured link names them.

A third party's package publishes a :class:`gateway.driver.DriverKind` under the entry-point group
``tidegate.drivers``; a built-in name always wins.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from gateway.driver import DriverKind

GROUP = "tidegate.drivers"

_BUILT_IN = {name: f"drivers.{name}:KIND" for name in ("ble", "modbus", "opcua", "serial")}


def driver_names() -> tuple[str, ...]:
    """Every driver that can be named in a configuration, sorted."""
    return tuple(sorted({*_BUILT_IN, *entry_points(group=GROUP).names}))


def load_driver(name: str) -> DriverKind:
    """Import one driver. Raises KeyError if there is none of that name, TypeError if a plug-in isn't a DriverKind."""
    if name in _BUILT_IN:
        module, _, attribute = _BUILT_IN[name].partition(":")
        kind = getattr(import_module(module), attribute)
    else:
        kind = entry_points(group=GROUP)[name].load()
    if not isinstance(kind, DriverKind):
        raise TypeError(f"driver {name!r} publishes {type(kind).__name__}, not gateway.driver.DriverKind")
    return kind
