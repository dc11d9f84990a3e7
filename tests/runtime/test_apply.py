"""Other settings for a gateway that runs, between real Modbus servers and a real broker; judged from outside."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load
from gateway.delta import ApplyFailed, Parts
from gateway.model import Quality
from gateway.runtime import Runtime
from gateway.settings import GatewaySettings
from hil.ledger_check.checker import Checker
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.mosquitto import Mosquitto
from tests.support.opcua_server import OpcUaServer
from tests.support.proxy import Proxy
from tests.support.subscriber import Subscriber

pytestmark = pytest.mark.integration

BASE = "uns/v1/acme/plant1"
INTERVAL_S = 0.05
TAG = 'granularity = "tag"\nledger_interval_s = 0.2'


class Pulse:
    """What keeps the event loop from its turns: its own work, or a machine that is busy with something else."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        """CPU time of the loop's thread between two turns."""
        self.starved_s = 0.0
        """Time that the loop didn't get though it had next to nothing to do."""

    async def __aenter__(self) -> Pulse:
        self._task = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            began, worked = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.002)
            took_s, worked_s = time.monotonic() - began, time.thread_time() - worked
            self.longest_s = max(self.longest_s, worked_s)
            if took_s > 0.02 and worked_s < took_s / 2:
                self.starved_s += took_s


class Site:
    """Where the settings come from, and what came of them."""

    def __init__(self, directory: Path, field: Field, broker: Mosquitto, subscriber: Subscriber) -> None:
        self.directory, self.field, self.broker, self.subscriber = directory, field, broker, subscriber
        self.sink = TAG

    def settings(
        self, devices: int, *, port: int = 0, sink: str = "", extra: str = "", more: str = ""
    ) -> GatewaySettings:
        path = self.directory / "tidegate.toml"
        ports = [slave.port for slave in self.field.slaves[:devices]]
        text = configuration(
            self.directory / "data",
            ports,
            port or self.broker.port,
            interval_ms=int(1000 * INTERVAL_S),
            sink=sink or self.sink,
            extra=extra,
        )
        path.write_text(text + more)
        return load(path)

    async def until_value(self, topic: str) -> None:
        """Until another good value of a tag has come."""
        seen = len(self.subscriber.messages)
        await self.subscriber.until(
            lambda messages: any(
                m.topic == f"{BASE}/{topic}" and m.payload and m.json["value"] for m in messages[seen:]
            ),
            f"a value of {topic}",
        )

    def retained(self, topic: str) -> list[Any]:
        """What the broker would give a new subscriber, by what this one heard: the last retained of each topic."""
        return [m for m in self.subscriber.messages if m.topic == f"{BASE}/{topic}"]

    def verdict(self, *sinks: str) -> None:
        """Every number of every source came, or the ledger says what became of it."""
        checker = Checker(from_start=True)
        for message in self.subscriber.messages:
            checker.feed(message.topic, message.payload, message.retained)
        verdict = checker.verdict()
        assert verdict.passed, verdict.reasons
        assert (verdict.missing, verdict.dropped) == (0, 0), verdict.notes


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    with (
        Field(4) as field,
        Mosquitto(tmp_path, extra=["max_inflight_messages 100"]) as broker,
        Subscriber(broker.port) as subscriber,
    ):
        yield Site(tmp_path, field, broker, subscriber)


@contextlib.asynccontextmanager
async def running(site: Site, settings: GatewaySettings) -> AsyncIterator[Runtime]:
    async with Runtime(settings) as runtime:
        watch = asyncio.create_task(runtime.failed_sink())
        try:
            yield runtime
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
    goodbye = f"{BASE}/gw1/_state"
    await site.subscriber.until(
        lambda messages: any(m.topic == goodbye and m.json["state"] == "offline" for m in messages[-50:]), "the goodbye"
    )


def group(runtime: Runtime, device: int) -> dict[str, Any]:
    link = runtime.status()["southbound"]["links"][f"link{device}"]
    found: dict[str, Any] = link["devices"][f"dev{device}"]["groups"]["main"]
    return found


async def test_fifty_applies_leave_a_device_that_doesnt_differ_alone(site: Site) -> None:
    """Others come and go on links of their own, and the sink restarts every time."""
    few, many = (site.settings(count, sink=f"{TAG}\nwindow = {window}") for count, window in ((2, 100), (4, 50)))
    async with running(site, few) as runtime:
        await site.until_value("dev0/count")
        async with Pulse() as pulse:
            for step in range(50):
                applied = await runtime.apply(few if step % 2 else many)
                assert applied.links.untouched == 2
                assert applied.sinks == Parts(restarted=("plant",))
                await site.until_value("dev0/count")
        numbers = group(runtime, 0)
        assert pulse.longest_s < INTERVAL_S, "an apply kept the loop busy for longer than a poll may be late"
        assert numbers["missed"] <= pulse.starved_s / INTERVAL_S
        status = runtime.status()["southbound"]["links"]["link0"]
        assert (status["connects"], status["losses"]) == (1, 0)
        assert numbers["polls"] == len(site.field.slaves[0].answered), "its counters went back"
    site.verdict()


async def test_what_goes_is_taken_back_and_what_comes_is_told(site: Site) -> None:
    async with running(site, site.settings(2)) as runtime:
        await site.until_value("dev1/count")
        connections = runtime.status()["sinks"]["plant"]["connections"]
        applied = await runtime.apply(site.settings(1))
        assert applied.devices == Parts(removed=("dev1",), untouched=1)
        await site.subscriber.until(
            lambda messages: (
                {m.topic for m in messages if not m.payload}
                >= {f"{BASE}/dev1/{end}" for end in ("count", "r4", "_meta", "_state")}
            ),
            "its topics to be cleared",
        )
        said = [m for m in site.subscriber.messages if m.topic == f"{BASE}/dev1/count"]
        assert not said[-1].payload
        assert (said[-2].json["value"], said[-2].json["quality"]) == (None, Quality.BAD_OUT_OF_SERVICE)
        applied = await runtime.apply(site.settings(3))
        assert applied.devices == Parts(added=("dev1", "dev2"), untouched=1)
        await site.until_value("dev1/count")
        await site.until_value("dev2/count")
        await site.subscriber.until(
            lambda messages: any(
                m.topic == f"{BASE}/dev2/_state" and m.payload and m.json["state"] == "normal" for m in messages
            ),
            "the new device's state",
        )
        assert runtime.status()["sinks"]["plant"]["connections"] == connections, "the sink reconnected"
        namespaces = [m.json for m in site.subscriber.messages if m.topic.endswith("_namespace")]
        assert [len(body["assets"]) for body in namespaces] == [2, 1, 3]
    with Subscriber(site.broker.port, client_id="late") as late:
        await late.until(lambda messages: any(m.topic.endswith("dev2/_meta") for m in messages), "what is retained")
    site.verdict()


async def test_a_report_filter_that_doesnt_differ_keeps_its_state(site: Site) -> None:
    """A deadband that was wide open to everything would send every tag again with every apply."""
    port = site.field.slaves[3].port
    quiet = (
        f'[[link]]\nname = "quiet"\ndriver = "modbus"\ntransport = "tcp"\nhost = "127.0.0.1"\nport = {port}\n'
        '[[device]]\nname = "quiet"\nlink = "quiet"\n[[device.group]]\nname = "main"\ninterval_ms = 20\n'
        '[[device.group.tag]]\nname = "r"\naddress = "hr:0"\ntype = "uint16"\nreport = { deadband = 1000 }\n'
    )
    async with running(site, site.settings(1, more=quiet)) as runtime:
        await site.subscriber.until(lambda messages: any(m.topic == f"{BASE}/quiet/r" for m in messages), "its value")
        reports = len(site.retained("quiet/r"))
        for devices in (2, 1, 3):
            await runtime.apply(site.settings(devices, more=quiet))
            await site.until_value("dev0/count")
        assert len(site.retained("quiet/r")) == reports
        await runtime.apply(site.settings(1, more=quiet.replace("1000", "2000")))
        await site.subscriber.until(
            lambda _: len(site.retained("quiet/r")) == reports + 1, "the changed filter's first"
        )
    site.verdict()


async def test_sinks_come_restart_and_go_and_every_value_is_accounted_for(site: Site, tmp_path: Path) -> None:
    other_directory = tmp_path / "other"
    other_directory.mkdir()
    with Mosquitto(other_directory) as other, Subscriber(other.port, client_id="other") as cloud:
        second = f'[[sink]]\nname = "cloud"\nhost = "127.0.0.1"\nport = {other.port}\n{TAG}\n'
        async with running(site, site.settings(2)) as runtime:
            await site.until_value("dev0/count")
            applied = await runtime.apply(site.settings(2, more=second))
            assert applied.sinks == Parts(added=("cloud",), untouched=1)
            await cloud.until(lambda messages: any(m.topic == f"{BASE}/dev1/count" for m in messages), "the new sink")
            applied = await runtime.apply(site.settings(2, sink=f"{TAG}\nwindow = 20", more=second))
            assert applied.sinks == Parts(restarted=("plant",), untouched=1)
            await site.until_value("dev0/count")
            begun = runtime.status()["ledger"]["cloud"]["sources"]["dev0"]["boots"]
            assert next(iter(begun.values()))["first"] > 1, "a new sink owes nothing of what was before it"
            applied = await runtime.apply(site.settings(2, sink=f"{TAG}\nwindow = 20"))
            assert (applied.sinks, applied.owed) == (Parts(removed=("cloud",), untouched=1), {"cloud": 0})
            assert set(runtime.status()["ledger"]) == {"plant"}
            ledger = [m.json for m in cloud.messages if m.topic.endswith("_ledger")][-1]
            for source in ledger["sources"].values():
                (account,) = source["boots"].values()
                assert account["pending"] == 0
            checker = Checker()
            for message in cloud.messages:
                checker.feed(message.topic, message.payload, message.retained)
            assert checker.verdict().passed, checker.verdict().reasons
        site.verdict()


async def test_what_a_sink_that_goes_still_owed_is_said_and_frees_the_journal(site: Site) -> None:
    async with Proxy(site.broker.host, site.broker.port) as proxy:
        second = f'[[sink]]\nname = "cloud"\nhost = "127.0.0.1"\nport = {proxy.port}\n{TAG}\nclient_id = "other"\n'
        second += "ack_timeout_s = 0.5\n"
        await proxy.cut()
        async with running(site, site.settings(2, more=second)) as runtime:
            await site.until_value("dev0/count")
            await asyncio.sleep(0.6)  # past the deadline: it is on the disk
            assert runtime.status()["journal"]["sinks"]["cloud"]["stored"] > 0
            applied = await runtime.apply(site.settings(2))
            assert applied.owed["cloud"] > 50
            used = runtime.status()["journal"]["sinks"]
            assert set(used) == {"plant"}
            await site.until_value("dev0/count")
            assert runtime.status()["journal"]["oldest_ms"] is None, "its watermark still keeps chunks"
        site.verdict()


async def test_a_sink_taken_out_provisionally_loses_nothing_if_it_comes_back(site: Site, tmp_path: Path) -> None:
    other_directory = tmp_path / "other"
    other_directory.mkdir()
    with Mosquitto(other_directory) as other, Subscriber(other.port, client_id="other") as cloud:
        second = f'[[sink]]\nname = "cloud"\nhost = "127.0.0.1"\nport = {other.port}\n{TAG}\nclient_id = "other-gw"\n'
        async with running(site, site.settings(1, more=second)) as runtime:
            await cloud.until(
                lambda messages: any(m.topic == f"{BASE}/dev0/count" for m in messages), "the first value"
            )
            applied = await runtime.apply(site.settings(1), provisional=True)
            assert applied.sinks.removed == ("cloud",)
            await site.until_value("dev0/count")
            assert runtime.status()["journal"]["sinks"]["cloud"]["pending"] > 0, "what comes meanwhile is kept, too"
            await runtime.apply(site.settings(1, more=second), provisional=True)
            await runtime.settle()
            await site.until_value("dev0/count")
            await cloud.until(lambda _: not runtime.status()["journal"]["sinks"]["cloud"]["pending"], "all delivered")
            (account,) = runtime.status()["ledger"]["cloud"]["sources"]["dev0"]["boots"].values()
            assert account["dropped"] == []
        checker = Checker()
        for message in cloud.messages:
            checker.feed(message.topic, message.payload, message.retained)
        assert checker.verdict().passed, checker.verdict().reasons
    site.verdict()


async def test_a_sink_taken_out_provisionally_is_given_up_once_that_is_settled(site: Site) -> None:
    second = f'[[sink]]\nname = "cloud"\nhost = "127.0.0.1"\nport = 9\n{TAG}\nclient_id = "other"\n'
    async with running(site, site.settings(1, more=second)) as runtime:
        await site.until_value("dev0/count")
        applied = await runtime.apply(site.settings(1), provisional=True)
        assert applied.owed["cloud"] > 0
        assert "cloud" in runtime.status()["journal"]["sinks"]
        await runtime.settle()
        assert set(runtime.status()["journal"]["sinks"]) == {"plant"}
        await site.until_value("dev0/count")
    site.verdict()


async def test_bounds_of_the_journal_change_while_it_runs(site: Site) -> None:
    async with running(site, site.settings(1)) as runtime:
        await site.until_value("dev0/count")
        applied = await runtime.apply(site.settings(1, more="[journal]\nmax_mb = 16\ndeadline_ms = 100\n"))
        assert applied.in_place == ("journal.deadline_ms", "journal.max_mb")
        assert runtime.status()["journal"]["max_bytes"] == 16 << 20
        assert runtime.status()["journal"]["deadline_ms"] == 100
        await site.until_value("dev0/count")
    site.verdict()


async def test_what_cant_be_set_up_changes_nothing(site: Site) -> None:
    async with running(site, site.settings(1)) as runtime:
        await site.until_value("dev0/count")
        wanted = site.settings(2)

        def explode(*_: object) -> Any:
            raise RuntimeError("no such thing")

        new = wanted.links[1]
        broken = replace(wanted, links=(wanted.links[0], replace(new, kind=replace(new.kind, open_device=explode))))
        before = runtime.settings
        with pytest.raises(ApplyFailed, match=r"dev1 can't be set up .*no such thing.*nothing was changed"):
            await runtime.apply(broken)
        assert runtime.settings is before
        assert set(runtime.status()["southbound"]["links"]) == {"link0"}
        await site.until_value("dev0/count")
        assert runtime.status()["southbound"]["links"]["link0"]["connects"] == 1
    site.verdict()


async def test_what_fails_half_way_is_undone(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(site, site.settings(2)) as runtime:
        await site.until_value("dev1/count")
        connects = len(site.field.slaves[0].answered)
        monkeypatch.setattr(runtime._journal, "add_sink", lambda name: (_ for _ in ()).throw(OSError("disk on fire")))
        second = f'[[sink]]\nname = "cloud"\nhost = "127.0.0.1"\nport = {site.broker.port}\nclient_id = "b"\n'
        with pytest.raises(ApplyFailed, match=r"disk on fire.*the configuration before runs again"):
            await runtime.apply(site.settings(1, sink=f"{TAG}\nwindow = 20", more=second))
        assert runtime.settings == site.settings(2)
        await site.until_value("dev1/count")
        await site.until_value("dev0/count")
        assert runtime.status()["southbound"]["links"]["link0"]["connects"] == 1
        assert len(site.field.slaves[0].answered) > connects
        assert set(runtime.status()["sinks"]) == {"plant"}
    site.verdict()


async def test_a_dry_run_reads_what_would_come_and_disturbs_nothing(site: Site) -> None:
    async with running(site, site.settings(1)) as runtime:
        await site.until_value("dev0/count")
        site.field.slaves[2].silent = True
        wanted = site.settings(3)
        trials = {trial.device: trial for trial in await runtime.try_out(wanted)}
        assert set(trials) == {"dev1", "dev2"}
        assert trials["dev1"].sentence == "it answers; 5 tags can be read"
        assert trials["dev1"].readings[0].value == 1
        assert trials["dev2"].answered is False
        assert "no answer" in trials["dev2"].sentence
        more = wanted.links[0].devices[0]
        extra = replace(more.groups[0], poll=replace(more.groups[0].poll, name="more"))
        grown = replace(wanted.links[0], devices=(replace(more, groups=(*more.groups, extra)),))
        answered = len(site.field.slaves[0].answered)
        (trial,) = await runtime.try_out(replace(wanted, links=(grown,)))
        assert trial.readings[0].value in range(answered, answered + 5), "a fresh value, through the running link"
        reading = await runtime.southbound.read("dev0", "r4")
        assert reading.quality == 0
        assert runtime.status()["southbound"]["links"]["link0"]["connects"] == 1
    site.verdict()


async def test_who_stops_waiting_doesnt_stop_it(site: Site) -> None:
    async with running(site, site.settings(1)) as runtime:
        await site.until_value("dev0/count")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await runtime.apply(site.settings(3))
        applied = await runtime.apply(site.settings(3))
        assert applied.empty
        assert len(runtime.settings.links) == 3
        await site.until_value("dev2/count")
    with pytest.raises(ApplyFailed, match="stopping"):
        await runtime.apply(site.settings(1))
    site.verdict()


async def test_subscriptions_come_and_go_at_a_server_that_stays_connected(site: Site) -> None:
    def text(*groups: tuple[str, str, int]) -> str:
        head = (
            f'[[link]]\nname = "plc"\ndriver = "opcua"\nurl = "{server.url}"\nsecurity_policy = "None"\n'
            '[[device]]\nname = "plc"\nlink = "plc"\n'
        )
        return head + "".join(
            f'[[device.group]]\nname = "{name}"\ninterval_ms = {interval_ms}\n[[device.group.tag]]\nname = "{name}/x"\n'
            f'node = "nsu=http://acme.example/line;s={node}"\ntype = "float64"\n'
            for name, node, interval_ms in groups
        )

    def plc() -> dict[str, Any]:
        found: dict[str, Any] = runtime.status()["southbound"]["links"]["plc"]  # type: ignore[assignment]
        return found

    async def subscriptions(count: int) -> None:
        async with asyncio.timeout(10):
            while await asyncio.to_thread(server.ask, "subscriptions") != count:  # noqa: ASYNC110 - of another process
                await asyncio.sleep(0.02)

    with OpcUaServer("--items", "3") as server:
        stays = ("a", "Item0", 100)
        ways = [
            text(stays, ("b", "Item1", 100)),
            text(stays, ("b", "Item1", 200)),
            text(stays),
            text(stays, ("c", "Item2", 100)),
        ]
        several = [site.settings(1, more=way) for way in ways]
        async with running(site, several[0]) as runtime:
            await site.subscriber.until(
                lambda messages: {f"{BASE}/plc/a/x", f"{BASE}/plc/b/x"} <= {m.topic for m in messages}, "both groups"
            )
            await subscriptions(2)
            setups = plc()["devices"]["plc"]["groups"]["a"]["subscription"]["setups"]
            for number in range(1, 13):
                await runtime.apply(several[number % 4])
                await subscriptions(2 if number % 4 != 2 else 1)
            assert plc()["devices"]["plc"]["groups"]["a"]["subscription"]["setups"] == setups == 1
            assert (plc()["connects"], plc()["losses"]) == (1, 0)
            assert await asyncio.to_thread(server.ask, "sessions") == 1
            reading = await runtime.southbound.read("plc", "b/x")
            assert reading.quality == 0
            await subscriptions(2)
    site.verdict()
