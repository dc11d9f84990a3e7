"""Adverts, heard by one scanner for all, the beacons in another process."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from drivers.ble import KIND
from drivers.ble.bus import BleBus
from drivers.ble.scan import search
from gateway.driver import DeviceSilent, Finding, LinkDown, Progress
from gateway.model import Quality
from hil.radio.host import BumbleRadio
from hil.radio.process import WorldProcess
from hil.radio.world import SENSOR, advert
from tests.drivers.ble.conftest import Site
from tests.drivers.ble.points import group, tag
from tests.drivers.ble.test_bthome import KEY, seal

pytestmark = pytest.mark.integration

TAG = "CB:B8:33:4C:88:4F"
BEACON = "C0:00:00:00:00:03"
RUUVI = bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")
NOTHING = bytes.fromhex("058000FFFFFFFF800080008000FFFFFFFFFFFFFFFFFFFFFF")
SOON = 3.0

TEMPERATURE = tag("temperature", "float64", field="temperature")
PRESSURE = tag("pressure", "uint32", field="pressure")
RSSI = tag("rssi", "int8", field="rssi")
SEEN = tag("seen", "datetime", field="last_seen")
BATTERY = tag("battery", "uint8", field="battery")


def ruuvi(data: bytes) -> bytes:
    return advert(company={0x0499: data})


def bthome(data: bytes, name: str = "") -> bytes:
    return advert(service_data={0xFCD2: data}, name=name)


async def test_fields_signal_strength_and_last_seen(site: Site) -> None:
    await site.world.do("beacon", TAG, ruuvi(RUUVI), -77)
    device = site.device(address=TAG.lower(), format="ruuvi")
    listener = await site.listen(device, TEMPERATURE, PRESSURE, RSSI, SEEN)
    await listener.until(lambda: listener.values[:3] == (24.3, 100044, -77), SOON)
    seen = listener.values[3]
    assert isinstance(seen, str)
    assert seen.endswith("Z")
    batch = await site.read(device, TEMPERATURE, RSSI)
    assert list(batch.values) == [24.3, -77]


async def test_what_a_sensor_calls_not_available_is_bad(site: Site) -> None:
    await site.world.do("beacon", TAG, ruuvi(NOTHING))
    listener = await site.listen(site.device(address=TAG, format="ruuvi"), TEMPERATURE, RSSI)
    await listener.until(lambda: listener.latest.get(0) == (None, Quality.BAD_SENSOR_FAILURE), SOON)
    assert listener.latest[1] == (-60, 0)


async def test_an_unchanged_advert_confirms_and_publishes_nothing(site: Site) -> None:
    await site.world.do("beacon", TAG, ruuvi(RUUVI))
    listener = await site.listen(site.device(address=TAG, format="ruuvi"), TEMPERATURE, RSSI)
    await listener.until(lambda: listener.values == (24.3, -60), SOON)
    heard = site.bus.counters["adverts"]
    await listener.until(lambda: site.bus.counters["adverts"] >= heard + 10, SOON)
    assert len(listener.batches) == 1, "signal strength comes once an interval, which is a minute here"


async def test_a_press_is_reported_each_time(site: Site) -> None:
    device = site.device(address=BEACON, format="bthome")
    listener = await site.listen(device, tag("button", "string", field="button"))
    for packet in range(1, 6):
        for _ in range(3):  # as buttons do
            await site.world.do("say", BEACON, bthome(bytes((0x40, 0x00, packet, 0x3A, 0x01))))
        await listener.until(lambda count=packet: len(listener.batches) == 1 + count, SOON)
    waiting, *presses = listener.batches
    assert (list(waiting.values), list(waiting.qualities or ())) == ([None], [Quality.BAD_WAITING_FOR_INITIAL_DATA])
    assert [(batch.values[0], batch.event) for batch in presses] == [("press", True)] * 5
    plan = device.plan(group(tag("button", "string", field="button"), tag("id", "uint8", field="packet_id")))
    batch = await device.read(plan)
    assert list(batch.values) == [None, 5], "a press is over when it is read"


async def test_a_beacon_that_takes_turns_fills_all_its_fields(site: Site) -> None:
    device = site.device(address=BEACON, format="eddystone")
    points = (tag("temperature", "float64", field="temperature"), tag("namespace", "bytes", field="namespace"))
    listener = await site.listen(device, *points)
    uid = bytes.fromhex("00EE" + "00010203040506070809" + "AABBCCDDEEFF")
    tlm = bytes.fromhex("2000" + "0BB8" + "1580" + "0000000A" + "00000064")
    for frame in (uid, tlm):
        await site.world.do("say", BEACON, advert(service_data={0xFEAA: frame}))
    await listener.until(lambda: listener.values == (21.5, "00010203040506070809"), SOON)
    batch = await site.read(device, *points)
    assert list(batch.values) == [21.5, "00010203040506070809"]


async def test_a_device_is_known_by_its_name_too(site: Site) -> None:
    listener = await site.listen(site.device(local_name="Filler 3", format="bthome"), BATTERY)
    await site.world.do("say", BEACON, bthome(b"\x40\x01\x61", "Filler 3"))
    await listener.until(lambda: listener.values == (97,), SOON)
    await site.world.do("say", "C0:00:00:00:00:04", bthome(b"\x40\x01\x05", "Filler 3"))
    await site.world.do("say", BEACON, bthome(b"\x40\x01\x60", "Filler 3"))
    await listener.until(lambda: listener.values == (96,), SOON)
    assert [batch.values[0] for batch in listener.batches] == [97, 96], "another of that name isn't believed"
    assert site.bus.counters["same_names"] == 1


# -- encryption


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "bindkey"
    file.write_text(KEY.hex() + "\n")
    file.chmod(0o600)
    return file


async def test_only_fresh_adverts_of_the_key_are_believed(site: Site, key_file: Path) -> None:
    device = site.device(address=BEACON, format="bthome", bindkey={"file": str(key_file)})
    listener = await site.listen(device, BATTERY)
    address = bytes.fromhex(BEACON.replace(":", ""))

    async def say(payload: bytes) -> None:
        await site.world.do("say", BEACON, bthome(payload))

    await say(seal(b"\x01\x61", 5000, address=address))
    await listener.until(lambda: listener.values == (97,), SOON)
    await say(seal(b"\x01\x60", 5001, address=address))
    await say(seal(b"\x01\x61", 5000, address=address))  # recorded before, and played again
    await say(b"\x40\x01\x05")  # not encrypted at all
    await say(seal(b"\x01\x05", 5002, key=bytes(16), address=address))  # of another key
    await say(seal(b"\x01\x5f", 5003, address=address))
    await listener.until(lambda: listener.values == (95,), SOON)
    assert [batch.values[0] for batch in listener.batches] == [97, 96, 95]
    assert site.bus.counters["unauthentic_adverts"] == 3


async def test_a_wrong_key_makes_its_tags_bad_and_says_so(
    site: Site, key_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key_file.write_text("00" * 16)
    device = site.device(address=BEACON, format="bthome", bindkey={"file": str(key_file)})
    listener = await site.listen(device, BATTERY, RSSI)
    address = bytes.fromhex(BEACON.replace(":", ""))
    for counter in (1, 2):
        await site.world.do("say", BEACON, bthome(seal(b"\x01\x61", counter, address=address)))
    await listener.until(lambda: listener.latest.get(0) == (None, Quality.BAD_DECODING_ERROR), SOON)
    assert listener.latest[1] == (-60, 0)
    async with asyncio.timeout(SOON):
        while site.bus.counters["unauthentic_adverts"] < 2:  # noqa: ASYNC110 - nobody is told of the second
            await asyncio.sleep(0.001)
    assert [record.message for record in caplog.records if "bindkey" in record.message] == [
        "device device1: the advert can't be decrypted: check the bindkey"
    ]


@pytest.mark.parametrize(
    ("text", "mode", "sentence"),
    [("xyz", 0o600, "32 hexadecimal digits"), (KEY.hex(), 0o604, "chmod o-rwx"), (None, 0o600, "doesn't exist")],
)
async def test_a_key_that_cannot_be_read_is_an_error_of_the_tags_that_need_it(
    site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str | None, mode: int, sentence: str
) -> None:
    file = tmp_path / "bindkey"
    if text is not None:
        file.write_text(text)
        file.chmod(mode)
    await site.world.do("beacon", BEACON, bthome(b"\x40\x01\x61"))
    device = site.device(address=BEACON, format="bthome", bindkey={"file": str(file)})
    listener = await site.listen(device, BATTERY, RSSI)
    assert listener.latest == {0: (None, Quality.BAD_CONFIGURATION_ERROR)}
    await listener.until(lambda: listener.latest.get(1) == (-60, 0), SOON)
    batch = await site.read(device, BATTERY, RSSI)
    assert (list(batch.values), list(batch.qualities or ())) == ([None, -60], [Quality.BAD_CONFIGURATION_ERROR, 0])
    assert [sentence in record.message for record in caplog.records if record.name == "drivers.ble.hearing"] == [True]


# -- what goes wrong


async def test_a_beacon_that_fell_silent_is_silent_to_a_read_and_nothing_to_a_listener(site: Site) -> None:
    await site.world.do("beacon", TAG, ruuvi(RUUVI))
    device = site.device(address=TAG, format="ruuvi", advert_timeout_ms=200)
    listener = await site.listen(device, TEMPERATURE)
    await listener.until(lambda: listener.values == (24.3,), SOON)
    await site.world.do("hush", TAG)
    with pytest.raises(DeviceSilent, match=f"no advert of {TAG} was heard within 200 ms"):  # noqa: PT012
        while True:  # what was heard a moment ago is taken as it is
            await site.read(device, TEMPERATURE)
    assert listener.ends == [], "whether that is too long is for its staleness to say"


async def test_waiting_for_one_device_holds_up_no_adverts(site: Site) -> None:
    await site.world.do("beacon", TAG, ruuvi(RUUVI))
    listener = await site.listen(site.device(address=TAG, format="ruuvi"), TEMPERATURE)
    absent = site.device("absent", address="C0:00:00:00:00:99", advert_timeout_ms=1000)
    reading = asyncio.create_task(site.read(absent, RSSI))
    await listener.until(lambda: listener.values == (24.3,), SOON)
    assert not reading.done()
    with pytest.raises(DeviceSilent):
        await reading


@pytest.mark.parametrize("site", [{"quiet_s": 1}], indirect=True)
async def test_scanning_that_died_is_started_anew(site: Site) -> None:
    """As after a power cycle of the adapter: no error, no event, nothing is heard any more."""
    await site.world.do("beacon", TAG, ruuvi(RUUVI))
    device = site.device(address=TAG, format="ruuvi")
    listener = await site.listen(device, TEMPERATURE)
    await listener.until(lambda: listener.values == (24.3,), SOON)
    await site.world.do("stop_scanning")
    await site.world.do("beacon", TAG, ruuvi(RUUVI[:1] + b"\x00\x00" + RUUVI[3:]))
    await listener.until(lambda: listener.values == (0.0,), SOON)
    assert site.bus.counters["scanner_renewals"] == 1
    assert site.radio.scanners_made == 2
    assert listener.ends == []


@pytest.mark.parametrize("site", [{"quiet_s": 1}], indirect=True)
async def test_a_radio_that_hears_nothing_at_all_is_lost(site: Site) -> None:
    await site.world.do("sensor.vanish")
    listener = await site.listen(site.device(address=TAG, format="ruuvi"), TEMPERATURE)
    await listener.until(lambda: listener.ends, 4.0)
    how, why = listener.ends[0]
    assert how == "down"
    assert "hci0 has heard nothing at all for 2 s, though scanning was started anew" in why
    with pytest.raises(LinkDown):
        site.bus.require_open()


async def test_no_radio_is_link_down_with_its_mend(world: WorldProcess) -> None:
    await world.do("take_away")
    bus = BleBus("link1", KIND.link_options(), BumbleRadio(world.port))
    with pytest.raises(LinkDown, match="there is no Bluetooth adapter hci0"):
        await bus.connect()
    await bus.close()


# -- scanning


async def test_a_scan_lists_what_is_heard_and_what_to_write(world: WorldProcess) -> None:
    await world.do("beacon", TAG, ruuvi(RUUVI), -77)
    await world.do("beacon", BEACON, bthome(seal(b"\x01\x61", 1)), -50)
    options = KIND.scan.options(seconds=1)  # type: ignore[union-attr]
    findings: list[Finding] = []
    steps: list[Progress] = []
    async for each in search(BumbleRadio(world.port), options):
        findings.append(each) if isinstance(each, Finding) else steps.append(each)
    assert [finding.row["address"] for finding in findings] == [BEACON, SENSOR, TAG], "the strongest first"
    sealed, sensor, tagged = findings
    assert tagged.row["format"] == "ruuvi"
    assert "temperature 24.3" in tagged.row["values"]
    assert 'field = "temperature"' in tagged.config
    assert sensor.row["name"] == "ESS-1"
    assert sealed.row["values"] == "the advert is encrypted: give the device's 'bindkey'"
    assert "bindkey = {file" in sealed.config
    assert steps
    assert len({tuple(finding.row) for finding in findings}) == 1


async def test_what_a_scan_proposes_is_a_valid_configuration(world: WorldProcess, tmp_path: Path) -> None:
    from gateway.config import load

    await world.do("beacon", TAG, ruuvi(RUUVI), -77)
    options = KIND.scan.options(seconds=1)  # type: ignore[union-attr]
    findings = [each async for each in search(BumbleRadio(world.port), options) if isinstance(each, Finding)]
    (config,) = [finding.config for finding in findings if finding.row["address"] == TAG]
    file = tmp_path / "tidegate.toml"
    file.write_text(
        f'[gateway]\nid = "gw1"\nenterprise = "acme"\nsite = "plant1"\ndata_dir = "{tmp_path}"\n'
        f'[[sink]]\nname = "plant"\nhost = "127.0.0.1"\n{config}'
    )
    (link,) = load(file).links
    (device,) = link.devices
    bus = link.kind.open_bus(link.name, link.options, link.site)
    driver = link.kind.open_device(bus, device.name, device.options)
    assert [list(driver.plan(each.poll).errors) for each in device.groups] == [[]]
