"""The room's other questions: decode, browse and scan, through the running link where that has the line for itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.config import load
from gateway.diagnostics.lines import Taken
from gateway.diagnostics.room import Diagnostics, NoSuch
from gateway.diagnostics.rungs import State
from gateway.driver import Finding
from gateway.runtime import Runtime
from tests.conformance.adapters import ADAPTERS
from tests.conformance.conftest import row_of
from tests.diagnostics.climbing import climbed, states
from tests.diagnostics.test_why import CONFIGURATION
from tests.support.mosquitto import free_port
from tests.support.raw_modbus import RawSlave

HEAD = '[gateway]\nid = "gw1"\nenterprise = "acme"\nsite = "plant1"\ndata_dir = "{}/data"\nclock = "trusted"\n'


@contextlib.asynccontextmanager
async def room_of(directory: Path, text: str) -> AsyncIterator[tuple[Diagnostics, Runtime]]:
    file = directory / "tidegate.toml"
    file.write_text(text)
    async with Runtime(load(file)) as runtime:
        with Diagnostics(runtime, file) as room:
            yield room, runtime


@pytest.fixture
async def slave() -> AsyncIterator[RawSlave]:
    async with RawSlave() as running:
        running.holding[10:12] = [1450, 201]
        yield running


async def until_up(runtime: Runtime, link: str) -> None:
    async with asyncio.timeout(10):
        while runtime.status()["southbound"]["links"][link]["state"] != "up":  # noqa: ASYNC110 - bounded, and short
            await asyncio.sleep(0.01)


async def test_a_running_device_is_decoded_and_browsed_over_its_own_connection(tmp_path: Path, slave: RawSlave) -> None:
    text = CONFIGURATION.format(directory=tmp_path, broker=free_port(), port=slave.port)
    async with room_of(tmp_path, text) as (room, runtime):
        await until_up(runtime, "line1")
        connections = slave.connections
        found = await room.decode(room.line_to("press", {}, {}), "hr:10")
        assert any((each.address, each.type, each.value) == ("hr:10", "uint16", 1450) for each in found)
        items = [item async for item in room.browse(room.line_to("press", {}, {}), None, 1)]
        assert "hr" in {item.path for item in items}
        assert slave.connections == connections
        with pytest.raises(NoSuch, match="no device 'pres'"):
            room.line_to("pres", {}, {})


async def test_a_device_of_tables_has_a_connection_of_its_own(tmp_path: Path, slave: RawSlave) -> None:
    async with room_of(tmp_path, HEAD.format(tmp_path)) as (room, _):
        link = {"driver": "modbus", "host": "127.0.0.1", "port": slave.port}
        found = await room.decode(room.line_to(None, link, {"unit": 1}), "hr:11")
        assert any((each.address, each.type, each.value) == ("hr:11", "uint16", 201) for each in found)
        ends = await climbed(room.test_tables(link, {}, [{"name": "x", "address": "hr:10", "type": "uint16"}]))
        assert states(ends)[-1] == "read passed"
        rows = [each.row async for each in room.scan("modbus", _scan_options(slave.port)) if isinstance(each, Finding)]
        assert [row["unit"] for row in rows] == [1]
        with pytest.raises(NoSuch):
            room.test_device("nobody")


def _scan_options(port: int) -> object:
    from drivers.modbus import KIND

    assert KIND.scan is not None
    return KIND.scan.options(host="127.0.0.1", port=port, units="1", ranges=False, rate=1000)


async def test_a_serial_line_that_runs_is_shared_with_what_is_tested_and_never_opened_twice(tmp_path: Path) -> None:
    peer = next(each for each in ADAPTERS if row_of(each) == "modbus-rtu")()
    await peer.start()
    options = peer.link_options()
    line = f'transport = "rtu"\ndevice = "{options.device}"\ntimeout_ms = 400\n'
    text = (
        HEAD.format(tmp_path)
        + f'[[link]]\nname = "line1"\ndriver = "modbus"\n{line}'
        + '[[device]]\nname = "press"\nlink = "line1"\n[[device.group]]\nname = "fast"\ninterval_ms = 50\n'
        + '[[device.group.tag]]\nname = "speed"\naddress = "hr:10"\ntype = "uint16"\n'
    )
    tags = [{"name": "speed", "address": "hr:10", "type": "uint16"}]
    same = {"driver": "modbus", "transport": "rtu", "device": str(options.device)}
    try:
        async with room_of(tmp_path, text) as (room, runtime):
            await until_up(runtime, "line1")
            ends = await climbed(room.test_tables(same, {}, tags))
            assert states(ends)[1:] == ["link passed", "session skipped", "identity passed", "read passed"]
            assert "the running link" in ends["link"].sentence
            assert ends["read"].details["tags"][0]["wire"] == 1450

            other = {"driver": "serial", "device": str(options.device)}
            ends = await climbed(room.test_tables(other, {"preset": "sics"}, []))
            assert ends["link"].state is State.FAILED
            assert "is in use by the running link 'line1'" in ends["link"].sentence

            from drivers.serial import KIND

            assert KIND.scan is not None
            with pytest.raises(Taken, match="in use by the running link 'line1'"):
                room.scan("serial", KIND.scan.options(listen=str(options.device)))
            status = runtime.status()["southbound"]["links"]["line1"]
            assert (status["state"], status["losses"], status["connects"]) == ("up", 0, 1)
    finally:
        await peer.stop()
