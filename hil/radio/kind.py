"""The Bluetooth driver on a virtual radio, as a plug-in: what a third party's driver package would publish."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

from drivers.ble import KIND as BLE
from drivers.ble.bus import BleBus
from gateway.driver import Bus, Site

PORT_VARIABLE = "TIDEGATE_TEST_HCI_PORT"
"""Where the virtual adapter is plugged in."""


def _open_bus(name: str, options: Any, site: Site) -> Bus:
    from hil.radio.host import BumbleRadio

    return BleBus(name, options, BumbleRadio(int(os.environ[PORT_VARIABLE]), options.adapter))


KIND = dataclasses.replace(BLE, name="virtual-ble", open_bus=_open_bus)
