"""What can come of a request other than its answer. The device makes qualities and the contract's errors of these."""

from __future__ import annotations

EXCEPTION_NAMES = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge, still working on it",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target failed to respond",
}
"""Modbus Application Protocol 1.1b3, §7."""


class ReplyTimeout(Exception):
    """No right reply came in time. One that comes later is thrown away."""


class Refused(Exception):
    """The device answered with a Modbus exception."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(f"exception {code} ({EXCEPTION_NAMES.get(code, 'not in the standard')})")


class EchoDiffers(Exception):
    """The device confirmed another write than the one it was asked for."""
