"""What makes the machine a box: update slots and their trial, first boot, provisioning, network, reset.

It knows of the gateway what `gateway.ops` offers and the control API's client, and nothing there knows of it: the
gateway finds the slots by the entry point ``tidegate.appliance`` (docs/explanation/appliance.md).
"""
