"""The operations of the control API, one module a noun. Each makes its operations from the room it is the door to."""
