"""When a device's values are no longer believed, by the clock."""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from drivers.ble import KIND
from drivers.ble.bus import BleBus
from drivers.ble.device import BleDevice
from drivers.ble.hearing import Hearing
from gateway.driver import DeviceSilent
from tests.drivers.ble.cost import _Radio as NoRadio

SECOND = 1_000_000_000
BTHOME = "0000fcd2-0000-1000-8000-00805f9b34fb"
GOOD, BAD = b"\x40\x01\x61", b"\x40\xee"


class _Listener:
    def __init__(self) -> None:
        self.said: list[Any] = []

    def advertised(self, sighting: Any, found: Any) -> None:
        self.said.append(dict(found))

    def unreadable(self) -> None:
        self.said.append("unreadable")


def advert(payload: bytes, name: str | None = None) -> Any:
    return SimpleNamespace(service_data={BTHOME: payload}, manufacturer_data={}, local_name=name, rssi=-60)


def device(address: str = "C0:00:00:00:00:03") -> Any:
    return SimpleNamespace(address=address, name=None)


def hearing() -> tuple[Hearing, _Listener]:
    heard = Hearing("sensor", KIND.device_options(address="C0:00:00:00:00:03", format="bthome"), Counter())
    heard.prepare()
    listener = _Listener()
    heard.listeners.add(listener)  # type: ignore[arg-type]
    return heard, listener


def test_garbage_beside_good_adverts_changes_nothing() -> None:
    heard, listener = hearing()
    for second in range(200):
        heard.hear(device(), advert(GOOD if second % 50 == 0 else BAD), 0, (second + 1) * SECOND)
    assert "unreadable" not in listener.said
    assert not heard.doubted


def test_nothing_but_garbage_for_a_minute_is_bad_once_and_heals() -> None:
    heard, listener = hearing()
    heard.hear(device(), advert(GOOD), 0, SECOND)
    for second in range(2, 120):
        heard.hear(device(), advert(BAD), 0, second * SECOND)
    assert listener.said.count("unreadable") == 1
    assert listener.said[:59].count("unreadable") == 0
    assert heard.doubted
    heard.hear(device(), advert(GOOD), 0, 120 * SECOND)
    assert listener.said[-1] == {"battery": 97}
    assert not heard.doubted


def test_garbage_from_the_beginning_is_bad_at_once() -> None:
    heard, listener = hearing()
    heard.hear(device(), advert(BAD), 0, SECOND)
    assert listener.said == ["unreadable", {}]


async def test_old_garbage_is_no_excuse_for_silence() -> None:
    bus = BleBus("link1", KIND.link_options(), NoRadio())  # type: ignore[arg-type]
    await bus.connect()
    options = KIND.device_options(address="C0:00:00:00:00:03", format="bthome", advert_timeout_ms=10)
    sensor = BleDevice(bus, "sensor", options)
    sensor._hearing.prepare()
    sensor._hearing.hear(device(), advert(BAD), 0, 1)
    with pytest.raises(DeviceSilent):
        await sensor._hearing.fresh(frozenset({"battery"}))
    await bus.close()


async def test_a_name_is_followed_once_its_last_address_was_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    bus = BleBus("link1", KIND.link_options(), NoRadio())  # type: ignore[arg-type]
    await bus.connect()
    sensor = BleDevice(bus, "sensor", KIND.device_options(local_name="Filler 3", format="bthome"))
    bus._heard(device(), advert(GOOD, "Filler 3"))
    bus._heard(device("C0:00:00:00:00:04"), advert(GOOD, "Filler 3"))
    assert sensor._hearing.sighting is not None
    assert sensor._hearing.sighting.device.address == "C0:00:00:00:00:03"
    monkeypatch.setattr("drivers.ble.bus._NAME_KEPT_S", 0.0)
    bus._heard(device("C0:00:00:00:00:04"), advert(GOOD, "Filler 3"))
    assert sensor._hearing.sighting.device.address == "C0:00:00:00:00:04"
    await bus.close()
