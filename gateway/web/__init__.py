"""The local page: a process of its own that knows people, and reaches the gateway only through the control API.

It imports no driver, no configuration and no data plane, so that it stays small and can't touch a fieldbus.
"""
