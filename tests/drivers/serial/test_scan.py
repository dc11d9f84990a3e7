from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import tomli

from drivers.common.serialport.portlist import PortInfo
from drivers.serial import KIND, scan
from drivers.serial.bus import SerialBus
from gateway.driver import Finding, ScanFailed
from tests.drivers.serial.bench import Bench
from tests.support.site import SITE

USB = PortInfo("/dev/ttyUSB0", "/dev/serial/by-id/usb-FTDI_X-if00", None, 0x0403, 0x6001, "A1", "FTDI", "USB adapter")


async def findings(**options: Any) -> list[Finding]:
    assert KIND.scan is not None
    found = KIND.scan.run(KIND.scan.options(**options), SITE)
    return [each async for each in found if isinstance(each, Finding)]


async def test_ports_are_found_with_maker_holder_and_what_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "ports", lambda: [USB, PortInfo("/dev/ttyS0")])
    monkeypatch.setattr(scan, "holders", lambda device: ["cat (7)"] if device == "/dev/ttyUSB0" else [])
    usb, plain = await findings()
    assert list(usb.row) == list(plain.row)
    assert (usb.row["usb"], usb.row["product"], usb.row["serial"]) == ("0403:6001", "FTDI USB adapter", "A1")
    assert (usb.row["used by"], plain.row["used by"]) == ("cat (7)", "")
    (link,) = tomli.loads(usb.config)["link"]
    assert KIND.link_options(device=link["device"]).device == "/dev/serial/by-id/usb-FTDI_X-if00"


@pytest.mark.parametrize(
    ("said", "preset"),
    [
        (b"$GPVTG,252.9,T,,M,002.2,N,004.1,K,N*0B\r\n", "nmea"),
        (b"S S     100.00 kg\r\n", "sics"),
        (b"ST,GS,1\x41,000013.5 kg\r\n", "cas"),
        (b"T=21.5,RH=40\r\n", "key-value"),
        (b"1;2;3\r\n", "csv"),
    ],
)
async def test_what_talks_is_recognised(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, said: bytes, preset: str
) -> None:
    monkeypatch.setattr(scan, "ports", list)
    talking = asyncio.create_task(_talk(bench, said))
    (found,) = await findings(listen=bench.far.device, bauds=(9600,), seconds=0.3)
    talking.cancel()
    assert str(found.row["looks like"]).startswith(f"{preset}: ")
    body = tomli.loads(found.config)
    assert body["device"][0]["preset"] == preset
    assert body["link"][0]["baud"] == 9600
    assert bench.far.received == b""


async def _talk(bench: Bench, said: bytes) -> None:
    while True:
        await asyncio.sleep(0.03)
        bench.far.send(said)


async def test_a_wrong_speed_is_said_to_be_one(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "ports", list)
    talking = asyncio.create_task(_talk(bench, bytes(range(128, 256))))
    (found,) = await findings(listen=bench.far.device, bauds=(9600,), seconds=0.2)
    talking.cancel()
    assert "not this speed, or binary" in str(found.row["looks like"])
    assert found.config == ""


async def test_a_silent_port_is_said_to_be_silent(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "ports", list)
    (found,) = await findings(listen=bench.far.device, bauds=(9600, 4800), seconds=0.05)
    assert found.row["port"] == bench.far.device
    assert (found.row["heard"], str(found.row["looks like"]).partition(":")[0]) == ("nothing", "silent")


async def test_the_links_of_several_ports_have_names_of_their_own(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "ports", lambda: [USB, PortInfo("/dev/ttyS0"), PortInfo(bench.far.device)])
    found = await findings(listen=bench.far.device, bauds=(9600,), seconds=0.05)
    links = tomli.loads("\n".join(each.config for each in found))["link"]
    assert len({link["name"] for link in links}) == len({link["device"] for link in links}) == len(links) == 3


async def test_a_port_in_use_is_not_listened_to(bench: Bench) -> None:
    bench.bus()
    await bench.connect()
    assert isinstance(bench.opened, SerialBus)
    with pytest.raises(ScanFailed, match="is in use"):
        await findings(listen=bench.far.device, bauds=(9600,), seconds=0.1)


async def test_a_port_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScanFailed, match="there is no port"):
        await findings(listen=str(tmp_path / "gone"))
