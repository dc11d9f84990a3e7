"""What needs root on behalf of the gateway, which doesn't run as root: one request a connection, from a fixed list.

``tidegate-agent.socket`` starts it for a connection of the user ``tidegate``. A change of network or time first stands
in ``/run`` alone, with a timer of the system's own that takes it back: neither a power cut nor the end of the gateway
keeps it. Only the confirmation writes it to where it outlives a restart.
"""
