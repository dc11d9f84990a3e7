"""Tags as tables and the library through the socket."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import grids
from gateway.config.edit import Edit, edit
from gateway.config.tree import Tree
from gateway.control.client import ControlClient, NotRunning, Refused
from gateway.control.routes import drivers, sheets, tables, templates
from gateway.control.server import ControlServer
from gateway.grids.delimited import read_delimited
from tests.config.sheets.test_importing import MAIN, TREE


async def tree() -> Tree:
    return TREE


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[ControlClient]:
    operations = [
        *drivers.operations(),
        *templates.operations(),
        *sheets.operations(MAIN, tree),
        *tables.operations(MAIN, tree),
    ]
    task = asyncio.create_task(ControlServer(operations, tmp_path / "s").run())
    client = ControlClient(tmp_path / "s")
    async with asyncio.timeout(10):
        while not task.done():
            with contextlib.suppress(NotRunning):
                await asyncio.to_thread(client.get, "/v1/templates")
                break
            await asyncio.sleep(0.01)
    yield client
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_a_table_goes_out_and_comes_back(client: ControlClient) -> None:
    table = await asyncio.to_thread(client.get, "/v1/sheet")
    assert table["header"][:4] == ["device", "group", "name", "address"]
    assert len(table["rows"]) == 4
    rows = [[at, *cells] for at, cells in enumerate([table["header"], *table["rows"]], 1)]
    trial = await asyncio.to_thread(client.post, "/v1/sheet/try", {"rows": rows, "remove": True})
    assert (trial["unchanged"], trial["edits"], trial["problems"]) == (4, [], [])
    one = await asyncio.to_thread(client.get, "/v1/sheet", device="d1", group="slow")
    assert [row[2] for row in one["rows"]] == ["energy"]


async def test_the_edits_are_those_of_the_draft(client: ControlClient) -> None:
    body = {**grids.to_json(read_delimited("name,unit\nx,V\n")), "owner": "d2"}
    trial = await asyncio.to_thread(client.post, "/v1/sheet/try", body)
    edits = [Edit(each["op"], tuple(each["path"]), each["value"]) for each in trial["edits"]]
    assert b'unit = "V"' in edit(TREE, edits).files["tidegate.toml"]
    assert trial["changes"][0]["set"] == {"unit": "V"}


async def test_a_whole_table_empties_groups_and_fills_those_that_are_made_first(client: ControlClient) -> None:
    made = {"op": "add", "path": ["device", "d1", "group"], "value": {"name": "new", "interval_ms": 50}}
    rows = [[0, "group", "name", "address", "type"], [1, "new", "speed", "hr:1", "uint16"]]
    body = {"rows": rows, "owner": "d1", "remove": True, "whole": True, "first": [made]}
    trial = await asyncio.to_thread(client.post, "/v1/sheet/try", body)
    assert trial["problems"] == []
    changes = {(each["action"], each["group"], each["name"], each["to_group"]) for each in trial["changes"]}
    assert changes == {
        ("change", "fast", "speed", "new"),
        ("remove", "fast", "level", None),
        ("remove", "slow", "energy", None),
    }
    edits = [Edit(each["op"], tuple(each["path"]), each["value"]) for each in (made, *trial["edits"])]
    assert edit(TREE, edits).files["tidegate.toml"].count(b"[[device.group.tag]]") == 2
    none = await asyncio.to_thread(client.post, "/v1/sheet/try", {**body, "rows": rows[:1], "first": []})
    assert (none["removed"], none["problems"]) == (3, [])


async def test_edits_that_come_first_must_be_possible(client: ControlClient) -> None:
    first = [{"op": "add", "path": ["device", "nobody", "group"], "value": {"name": "new"}}]
    with pytest.raises(Refused, match="nobody"):
        await asyncio.to_thread(client.post, "/v1/sheet/try", {"rows": [[0, "name"]], "owner": "d1", "first": first})


async def test_tables_are_listed(client: ControlClient) -> None:
    listed = await asyncio.to_thread(client.get, "/v1/tables/device")
    assert [each["name"] for each in listed] == ["d1", "d2"]
    assert listed[0] == await asyncio.to_thread(client.get, "/v1/tables/device/d1")
    with pytest.raises(Refused, match="there is no list of gateway"):
        await asyncio.to_thread(client.get, "/v1/tables/gateway")


async def test_problems_have_their_row_and_column(client: ControlClient) -> None:
    body = {**grids.to_json(read_delimited("device,name,scale\nd2,x,0\n"))}
    trial = await asyncio.to_thread(client.post, "/v1/sheet/try", body)
    assert trial["problems"] == [
        {
            "row": 2,
            "column": "scale",
            "message": 'tag "x": scale is 0, so every value would be the same',
            "mend": "take scale out, or mend it",
            "where": "row 2, column scale",
        }
    ]
    assert trial["edits"] == []


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/sheet/try", {"rows": []}, 422, "bad-table"),
        ("/v1/sheet/try", {"rows": [["x"]]}, 422, "bad-table"),
        ("/v1/sheet/names", {"pattern": "{x}", "items": []}, 422, "bad-pattern"),
    ],
)
async def test_what_is_refused(client: ControlClient, path: str, body: Any, status: int, code: str) -> None:
    with pytest.raises(Refused) as caught:
        await asyncio.to_thread(client.post, path, body)
    assert (caught.value.status, caught.value.code) == (status, code)
    assert caught.value.mend


async def test_a_device_that_isnt_there(client: ControlClient) -> None:
    with pytest.raises(Refused) as caught:
        await asyncio.to_thread(client.get, "/v1/sheet", device="d9")
    assert caught.value.code == "no-such-device"


async def test_names_by_a_pattern(client: ControlClient) -> None:
    body = {"pattern": "{name|snake}", "items": [{"path": "A/MotorSpeed"}, {"path": "B/MotorSpeed"}]}
    assert await asyncio.to_thread(client.post, "/v1/sheet/names", body) == [
        {"path": "motor_speed", "problem": None},
        {"path": "motor_speed", "problem": "it is the name of item 1, too"},
    ]


async def test_the_library(client: ControlClient) -> None:
    found = await asyncio.to_thread(client.get, "/v1/templates", search="eastron", kind="meter")
    assert [each["name"] for each in found] == ["eastron-sdm120", "eastron-sdm630"]
    one = await asyncio.to_thread(client.get, "/v1/templates/modbus/eastron-sdm120")
    assert one["template"]["group"][0]["tag"][0]["name"] == "voltage"
    assert one["toml"].startswith("# Eastron")
    assert one["link"]["baud"] == 9600
    with pytest.raises(Refused) as caught:
        await asyncio.to_thread(client.get, "/v1/templates/modbus/nothing")
    assert caught.value.code == "no-such-template"


async def test_the_drivers_and_what_can_be_set_for_them(client: ControlClient) -> None:
    found = await asyncio.to_thread(client.get, "/v1/drivers")
    assert [each["name"] for each in found] == ["ble", "modbus", "opcua", "serial"]
    modbus = await asyncio.to_thread(client.get, "/v1/drivers/modbus")
    assert modbus["address_key"] == "address"
    assert {"name", "driver", "host", "port"} <= modbus["link"]["properties"].keys()
    assert modbus["tag"]["properties"]["type"]["enum"][0] == "bool"
    assert "units" in modbus["scan"]["properties"]
    with pytest.raises(Refused) as caught:
        await asyncio.to_thread(client.get, "/v1/drivers/profinet")
    assert caught.value.code == "no-such-driver"


async def test_a_table_as_it_is_configured(client: ControlClient) -> None:
    link = await asyncio.to_thread(client.get, "/v1/tables/link/l")
    assert link["table"] == {"name": "l", "driver": "modbus", "host": "10.0.0.1"}
    for path in ("/v1/tables/link/x", "/v1/tables/gateway/g", "/v1/tables/nothing/g"):
        with pytest.raises(Refused) as caught:
            await asyncio.to_thread(client.get, path)
        assert caught.value.code == "no-such-table"
