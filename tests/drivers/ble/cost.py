"""What an advert costs in this process, and what bleak costs to load: ``python -m tests.drivers.ble.cost``."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Sequence

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from drivers.ble import KIND
from drivers.ble.bus import BleBus
from drivers.ble.device import BleDevice
from gateway.model import Batch
from tests.drivers.ble.points import group, tag
from tests.drivers.ble.test_bthome import KEY, seal
from tests.support.interpreter import run

ADVERTS = 5000
ADDRESS = "54:48:E6:8F:80:A5"
BTHOME = "0000fcd2-0000-1000-8000-00805f9b34fb"
RUUVI = bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")


class _Scanner:
    async def start(self) -> None: ...
    async def stop(self) -> None: ...


class _Radio:
    name = "hci0"

    async def open(self, lost: object) -> None: ...
    async def close(self) -> None: ...

    def scanner(self, heard: object) -> _Scanner:
        return _Scanner()


class _Receiver:
    """Counts."""

    batches = 0
    confirmations = 0

    def take(self, batch: Batch) -> None:
        self.batches += 1

    def confirm(self, columns: object = None) -> None:
        self.confirmations += 1


async def cost_us(format_: str, adverts: Sequence[AdvertisementData], *, encrypted: bool = False) -> float:
    """CPU of one advert, in µs: from bleak's callback to the receiver."""
    os.environ["TIDEGATE_TEST_KEY"] = KEY.hex()
    bus = BleBus("link1", KIND.link_options(), _Radio())  # type: ignore[arg-type]
    await bus.connect()
    key = {"bindkey": {"env": "TIDEGATE_TEST_KEY"}} if encrypted else {}
    device = BleDevice(bus, "sensor", KIND.device_options(address=ADDRESS, format=format_, **key))
    fields = [tag("t", "float64", field="temperature"), tag("h", "float64", field="humidity")]
    plan = device.plan(group(*fields, tag("rssi", "int8", field="rssi"), interval_s=1.0))
    receiver = _Receiver()
    await device.subscribe(plan, receiver)  # type: ignore[arg-type]
    peer = BLEDevice(ADDRESS, None, None)
    before = time.process_time()
    for advert in adverts:
        bus._heard(peer, advert)
    spent = time.process_time() - before
    assert receiver.batches + receiver.confirmations >= len(adverts)
    await bus.close()
    return 1e6 * spent / len(adverts)


def _advert(*, company: bytes | None = None, service: bytes | None = None) -> AdvertisementData:
    return AdvertisementData(
        None, {0x0499: company} if company else {}, {BTHOME: service} if service else {}, [], None, -60, ()
    )


def fresh() -> list[AdvertisementData]:
    """Each with another temperature."""
    return [_advert(company=RUUVI[:1] + number.to_bytes(2, "big") + RUUVI[3:]) for number in range(ADVERTS)]


def repeated() -> list[AdvertisementData]:
    return ADVERTS * [_advert(company=RUUVI)]


def sealed() -> list[AdvertisementData]:
    address = bytes.fromhex(ADDRESS.replace(":", ""))
    text = bytes.fromhex("02CA0903BF13")
    return [_advert(service=seal(text, number, address=address)) for number in range(ADVERTS)]


def loaded_mb(statement: str) -> float:
    """What a statement adds to the memory of a process that has the driver's options already."""
    code = (
        "import drivers.ble, asyncio, os\n"
        "def rss(): return int(open('/proc/self/statm').read().split()[1]) * os.sysconf('SC_PAGE_SIZE')\n"
        f"before = rss()\n{statement}\nprint(rss() - before)"
    )
    return int(run(code)) / 2**20


async def main() -> None:
    rows = {
        "a new measurement (Ruuvi)": await cost_us("ruuvi", fresh()),
        "a repeated one": await cost_us("ruuvi", repeated()),
        "a new, encrypted one (BTHome)": await cost_us("bthome", sealed(), encrypted=True),
    }
    for name, us in rows.items():
        sys.stdout.write(f"{name}: {us:.1f} µs\n")
    bleak = loaded_mb("import bleak, bleak.backends.bluezdbus.client, bleak.backends.bluezdbus.scanner")
    sys.stdout.write(f"bleak with its BlueZ backend: {bleak:.1f} MB; cryptography: {_cryptography():.1f} MB\n")


def _cryptography() -> float:
    return loaded_mb("from drivers.ble.adverts.ccm import opener; opener(bytes(16))")


if __name__ == "__main__":
    asyncio.run(main())
