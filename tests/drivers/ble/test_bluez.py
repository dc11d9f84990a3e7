"""The radio that ships: bleak's own BlueZ backend, against something that plays bluetoothd on a D-Bus of its own."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from bleak.exc import BleakDBusError, BleakError
from dbus_fast.errors import AuthError

from drivers.ble import KIND
from drivers.ble.bluez import BluezRadio, adapter_trouble, explain
from drivers.ble.bus import BleBus
from drivers.ble.device import BleDevice
from gateway.driver import LinkDown
from tests.conformance.rig import Listener
from tests.drivers.ble.points import group, tag
from tests.support.bluetoothd import Bluetoothd, system_bus

pytestmark = pytest.mark.integration

TAG = "CB:B8:33:4C:88:4F"
RUUVI = bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")
SOON = 5.0


@pytest.fixture
async def dbus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    async with system_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        yield address
        from bleak.backends.bluezdbus import manager

        # bleak keeps one connection per loop for ever; here a loop ends with its test.
        for kept in manager._global_instances.values():
            if kept._bus is not None:
                kept._bus.disconnect()
                await asyncio.wait({kept._bus_watcher_task} if kept._bus_watcher_task else {asyncio.sleep(0)})
        manager._global_instances.clear()
        gc.collect()


@pytest.fixture
async def bluetoothd(dbus: str) -> AsyncIterator[Bluetoothd]:
    daemon = Bluetoothd()
    await daemon.start()
    yield daemon
    await daemon.stop()


@pytest.fixture
async def bus(dbus: str) -> AsyncIterator[BleBus]:
    opened = BleBus("link1", KIND.link_options(quiet_s=1), BluezRadio("hci0"))
    yield opened
    await opened.close()


async def listen(bus: BleBus) -> Listener:
    device = BleDevice(bus, "device1", KIND.device_options(address=TAG, format="ruuvi"))
    plan = device.plan(group(tag("temperature", "float64", field="temperature"), tag("rssi", "int8", field="rssi")))
    listener = Listener(plan)
    await device.subscribe(plan, listener)
    return listener


async def test_adverts_come_through_bluez(bluetoothd: Bluetoothd, bus: BleBus) -> None:
    await bus.connect()
    listener = await listen(bus)
    bluetoothd.advertise(TAG, 0x0499, RUUVI, -77)
    await listener.until(lambda: listener.values == (24.3, -77), SOON)
    bluetoothd.advertise(TAG, 0x0499, RUUVI[:1] + b"\0\0" + RUUVI[3:], -76)
    await listener.until(lambda: listener.values[0] == 0.0, SOON)


async def test_a_device_that_always_says_the_same_is_heard_all_the_same(bluetoothd: Bluetoothd) -> None:
    """Whoever has come too late for its first advert hears the next, and finds that it is there."""
    heard = asyncio.Event()
    bus = BleBus("link1", KIND.link_options(quiet_s=1), BluezRadio("hci0"), also=lambda *_: heard.set())
    await bus.connect()
    try:
        bluetoothd.advertise(TAG, 0x0499, RUUVI, -77)
        async with asyncio.timeout(SOON):
            await heard.wait()
        listener = await listen(bus)
        bluetoothd.advertise(TAG, 0x0499, RUUVI, -77)
        await listener.until(lambda: listener.values == (24.3, -77), SOON)
    finally:
        await bus.close()


async def test_a_change_that_is_no_advert_is_not_taken_for_one(bluetoothd: Bluetoothd, bus: BleBus) -> None:
    await bus.connect()
    listener = await listen(bus)
    bluetoothd.advertise(TAG, 0x0499, RUUVI)
    await listener.until(lambda: listener.values == (24.3, -60), SOON)
    adverts = bus.counters["adverts"]
    bluetoothd.end_connection(TAG)
    bluetoothd.advertise(TAG, 0x0499, RUUVI[:1] + b"\0\0" + RUUVI[3:])
    await listener.until(lambda: listener.values[0] == 0.0, SOON)
    assert bus.counters["adverts"] == adverts + 1


async def test_a_connection_that_a_dead_gateway_left_is_let_go_and_no_other(
    bluetoothd: Bluetoothd, bus: BleBus
) -> None:
    await bus.connect()
    listener = await listen(bus)
    other = TAG[:-1] + "0"
    for address in (TAG, other):
        bluetoothd.advertise(address, 0x0499, RUUVI)
        bluetoothd.keep_connected(address)
    await listener.until(lambda: listener.values == (24.3, -60), SOON)
    await bus.radio.let_go(None, "a name that nobody has")
    assert bluetoothd.is_connected(TAG)
    await bus.radio.let_go(TAG, None)
    assert not bluetoothd.is_connected(TAG)
    assert bluetoothd.is_connected(other)


async def test_switching_the_adapter_off_is_link_down_at_once_and_heals(bluetoothd: Bluetoothd, bus: BleBus) -> None:
    await bus.connect()
    listener = await listen(bus)
    bluetoothd.power(False)
    await listener.until(lambda: listener.ends, SOON)
    assert listener.ends == [("down", "Bluetooth adapter hci0 is powered off: run bluetoothctl power on")]
    await bus.close()
    with pytest.raises(LinkDown, match="powered off"):
        await bus.connect()
    bluetoothd.power(True)
    await bus.connect()
    listener = await listen(bus)
    bluetoothd.advertise(TAG, 0x0499, RUUVI)
    await listener.until(lambda: listener.values[0] == 24.3, SOON)


async def test_a_power_cycle_that_nobody_saw_is_found_out_by_the_watchdog(bluetoothd: Bluetoothd, bus: BleBus) -> None:
    await bus.connect()
    listener = await listen(bus)
    bluetoothd.adapter.discovering = False
    async with asyncio.timeout(SOON):
        while bus.counters["scanner_renewals"] == 0 or not bluetoothd.adapter.discovering:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    bluetoothd.advertise(TAG, 0x0499, RUUVI)
    await listener.until(lambda: listener.values[0] == 24.3, SOON)
    assert listener.ends == []


async def test_a_restart_of_bluetoothd_is_link_down_and_heals(bluetoothd: Bluetoothd, bus: BleBus) -> None:
    await bus.connect()
    listener = await listen(bus)
    await bluetoothd.stop()
    await listener.until(lambda: listener.ends, SOON)
    assert listener.ends == [("down", "bluetoothd has stopped")]
    await bus.close()
    with pytest.raises(LinkDown, match="bluetoothd isn't running"):
        await bus.connect()
    await bluetoothd.start()
    await bus.connect()
    listener = await listen(bus)
    bluetoothd.advertise(TAG, 0x0499, RUUVI)
    await listener.until(lambda: listener.values[0] == 24.3, SOON)


async def test_an_adapter_that_is_taken_away_is_link_down(bluetoothd: Bluetoothd, bus: BleBus) -> None:
    await bus.connect()
    listener = await listen(bus)
    bluetoothd.take_away()
    await listener.until(lambda: listener.ends, SOON)
    assert listener.ends == [("down", "Bluetooth adapter hci0 was taken away")]
    await bus.close()
    with pytest.raises(LinkDown, match="there is no Bluetooth adapter hci0"):
        await bus.connect()


async def test_no_dbus_no_bluetoothd_no_adapter(
    dbus: str, bus: BleBus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(LinkDown, match="bluetoothd isn't running: install BlueZ"):
        await bus.connect()
    other = BleBus("link2", KIND.link_options(adapter="hci7"), BluezRadio("hci7"))
    daemon = Bluetoothd()
    await daemon.start()
    with pytest.raises(LinkDown, match="there is no Bluetooth adapter hci7: there is hci0"):
        await other.connect()
    await daemon.stop()
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path}/absent")
    with pytest.raises(LinkDown, match="D-Bus isn't running"):
        await bus.connect()


def test_a_blocked_adapter_says_what_blocks_it(tmp_path: Path) -> None:
    from dbus_fast.signature import Variant

    objects = {"/org/bluez/hci0": {"org.bluez.Adapter1": {"Powered": Variant("b", False)}}}
    switch = tmp_path / "hci0" / "rfkill3"
    switch.mkdir(parents=True)
    for hard, soft, mend in (
        ("1", "1", "switch of the machine"),
        ("0", "1", "run rfkill unblock"),
        ("0", "0", "power on"),
    ):
        (switch / "hard").write_text(hard + "\n")
        (switch / "soft").write_text(soft + "\n")
        assert mend in adapter_trouble("hci0", objects, tmp_path)
    classic = {"/org/bluez/hci0": {"org.bluez.Adapter1": {"Roles": Variant("as", ["peripheral"])}}}
    assert "has Low Energy" in adapter_trouble("hci0", classic, tmp_path)
    assert "plug one in" in adapter_trouble("hci0", {}, tmp_path)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (FileNotFoundError(), "D-Bus isn't running"),
        (AuthError("REJECTED"), "group bluetooth"),
        (PermissionError(), "group bluetooth"),
        (BleakDBusError("org.freedesktop.DBus.Error.AccessDenied", []), "group bluetooth"),
        (BleakDBusError("org.freedesktop.DBus.Error.ServiceUnknown", []), "bluetoothd isn't running"),
        (BleakDBusError("org.bluez.Error.NotReady", []), "powered off"),
        (BleakDBusError("org.bluez.Error.InProgress", []), "busy with another scan"),
        (BleakError("passive scanning on Linux requires BlueZ >= 5.56 with --experimental"), 'scanning = "active"'),
        (BleakError("two\nlines"), "Bluetooth adapter hci0 can't be used: two lines"),
    ],
)
def test_errors_are_one_sentence_with_its_mend(error: Exception, sentence: str) -> None:
    said = explain("hci0", error)
    assert sentence in said
    assert "\n" not in said


def test_passive_scanning_names_what_it_is_for() -> None:
    """bleak refuses a passive scanner without."""
    assert BluezRadio("hci0", passive=True).scanner(lambda device, advert: None).backend_id


async def test_passive_scanning_without_experimental_bluetoothd_says_what_to_do(bluetoothd: Bluetoothd) -> None:
    bus = BleBus("link1", KIND.link_options(scanning="passive"), BluezRadio("hci0", passive=True))
    with pytest.raises(LinkDown, match="start bluetoothd with --experimental"):
        await bus.connect()
    await bus.close()
