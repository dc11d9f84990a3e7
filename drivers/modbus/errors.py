"""What can come of a request other than its answer. The device makes qualities and the contract's errors of these."""

from __future__ import annotations

from gateway.model import Quality

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
EXCEPTION_QUALITIES = {
    1: Quality.BAD_NOT_SUPPORTED,
    2: Quality.BAD_NODE_ID_INVALID,
    3: Quality.BAD_OUT_OF_RANGE,
    4: Quality.BAD_DEVICE_FAILURE,
    7: Quality.BAD_DEVICE_FAILURE,
    8: Quality.BAD_DEVICE_FAILURE,
    10: Quality.BAD_NO_COMMUNICATION,
    11: Quality.BAD_NO_COMMUNICATION,
}

UNREACHED = (10, 11)
"""Exceptions by which a gateway says that the device behind it didn't answer."""


def exception_name(code: int) -> str:
    return f"exception {code} ({EXCEPTION_NAMES.get(code, 'not in the standard')})"


class ReplyTimeout(Exception):
    """No right reply came in time. One that comes later is thrown away."""


class Refused(Exception):
    """The device answered with a Modbus exception."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(exception_name(code))


class EchoDiffers(Exception):
    """The device confirmed another write than the one it was asked for."""
