"""Runs the drivers: time grid, timeouts, circuit breakers, reconnects, isolation. Knows no protocol and no broker."""

from gateway.southbound.health import DeviceHealth
from gateway.southbound.rehearsal import rehearse
from gateway.southbound.supervisor import Supervisor
from gateway.southbound.trial import Trial, try_out

__all__ = ["DeviceHealth", "Supervisor", "Trial", "rehearse", "try_out"]
