"""Advert formats: pure functions from the bytes of an advert to named fields, one module each."""

from __future__ import annotations

from drivers.ble.adverts.atc import ATC
from drivers.ble.adverts.bthome import BTHOME
from drivers.ble.adverts.eddystone import EDDYSTONE
from drivers.ble.adverts.format import Field, Format, Unauthentic, Undecodable
from drivers.ble.adverts.ibeacon import IBEACON
from drivers.ble.adverts.ruuvi import RUUVI

__all__ = ["FORMATS", "Field", "Format", "Unauthentic", "Undecodable"]

FORMATS: dict[str, Format] = {each.name: each for each in (BTHOME, RUUVI, ATC, EDDYSTONE, IBEACON)}
