"""Public decoders that share no code with ours, spoken to in one way."""

from __future__ import annotations

import logging
import time
from typing import Any

from bleparser import BleParser
from bthome_ble import BTHomeBluetoothDeviceData
from habluetooth import BluetoothServiceInfoBleak
from ruuvitag_sensor.decoder import get_decoder

logging.getLogger("bthome_ble").setLevel(logging.CRITICAL)

ADDRESS = "54:48:E6:8F:80:A5"
BTHOME_UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"


def bthome(payload: bytes, key: bytes | None = None) -> dict[str, Any]:
    """bthome-ble's values, by its keys."""
    device = BTHomeBluetoothDeviceData(key)
    device.update(
        BluetoothServiceInfoBleak(
            name="sensor",
            address=ADDRESS,
            rssi=-60,
            manufacturer_data={},
            service_data={BTHOME_UUID: payload},
            service_uuids=[],
            source="",
            device=None,  # type: ignore[arg-type]
            advertisement=None,  # type: ignore[arg-type]
            connectable=False,
            time=time.monotonic(),
            tx_power=None,
        )
    )
    update = device._finish_update()
    found: dict[str, Any] = {key.key: each.native_value for key, each in update.entity_values.items()}
    found |= {key.key: each.native_value for key, each in update.binary_entity_values.items()}
    found |= {key.key: (each.event_type, each.event_properties) for key, each in update.events.items()}
    return found


def ruuvi(payload: bytes) -> dict[str, Any]:
    """ruuvitag-sensor's values."""
    found = get_decoder(payload[0]).decode_data(payload.hex())
    assert found is not None
    return dict(found)


def bleparser(structure: bytes, address: str = ADDRESS, key: bytes | None = None) -> dict[str, Any] | None:
    """bleparser's values of one advertising structure, its length and type included."""
    mac = bytes.fromhex(address.replace(":", ""))
    parser = BleParser(discovery=True, filter_duplicates=False, aeskeys={mac: key} if key else {})
    service = structure[1] == 0x16
    found, _ = parser.parse_advertisement(
        mac, -60, service_data_list=[structure] if service else [], man_spec_data_list=[] if service else [structure]
    )
    return found
