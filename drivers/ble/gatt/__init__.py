"""Characteristics: how their bytes are read and written, which of them are standard, and the connection to a device."""
