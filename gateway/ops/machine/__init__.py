"""The machine itself: its network, its time, its name; restart, reset, wipe. Only where it is an appliance."""

from gateway.ops.machine.power import Clock, Interface, Machine, MachineRefused, State, Trial
from gateway.ops.machine.settings import Network, Time, check_hostname, check_interface
from gateway.ops.machine.trials import Machines, Turn

__all__ = [
    "Clock",
    "Interface",
    "Machine",
    "MachineRefused",
    "Machines",
    "Network",
    "State",
    "Time",
    "Trial",
    "Turn",
    "check_hostname",
    "check_interface",
]
