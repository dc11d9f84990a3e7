"""Benches: where a whole gateway can be tried, each declared in a file, all driven through one small interface.

``local`` is processes on this machine, ``qemu`` the built image in an emulated board, ``ssh`` a real gateway with real
wiring. What surrounds them (plant, radio, broker, time server) runs on this machine.
"""
