"""What of a gateway is well: by this a change is judged that confirms itself, and a release on trial."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.settings import GatewaySettings


def well(status: Mapping[str, Any]) -> frozenset[str]:
    """The sinks that are connected and the devices that answer, as ``Runtime.status`` tells: ``sink plant``, …"""
    return frozenset(_well(status))


def known(status: Mapping[str, Any]) -> frozenset[str]:
    """Every sink and device that runs, well or not."""
    devices = (name for link in status["southbound"]["links"].values() for name in link["devices"])
    return frozenset([*(f"sink {name}" for name in status["sinks"]), *(f"device {name}" for name in devices)])


def configured(settings: GatewaySettings) -> frozenset[str]:
    """Every sink and device there is, named in the same way."""
    sinks = {f"sink {sink.name}" for sink in settings.sinks}
    return frozenset(sinks | {f"device {device.name}" for link in settings.links for device in link.devices})


def _well(status: Mapping[str, Any]) -> Iterator[str]:
    for name, sink in status["sinks"].items():
        if sink["connected"]:
            yield f"sink {name}"
    for link in status["southbound"]["links"].values():
        for name, device in link["devices"].items():
            if device["state"] == "normal":
                yield f"device {name}"
