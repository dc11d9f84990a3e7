"""The machine itself: its network, its time, its name; restart, reset, wipe. Only where it is an appliance."""

from gateway.ops.machine.changing import Machines, Turn
from gateway.ops.machine.power import Clock, Interface, Machine, MachineRefused, State, Unconfirmed
from gateway.ops.machine.settings import Network, Time, check_hostname, check_interface

__all__ = [
    "Clock",
    "Interface",
    "Machine",
    "MachineRefused",
    "Machines",
    "Network",
    "State",
    "Time",
    "Turn",
    "Unconfirmed",
    "check_hostname",
    "check_interface",
]
