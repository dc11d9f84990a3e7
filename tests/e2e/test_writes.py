"""Writing to a real Modbus slave through a running gateway: limits, at most once, read-back, audit, restarts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.audit import verify
from gateway.control.client import Refused
from tests.support import raw_modbus as raw
from tests.support.gateway import GatewayProcess
from tests.support.raw_modbus import RawSlave

pytestmark = [pytest.mark.e2e]

CONFIG = """
[gateway]
id = "gw1"
enterprise = "acme"
site = "plant1"
data_dir = "{data}"
clock = "trusted"

[write]
enabled = {enabled}
min_interval_ms = 0
ttl_ms = 3000

[[link]]
name = "filler"
driver = "modbus"
host = "127.0.0.1"
port = {port}
timeout_ms = 300

[[device]]
name = "filler1"
link = "filler"

  [[device.group]]
  name = "fast"
  interval_ms = 50

    [[device.group.tag]]
    name = "setpoint"
    address = "hr:10"
    type = "uint16"
    scale = 0.1
    unit = "/h"
    low = 0
    high = 1000
    writable = true
    write = {{max = 500, step = 0.5}}

    [[device.group.tag]]
    name = "bottles"
    address = "hr:20"
    type = "uint32"
"""


class Plant:
    def __init__(self, directory: Path, slave: RawSlave, gateway: GatewayProcess) -> None:
        self.directory = directory
        self.slave = slave
        self.gateway = gateway

    async def up(self) -> None:
        def running(status: dict[str, Any]) -> bool:
            device = status["southbound"]["links"]["filler"]["devices"]["filler1"]
            return bool(device["state"] == "normal")

        await self.gateway.until(running, "the device is read")

    async def call(self, method: str, target: str, body: Any = None) -> Any:
        return await asyncio.to_thread(self.gateway.client.call, method, target, None, body, 15.0)

    async def write(self, write_id: str, value: Any, **more: Any) -> Any:
        return await self.call(
            "POST", "/v1/writes", {"tag": "filler1/setpoint", "value": value, "id": write_id, **more}
        )

    async def refused(self, write_id: str, value: Any, **more: Any) -> Refused:
        with pytest.raises(Refused) as caught:
            await self.write(write_id, value, **more)
        return caught.value

    @property
    def writes(self) -> list[bytes]:
        return [request.pdu for request in self.slave.requests if request.function in (5, 6, 15, 16, 22, 23)]


@pytest.fixture
async def slave() -> AsyncIterator[RawSlave]:
    async with RawSlave() as slave:
        yield slave


@pytest.fixture
async def plant(tmp_path: Path, slave: RawSlave) -> AsyncIterator[Plant]:
    text = CONFIG.format(data=tmp_path / "data", port=slave.port, enabled="true")
    gateway = GatewayProcess(tmp_path, text)
    gateway.start()
    try:
        plant = Plant(tmp_path, slave, gateway)
        await plant.up()
        yield plant
    finally:
        await asyncio.to_thread(gateway.stop)


async def test_a_value_is_written_once_and_everything_says_so(plant: Plant) -> None:
    looked = await plant.call("POST", "/v1/writes/preview", {"tag": "filler1/setpoint", "value": 123.5})
    assert (looked["min"], looked["max"], looked["step"], looked["type"]) == (0, 500, 0.5, "float64")
    assert looked["current"]["value"] == 0
    assert looked["refusal"] is None
    assert looked["frames"] == ["function 6: .. .. 00 00 00 06 01 06 00 0a 04 d3"]
    assert plant.writes == []

    answer = await plant.write("first-write", 123.5, reason="new batch", expected=0.0)
    assert (answer["outcome"], answer["read_back"], answer["sent"]) == ("written", 123.5, True)
    assert plant.slave.holding[10] == 1235
    assert plant.writes == [b"\x06\x00\x0a\x04\xd3"]

    # By the same id nothing goes out again, whatever happened to the device since.
    plant.slave.holding[10] = 0
    assert await plant.write("first-write", 123.5, reason="new batch", expected=0.0) == answer
    assert await plant.call("GET", "/v1/writes/first-write") == answer
    assert len(plant.writes) == 1

    rows = (await plant.call("GET", "/v1/audit"))["rows"]
    assert [(row["action"], row["outcome"]) for row in rows[:2]] == [
        ("write.done", "written"),
        ("write.intent", "asked"),
    ]
    assert rows[1]["details"]["reason"] == "new batch"
    assert (await plant.call("GET", "/v1/audit/verification"))["sound"]


async def test_what_is_outside_the_limits_never_reaches_the_wire(plant: Plant) -> None:
    for number, (value, code, sentence) in enumerate(
        [
            (500.5, "out-of-limits", "500.5 is over the greatest value that may be written, 500"),
            (-0.5, "out-of-limits", "under the least value that may be written, 0"),
            (1.3, "out-of-limits", "only 0 and steps of 0.5 from there"),
            ("on", "out-of-limits", "'on' isn't a number"),
        ]
    ):
        refusal = await plant.refused(f"write-{number:04d}", value)
        assert (refusal.status, refusal.code) == (422, code)
        assert sentence in str(refusal)
    with pytest.raises(Refused, match="filler1/bottles isn't declared writable") as caught:
        await plant.call("POST", "/v1/writes", {"tag": "filler1/bottles", "value": 1, "id": "write-0010"})
    assert caught.value.status == 403
    refusal = await plant.refused("write-0011", 5, expected=77.0)
    assert (refusal.status, refusal.code) == (409, "not-as-expected")
    assert str(refusal) == "filler1/setpoint reads 0.0 now, not 77; nothing was sent"
    assert refusal.body["write"]["outcome"] == "refused"
    assert plant.writes == []


async def test_what_came_of_it_is_said_as_it_is(plant: Plant) -> None:
    async def on_write(behaviour: raw.Behaviour) -> None:
        async def choose(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
            await (behaviour if request.function == 6 else raw.answer)(slave, request, send)

        plant.slave.always(choose)

    await on_write(raw.exception(3))
    refusal = await plant.refused("write-0001", 5)
    assert (refusal.status, refusal.code, refusal.body["write"]["sent"]) == (422, "device-refused", True)
    await on_write(raw.mute)
    refusal = await plant.refused("write-0002", 5)
    assert (refusal.status, refusal.code, refusal.body["write"]["outcome"]) == (504, "unknown", "unknown")
    assert "whether setpoint was written is unknown" in str(refusal)

    async def pretend(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        send(raw.frame(request.transaction, request.unit, request.pdu))

    await on_write(pretend)
    refusal = await plant.refused("write-0003", 5)
    assert (refusal.status, refusal.code) == (409, "reads-otherwise")
    sent = len(plant.writes)
    plant.slave.always(raw.answer)
    for number in (1, 2, 3):
        await plant.refused(f"write-{number:04d}", 5)
    assert len(plant.writes) == sent == 3
    assert (await plant.write("write-0004", 5))["outcome"] == "written"


async def test_a_link_that_is_down_refuses_and_a_later_write_is_another_one(plant: Plant) -> None:
    await plant.slave.stop()

    def down(status: dict[str, Any]) -> bool:
        return bool(status["southbound"]["links"]["filler"]["state"] == "down")

    await plant.gateway.until(down, "the link is down")
    refusal = await plant.refused("write-0001", 5)
    assert (refusal.status, refusal.code) == (502, "unreachable")
    assert "nothing was sent" in str(refusal)
    looked = await plant.call("POST", "/v1/writes/preview", {"tag": "filler1/setpoint", "value": 5})
    assert looked["frames"] == ["function 6: .. .. 00 00 00 06 01 06 00 0a 00 32"]
    assert looked["current"]["quality_name"] == "BadNoCommunication"
    await plant.slave.start()
    await plant.up()
    await plant.refused("write-0001", 5)
    assert (await plant.write("write-0002", 5))["outcome"] == "written"
    assert len(plant.writes) == 1


async def test_a_kill_in_the_middle_of_a_write_is_remembered_as_that(plant: Plant) -> None:
    await plant.write("before-kill", 1)
    held = asyncio.Event()

    async def hold(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        if request.function == 6:
            held.set()
            return
        await raw.answer(slave, request, send)

    plant.slave.always(hold)
    waiting = asyncio.create_task(plant.write("during-kill", 2))
    await held.wait()
    await asyncio.to_thread(plant.gateway.kill)
    with pytest.raises(Exception, match="no gateway answers"):
        await waiting
    plant.slave.always(raw.answer)
    plant.gateway.start()
    await plant.up()
    refusal = await plant.refused("during-kill", 2)
    assert (refusal.status, refusal.code) == (504, "unknown")
    assert "the gateway stopped while filler1/setpoint was being written" in str(refusal)
    assert (await plant.write("before-kill", 1))["outcome"] == "written"
    assert len(plant.writes) == 2
    (row,) = (await plant.call("GET", "/v1/audit?action=write.done&limit=1"))["rows"]
    assert (row["outcome"], row["details"]["id"]) == ("unknown", "during-kill")
    assert verify(plant.directory / "data" / "audit").sound


async def test_nothing_is_written_where_nobody_switched_it_on(tmp_path: Path, slave: RawSlave) -> None:
    text = CONFIG.format(data=tmp_path / "data", port=slave.port, enabled="false")
    with GatewayProcess(tmp_path, text) as gateway:
        plant = Plant(tmp_path, slave, gateway)
        await plant.up()
        refusal = await plant.refused("write-0001", 5)
        assert (refusal.status, refusal.code) == (403, "writes-disabled")
        assert refusal.mend == "to switch it on: enabled = true under [write] in the configuration"
        assert plant.writes == []
        # And the first start has said how to come in.
        assert re.search(r"Claim this gateway on its page with the code \w{4}(-\w{4}){3}", gateway.log)
        assert (tmp_path / "data" / "claim-code").stat().st_mode & 0o777 == 0o600
