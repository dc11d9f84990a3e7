"""Live values through the socket: the stream, the table, trends, one tag."""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import ControlClient, NotRunning, Refused, ServerEvent, segment
from gateway.control.routes import live as routes
from gateway.control.routes import status
from gateway.control.server import ControlServer
from gateway.live import Live
from gateway.model import DataType, Quality, Record, Tag
from tests.live.build import WALL_NS, Clock, batch, feed, group, live_of, numbers, settings

BAD = int(Quality.BAD_TIMEOUT)


class FakeRuntime:
    def __init__(self, live: Live) -> None:
        self.live = live

    def status(self) -> dict[str, Any]:
        return {}


@contextlib.asynccontextmanager
async def serving(live: Live, path: Path) -> AsyncIterator[ControlClient]:
    runtime = FakeRuntime(live)
    operations = [*status.operations(runtime), *routes.operations(runtime)]
    task = asyncio.create_task(ControlServer(operations, path).run())
    try:
        async with asyncio.timeout(10):
            while not task.done():
                with contextlib.suppress(NotRunning):
                    await asyncio.to_thread(ControlClient(path).status)
                    break
                await asyncio.sleep(0.01)
        yield ControlClient(path)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


OF = group(
    "filler",
    Tag("motor/speed", DataType.FLOAT64, "1/min"),
    Tag("motor/on", DataType.BOOL),
    Tag("name", DataType.STRING),
)


@pytest.fixture
def known() -> tuple[Live, Clock]:
    live, clock = live_of(OF, group("other", *numbers(2)))
    feed(live, batch(OF, [71.3, True, "=1+1"], [0, 0, 0]))
    clock.s = 0.5
    return live, clock


async def test_what_every_tag_is_now(tmp_path: Path, known: tuple[Live, Clock]) -> None:
    async with serving(known[0], tmp_path / "s") as client:
        values = await asyncio.to_thread(client.get, "/v1/values")
        assert len(values) == 5
        assert values[0] == {
            "tag": "filler/motor/speed",
            "device": "filler",
            "path": "motor/speed",
            "value": 71.3,
            "unit": "1/min",
            "type": "float64",
            "quality": 0,
            "quality_name": "Good",
            "timestamp_ms": WALL_NS // 1_000_000,
            "topic": "uns/v1/acme/plant1/filler/motor/speed",
        }
        assert values[3]["timestamp_ms"] is None
        bad = await asyncio.to_thread(client.get, "/v1/values", errors=True)
        assert [value["tag"] for value in bad] == ["other/t0", "other/t1"]
        assert await asyncio.to_thread(client.get, "/v1/values", device="filler", match="*/on") == [values[1]]


async def test_the_table_for_a_spreadsheet_holds_no_formula(tmp_path: Path, known: tuple[Live, Clock]) -> None:
    async with serving(known[0], tmp_path / "s") as client:
        raw = await asyncio.to_thread(client.get, "/v1/values.csv", device="filler")
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8-sig"))))
    assert rows == [
        ["tag", "value", "unit", "quality", "time"],
        ["filler/motor/speed", "71.3", "1/min", "Good", "2027-01-15T08:00:00.000+00:00"],
        ["filler/motor/on", "true", "", "Good", "2027-01-15T08:00:00.000+00:00"],
        ["filler/name", "'=1+1", "", "Good", "2027-01-15T08:00:00.000+00:00"],
    ]


async def test_a_trend_from_the_ring(tmp_path: Path) -> None:
    of = group("d", *numbers(2))
    live, clock = live_of(of)
    for at in range(100):
        values, codes = ([at, 1], None) if at != 50 else ([None, 1], [BAD, 0])
        feed(live, batch(of, values, codes, at_s=at))
    clock.s = 99.0
    start_ms = WALL_NS // 1_000_000
    async with serving(live, tmp_path / "s") as client:
        found = await asyncio.to_thread(client.get, "/v1/trend", tag=["d/t0", "d/t1"])
        assert found["t"] == start_ms + 99_000
        assert found["tags"]["d/t0"]["t"] == [start_ms + at * 1000 for at in range(100)]
        assert found["tags"]["d/t0"]["last"] == [None if at == 50 else at for at in range(100)]
        assert found["tags"]["d/t1"]["last"] == [1] * 100
        for since in ({"from": -9_000}, {"from": start_ms + 90_000}):
            late = await asyncio.to_thread(client.call, "GET", "/v1/trend", {"tag": "d/t0", **since})
            assert late["tags"]["d/t0"]["last"] == list(range(90, 100))
        few = await asyncio.to_thread(client.get, "/v1/trend", tag="d/t0", points=10)
        assert len(few["tags"]["d/t0"]["t"]) == 10
        with pytest.raises(Refused, match="there is no tag d/t9") as refused:
            await asyncio.to_thread(client.get, "/v1/trend", tag=["d/t0", "d/t9"])
        assert refused.value.status == 404


async def test_all_about_one_tag(tmp_path: Path, known: tuple[Live, Clock]) -> None:
    live, _ = known
    live.reported(Record(7, 2, 41, batch(OF, [71.3, True, "x"])))
    async with serving(live, tmp_path / "s") as client:
        found = await asyncio.to_thread(client.get, f"/v1/tags/{segment('filler/motor/speed')}")
        assert found["current"]["value"] == 71.3
        assert found["destinations"][0]["topic"] == "uns/v1/acme/plant1/filler/motor/speed"
        assert found["published"] == [
            {
                "sink": "plant",
                "topic": "uns/v1/acme/plant1/filler/motor/speed",
                "payload": '{"timestamp_ms":1800000000000,"value":71.3,"quality":0,"unit":"1/min","seq":41,"boot":2}',
                "bytes": 88,
                "retain": True,
            }
        ]
        live.reported(Record(8, 2, 44, batch(OF, [False], columns=[1])))
        again = await asyncio.to_thread(client.get, "/v1/tags/filler/motor/speed")
        assert again["published"] == found["published"]
        with pytest.raises(Refused) as refused:
            await asyncio.to_thread(client.get, "/v1/tags/filler/motor")
        assert (refused.value.status, refused.value.code) == (404, "no-such-tag")


async def test_a_stream_begins_with_a_snapshot_and_does_so_again_after_a_reload(
    tmp_path: Path, known: tuple[Live, Clock]
) -> None:
    live, clock = known
    heard: asyncio.Queue[ServerEvent] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    async with serving(live, tmp_path / "s") as client:

        def listen(count: int) -> None:
            stream = client.events("/v1/live", interval_ms=250, device="filler")
            for _ in range(count):
                loop.call_soon_threadsafe(heard.put_nowait, next(stream))
            stream.close()  # type: ignore[attr-defined]

        listening = asyncio.create_task(asyncio.to_thread(listen, 4))
        async with asyncio.timeout(10):
            first = await heard.get()
            assert (first.event, first.data["v"], first.data["interval_ms"]) == ("snapshot", [71.3, True, "=1+1"], 250)
            feed(live, batch(OF, [71.4, True, "=1+1"], at_s=1))
            clock.s = 1.0
            second = await heard.get()
            assert (second.event, second.data["i"], second.data["v"]) == ("tick", [0], [71.4])
            live.configure(settings(OF))
            third = await heard.get()
            assert (third.event, third.data["generation"]) == ("snapshot", 2)
            assert third.data["v"][0] == 71.4
            assert (await heard.get()).event == "tick"
            assert first.id != third.id
            await listening


@pytest.mark.parametrize("query", [{"interval_ms": 100}, {"interval_ms": "soon"}, {"points": 3}])
async def test_a_stream_is_never_faster_than_it_may_be(
    tmp_path: Path, known: tuple[Live, Clock], query: dict[str, Any]
) -> None:
    async with serving(known[0], tmp_path / "s") as client:
        with pytest.raises(Refused) as refused:
            await asyncio.to_thread(lambda: next(client.events("/v1/live", **query)))
        assert refused.value.status == 422


async def test_the_apis_description_knows_what_is_streamed(tmp_path: Path, known: tuple[Live, Clock]) -> None:
    async with serving(known[0], tmp_path / "s") as client:
        document = await asyncio.to_thread(client.get, "/v1/openapi.json")
    described = document["paths"]["/v1/live"]["get"]
    item = described["responses"]["200"]["content"]["text/event-stream"]["x-tidegate-item"]
    assert item == {"$ref": "#/components/schemas/LiveEvent"}
    assert document["components"]["schemas"]["LiveEvent"]["properties"]["ga"]["type"] == "array"
