"""Repairs: each brought about for real where that is cheap, the rest from a status that says so."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.config import load
from gateway.diagnostics import expiry
from gateway.diagnostics.backlog import Forecast, Phase
from gateway.diagnostics.ondisk import Found, OnDisk
from gateway.diagnostics.pace import Pace
from gateway.diagnostics.repairs import ExpiringCertificate, Flaw, Known, Repair, Severity, repairs
from gateway.diagnostics.room import Diagnostics
from gateway.ops.events import Change, RepairsChanged
from gateway.ops.slots import Trial
from gateway.runtime import Runtime
from gateway.settings import GatewaySettings
from tests.diagnostics.test_why import CONFIGURATION
from tests.support import raw_modbus
from tests.support.mosquitto import Authority, Mosquitto, free_port
from tests.support.raw_modbus import RawSlave

NOW_S = 1_800_000_000.0


@pytest.fixture
async def slave() -> AsyncIterator[RawSlave]:
    async with RawSlave() as running:
        running.holes = {12}
        running.holding[10:12] = [1450, 201]
        yield running


async def until(room: Diagnostics, condition: Callable[[dict[str, Repair]], object]) -> dict[str, Repair]:
    found: dict[str, Repair] = {}
    try:
        async with asyncio.timeout(15):
            while not found or not condition(found):
                found = {repair.id: repair for repair in await room.repairs()}
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(found) from None
    assert all(each.sentence and each.mend and each.page.startswith("/") for each in found.values())
    return found


@pytest.mark.integration
async def test_whoever_watches_is_told_when_repairs_change(
    tmp_path: Path, slave: RawSlave, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.diagnostics.room.EVERY_S", 0.05)
    with Mosquitto(tmp_path) as broker:
        file = tmp_path / "tidegate.toml"
        text = CONFIGURATION.format(directory=tmp_path, broker=broker.port, port=slave.port)
        file.write_text(text)
        async with Runtime(load(file)) as runtime:
            with Diagnostics(runtime, file) as room:
                watching = runtime.events.follow()
                async with asyncio.timeout(15):
                    assert (await _repairs_of(watching, lambda told: told.open == 1)).worst == "warning"
                    assert set(await until(room, len)) == {"bad:press"}
                    file.write_text("[gateway]\n")
                    await _repairs_of(watching, lambda told: told.open == 2)
                    file.write_text(text)
                    await _repairs_of(watching, lambda told: told.open == 1)
                await watching.aclose()  # type: ignore[attr-defined]


async def _repairs_of(watching: AsyncIterator[Change], condition: Callable[[RepairsChanged], bool]) -> RepairsChanged:
    async for told in watching:
        if isinstance(told, RepairsChanged) and condition(told):
            return told
    raise AssertionError("the stream has ended")


def test_the_files_are_read_anew_only_when_they_have_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tidegate.toml"
    file.write_text(CONFIGURATION.format(directory=tmp_path, broker=1883, port=502))
    running, reads = load(file), 0

    def counted(path: Path) -> GatewaySettings:
        nonlocal reads
        reads += 1
        return load(path)

    monkeypatch.setattr("gateway.diagnostics.ondisk.load", counted)
    disk = OnDisk(file)
    assert [disk.look(running) for _ in range(3)] == [Found((), False)] * 3
    assert reads == 1
    extra = tmp_path / "conf.d" / "more.toml"
    extra.parent.mkdir()
    extra.write_text('[[link]]\nname = "line2"\ndriver = "modbus"\nhost = "127.0.0.1"\n')
    assert disk.look(running) == Found((), True)
    extra.write_text("[[link]]\n")
    assert disk.look(running).flaws
    extra.unlink()
    assert [disk.look(running) for _ in range(3)] == [Found((), False)] * 3
    assert reads == 4


@pytest.mark.integration
async def test_a_plant_falls_ill_piece_by_piece(tmp_path: Path, slave: RawSlave) -> None:
    acl = "topic write uns/v1/acme/plant1/gw1/#\ntopic write uns/v1/acme/plant1/press/temperature\n"
    with Mosquitto(tmp_path, acl=acl) as broker:
        file = tmp_path / "tidegate.toml"
        file.write_text(CONFIGURATION.format(directory=tmp_path, broker=broker.port, port=slave.port))
        async with Runtime(load(file)) as runtime:
            with Diagnostics(runtime, file) as room:
                found = await until(room, lambda known: {"bad:press", "refused:plant/press"} <= known.keys())
                assert found["bad:press"].cause == "absent: BadNodeIdInvalid"
                assert found["bad:press"].severity is Severity.WARNING
                assert "refuses values of press" in found["refused:plant/press"].sentence
                assert found["refused:plant/press"].cause.startswith("Not authorized")
                assert next(iter(found)) == "refused:plant/press", "the worst first"

                broker.stop()
                found = await until(room, lambda known: "sink:plant" in known)
                assert found["sink:plant"].severity is Severity.NOTICE, "a broker that is away isn't red"
                assert found["sink:plant"].sentence.startswith("Buffering: ")
                assert f"127.0.0.1:{broker.port} isn't connected" in found["sink:plant"].cause

                slave.always(raw_modbus.mute)
                found = await until(room, lambda known: known.keys() & {"device:press", "link:line1"})
                await slave.stop()
                found = await until(
                    room, lambda known: "link:line1" in known and "refused" in known["link:line1"].cause
                )
                assert found["link:line1"].sentence == "nothing comes from press: the link line1 is down"
                assert "check the port" in found["link:line1"].mend

                file.write_text(file.read_text().replace("interval_ms = 20", "interval_ms = 30"))
                await until(room, lambda known: "config:differs" in known)
                file.write_text(file.read_text().replace('address = "hr:10"', 'address = "hr:x"'))
                found = await until(room, lambda known: "config:invalid" in known)
                assert f"{file}:" in found["config:invalid"].cause


@pytest.mark.integration
async def test_all_is_well_is_an_empty_list(tmp_path: Path, slave: RawSlave) -> None:
    slave.holes = set()
    with Mosquitto(tmp_path) as broker:
        file = tmp_path / "tidegate.toml"
        file.write_text(CONFIGURATION.format(directory=tmp_path, broker=broker.port, port=slave.port))
        async with Runtime(load(file)) as runtime:
            with Diagnostics(runtime, file) as room:
                async with asyncio.timeout(15):
                    delivered = 0
                    while await room.repairs() or not delivered:
                        await asyncio.sleep(0.02)
                        delivered = runtime.status()["sinks"]["plant"]["values"]


@pytest.fixture
async def well(tmp_path: Path, slave: RawSlave) -> Any:
    """The status of a gateway that has just begun, to be changed."""
    file = tmp_path / "tidegate.toml"
    file.write_text(CONFIGURATION.format(directory=tmp_path, broker=free_port(), port=slave.port))
    async with Runtime(load(file)) as runtime:
        status: Any = copy.deepcopy(runtime.status())
    status["sinks"]["plant"]["connected"] = True
    return status


def of(status: Any, **more: Any) -> dict[str, Repair]:
    return {repair.id: repair for repair in repairs(Known(status, NOW_S, **more))}


def test_a_fresh_gateway_needs_nothing(well: Any) -> None:
    assert of(well) == {}


def test_a_backlog_that_is_nearly_full_is_red(well: Any) -> None:
    well["sinks"]["plant"]["connected"] = False
    calm = Forecast(Phase.BUFFERING, "Buffering: 1 h held, full in 6 d", 1, 3600.0, 1.0, None, 518_400.0)
    near = Forecast(Phase.BUFFERING, "Buffering: 6 d held, full in 20 min", 1, 518_400.0, 1.0, None, 1200.0)
    assert of(well, forecasts={"plant": calm})["sink:plant"].severity is Severity.NOTICE
    assert of(well, forecasts={"plant": near})["sink:plant"].severity is Severity.ERROR


def test_what_was_lost_is_counted_with_its_reason(well: Any) -> None:
    dropped = [{"first": 3, "last": 12, "reason": "the journal was full"}]
    account = {"first": 1, "last": 20, "delivered": 10, "refused": 0, "pending": 0, "dropped": dropped}
    well["ledger"]["plant"]["sources"]["press"] = {"boots": {"1": account}}
    found = of(well)["lost:plant"]
    assert found.sentence == "10 values of press never reached plant"
    assert found.cause == "the journal was full"


def test_a_group_that_is_too_fast_for_its_device(well: Any) -> None:
    assert of(well, paces={("press", "fast"): (1000, 19)}) == {}
    found = of(well, paces={("press", "fast"): (100, 100)})
    assert "50 % of the reads were left out" in found["slow:press/fast"].sentence


def test_reads_left_out_while_a_device_was_away_dont_make_it_slow(well: Any) -> None:
    links, pace = well["southbound"]["links"], Pace()
    press = links["line1"]["devices"]["press"]
    counters = press["groups"]["fast"]

    def after(polls: int, missed: int, state: str = "normal") -> dict[str, Repair]:
        counters["polls"], counters["missed"] = polls, missed
        press["state"] = state
        pace.sample(links)
        press["state"] = "normal"
        return of(well, paces=pace.recent())

    assert after(100, 0) == {}
    assert after(110, 5_000, state="failure") == {}
    assert after(120, 6_000) == {}
    assert after(200, 6_000) == {}
    assert "slow:press/fast" in after(280, 6_080)
    assert after(5, 90) == {}, "started anew"
    for number in range(60):
        assert after(100 + number, 90) == {}


def test_clock_journal_change_and_update(well: Any) -> None:
    well["gateway"]["clock_trusted"] = False
    well["journal"]["alarms"]["disk"] = "the disk is full: make room"
    found = of(
        well,
        unconfirmed_s=42.0,
        update=Trial("0.2.0", "B", "waiting", "an update waits for a restart"),
        flaws=(Flaw("f:3", "bad", None),),
    )
    assert {"clock:untrusted", "journal:disk", "config:unconfirmed", "update:waiting", "config:invalid"} == found.keys()
    assert found["journal:disk"].mend == "make room"
    assert "in 42 s" in found["config:unconfirmed"].sentence
    assert found["update:waiting"].mend == "restart when it suits"


def test_what_the_image_knows_of_a_release_that_fell_back_outweighs_the_rule(well: Any) -> None:
    found = of(well, update=Trial("0.2.0", "B", "fallen", "0.2.0 didn't work", "look into /data/fallen.log"))
    assert found["update:fallen"].mend == "look into /data/fallen.log"


def test_certificates_that_end(well: Any, tmp_path: Path) -> None:
    day = 86_400
    ends = [
        ExpiringCertificate("a", "the certificate of sink plant", NOW_S + 3 * day),
        ExpiringCertificate("b", "the ca of sink plant", NOW_S - day),
        ExpiringCertificate("c", "another", NOW_S + 300 * day),
    ]
    found = of(well, certificates=ends, quarantined=[("opcua", "CN=plc")])
    assert found["certificate:a"].sentence == "the certificate of sink plant expires in 3 d"
    assert found["certificate:b"].severity is Severity.ERROR
    assert "certificate:c" not in found
    assert "'CN=plc'" in found["quarantined:opcua/CN=plc"].sentence


def test_certificates_are_found_where_the_configuration_names_them(tmp_path: Path, slave: RawSlave) -> None:
    authority = Authority(tmp_path / "ca")
    pair = authority.issue("gw1", days=5)
    text = CONFIGURATION.format(directory=tmp_path, broker=1, port=slave.port).replace(
        "[[link]]",
        f'[sink.tls]\nca = "{authority.certificate}"\ncertificate = "{pair.certificate}"\nkey = "{pair.key}"\n[[link]]',
    )
    file = tmp_path / "tidegate.toml"
    file.write_text(text)
    pair.key.chmod(0o600)
    found = {each.id: each for each in expiry.certificates(load(file))}
    assert found["sink:plant:certificate"].what == "the certificate of sink plant"
    assert 4 < (found["sink:plant:certificate"].not_after_s - time.time()) / 86_400 < 5.1
    assert "sink:plant:ca" in found
