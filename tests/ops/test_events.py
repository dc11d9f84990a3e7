"""Changes for watchers: in order, coalesced, bounded; and that a gateway tells of them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from gateway.control.client import ServerEvent
from gateway.ops.events import KEPT, DeviceChanged, Events, RepairsChanged, SinkChanged
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto, free_port


async def test_what_changes_again_before_it_was_told_is_told_once_and_last() -> None:
    events = Events()
    events.tell(RepairsChanged(9))  # nobody watches
    following = events.follow()
    waiting = asyncio.ensure_future(anext(following))
    await asyncio.sleep(0)
    for number in range(10_000):
        events.tell(DeviceChanged("a", "failure" if number % 2 else "normal", str(number), number))
        if number == 5000:
            events.tell(SinkChanged("plant", False, "gone"))
    assert await waiting == SinkChanged("plant", False, "gone")
    assert await anext(following) == DeviceChanged("a", "failure", "9999", 9999)
    events.tell(RepairsChanged(1))
    assert await anext(following) == RepairsChanged(1)
    await following.aclose()  # type: ignore[attr-defined]


async def test_the_last_changes_are_kept_with_their_times() -> None:
    moments = iter(range(10_000))
    events = Events(now_ns=lambda: next(moments) * 1_000_000)
    assert not events.watched
    for number in range(KEPT + 2):
        events.tell(RepairsChanged(number))
    kept = events.recent()
    assert len(kept) == KEPT
    assert (kept[0].id, kept[0].timestamp_ms, kept[0].event, kept[0].change) == (3, 2, "repairs", RepairsChanged(2))
    assert kept[-1].id == KEPT + 2


class Watcher:
    """Follows a gateway's events until it stops."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._seen: list[ServerEvent] = []
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def _watch(self) -> None:
        for event in self._gateway.client.events("/v1/events"):
            self._seen.append(event)
            self._changed.set()

    async def until(self, kind: str, **members: Any) -> None:
        while not any(e.event == kind and members.items() <= e.data.items() for e in list(self._seen)):
            assert await asyncio.to_thread(self._changed.wait, 20), f"no {kind} {members} in {self._seen}"
            self._changed.clear()

    def join(self) -> None:
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.mark.integration
async def test_a_gateway_tells_of_devices_links_and_sinks(tmp_path: Path) -> None:
    with Field() as field, Mosquitto(tmp_path / "broker") as broker:
        text = configuration(tmp_path / "data", [field.slaves[0].port], broker.port, timeout_ms=200)
        with GatewayProcess(tmp_path, text) as gateway:
            await gateway.until(lambda body: body["sinks"]["plant"]["connected"], "connected")
            watcher = Watcher(gateway)
            until = watcher.until
            await gateway.until(lambda body: body["southbound"]["totals"]["good"], "values")
            field.slaves[0].silent = True
            await until("device", device="dev0", state="failure")
            field.slaves[0].silent = False
            await until("device", device="dev0", state="normal")
            await until("link", link="link0", state="up")
            broker.kill()
            await until("sink", sink="plant", connected=False)
            broker.start()
            await until("sink", sink="plant", connected=True)
            past = await asyncio.to_thread(gateway.client.get, "/v1/events/recent")
            assert [each["id"] for each in past] == list(range(1, len(past) + 1))
            gone = [each for each in past if each["event"] == "sink" and not each["change"]["connected"]]
            assert gone[-1]["change"]["detail"]
            assert gone[-1]["timestamp_ms"] > 1_700_000_000_000
            (last,) = await asyncio.to_thread(gateway.client.get, "/v1/events/recent", limit=1)
            assert last["id"] >= past[-1]["id"]
        await asyncio.to_thread(watcher.join)


@pytest.mark.integration
async def test_a_gateway_tells_of_its_configuration_and_of_repairs(tmp_path: Path) -> None:
    with Field() as field:
        text = configuration(tmp_path / "data", [field.slaves[0].port], free_port())
        with GatewayProcess(tmp_path, text) as gateway:
            await gateway.until(lambda body: body["sinks"]["plant"]["last_error"], "the broker isn't there")
            watcher, client = Watcher(gateway), gateway.client

            def draft(remark: str) -> None:
                client.call("PUT", "/v1/config/draft", body={"files": {"tidegate.toml": f"# {remark}\n{text}"}})

            def apply(confirm_within_s: float) -> int:
                made = client.post("/v1/config/apply", {"confirm_within_s": confirm_within_s}, timeout_s=30)
                number = made["revision"]["number"]
                assert isinstance(number, int)
                return number

            while not any(event.event == "config" for event in list(watcher._seen)):  # it follows by now
                await asyncio.to_thread(draft, "one")
            await asyncio.to_thread(client.call, "DELETE", "/v1/config/draft")
            await watcher.until("config", state="discarded")
            await asyncio.to_thread(draft, "two")
            await watcher.until("config", state="drafted")
            number = await asyncio.to_thread(apply, 60.0)
            await watcher.until("config", state="pending", revision=number)
            await asyncio.to_thread(client.post, "/v1/config/rollback", {})
            await watcher.until("config", state="rolled-back", revision=number)
            number = await asyncio.to_thread(apply, 0.0)
            await watcher.until("config", state="confirmed", revision=number)
            repairs = await asyncio.to_thread(client.get, "/v1/repairs")
            assert repairs
            await watcher.until("repairs")
        await asyncio.to_thread(watcher.join)
