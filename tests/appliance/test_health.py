"""What is confirmed, what is given up, and what is told of it: the health check, the real RAUC and a real gateway."""

from __future__ import annotations

import asyncio
import functools
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tidegate_appliance.fallen import record
from tidegate_appliance.health import WITHIN_S, Health, missing, seconds
from tidegate_appliance.kept import Kept, write_kept
from tidegate_appliance.trial import Start, TrialFile

from gateway.control.client import NotRunning
from tests.appliance.box import WELL, Box, Restart, a_root, started
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto


def a_status(*, sink: bool = True, device: str = "normal", alarms: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {
        "journal": {"alarms": alarms or {}},
        "sinks": {"plant": {"connected": sink}},
        "southbound": {"links": {"link0": {"devices": {"dev0": {"state": device}, "dev1": {"state": "failure"}}}}},
    }


@pytest.mark.parametrize(
    ("status", "before", "says"),
    [
        (a_status(), WELL, ""),
        (a_status(sink=False), WELL, "no broker is connected of those that were: plant"),
        (a_status(device="failure"), WELL, "no device answers of those that did: dev0"),
        (a_status(device="failure"), {"device dev0", "device dev1"}, "no device answers of those that did: dev0, dev1"),
        (a_status(), {"device dev0", "device dev1"}, ""),
        (a_status(sink=False, device="failure"), set(), ""),
        (a_status(device="failure"), {"device gone"}, ""),
        (a_status(alarms={"disk": "the journal can't be written: full"}), set(), "the journal can't be written: full"),
        (a_status(alarms={"refused:plant": "some"}), WELL, ""),
    ],
)
def test_what_is_missing(status: dict[str, Any], before: set[str], says: str) -> None:
    assert missing(status, before) == says


async def away() -> Mapping[str, Any]:
    raise NotRunning("no gateway runs")


async def well() -> Mapping[str, Any]:
    return a_status()


async def full() -> Mapping[str, Any]:
    return a_status(alarms={"disk": "the journal can't be written: full"})


def unreadable(path: Path) -> None:
    """Nobody can read it, whoever looks: tests run as root."""
    path.unlink()
    path.mkdir()


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[tuple[GatewayProcess, Mosquitto]]:
    """One that collects from a device and delivers to a broker."""
    with Field() as field, Mosquitto(tmp_path / "broker") as broker:
        text = configuration(tmp_path / "data", [field.slaves[0].port], broker.port)
        with GatewayProcess(tmp_path, text) as process:
            yield process, broker


@pytest.mark.integration
async def test_a_release_on_trial_that_works_is_kept(
    box: Box, restarted: Restart, gateway: tuple[GatewayProcess, Mosquitto]
) -> None:
    await box.install(box.rauc.bundle("0.2.0"))
    slots = await restarted(box, "B")
    (box.rauc.boot / "state-B").write_text("bad")  # as the boot loader's last attempt would leave it
    client = gateway[0].client
    health = Health(box.places, lambda: asyncio.to_thread(client.status), away, within_s=60, pause_s=0.05)
    assert await health.check()
    assert (box.rauc.said("state-B"), box.rauc.said("primary")) == ("good", "B")
    assert await slots.trial() is None
    assert (await slots.slots())[1].good


@pytest.mark.integration
async def test_a_release_on_trial_that_brings_no_broker_back_is_given_up(
    box: Box, restarted: Restart, gateway: tuple[GatewayProcess, Mosquitto], caplog: pytest.LogCaptureFixture
) -> None:
    await box.install(box.rauc.bundle("0.2.0"))
    await restarted(box, "B")
    process, broker = gateway
    broker.stop()
    await process.until(lambda body: not body["sinks"]["plant"]["connected"], "the broker is away")
    status, logs = process.client.status, functools.partial(process.client.get, "/v1/logs", limit=2000)
    health = Health(
        box.places,
        lambda: asyncio.to_thread(status),
        lambda: asyncio.to_thread(logs),
        within_s=0.2,
        pause_s=0.05,
    )
    assert not await health.check()
    why = "no broker is connected of those that were: plant"
    assert f"0.1.1 is on trial and didn't work: {why}; the machine restarts" in caplog.text
    slots = await restarted(box, "A")  # the boot loader's attempts are used up
    again = Health(box.places, lambda: asyncio.to_thread(status), away, within_s=0.2, pause_s=0.05)
    assert await again.check()
    trial = await slots.trial()
    assert trial is not None
    assert (trial.state, trial.sentence) == ("fallen", f"0.2.0 didn't work: {why}; 0.1.1 runs again")
    assert trial.sentence in caplog.text
    assert box.rauc.said("state-B") == "bad", "it isn't what comes first once both slots run out of attempts"
    left = box.places.fallen_log.read_text()
    assert f"0.1.1 is on trial and didn't work: {why}\n\n" in left
    assert "gateway.northbound" in left, "what the gateway said of it"
    assert trial.mend == f"look into {box.places.fallen_log}; keep what runs, or install another release"
    await slots.mark_good()
    assert await slots.trial() is None


@pytest.mark.integration
async def test_a_release_that_has_proved_itself_is_waited_for_and_never_given_up(
    box: Box, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    asked = 0

    async def late() -> Mapping[str, Any]:
        nonlocal asked
        asked += 1
        return a_status(sink=False, device="failure", alarms={"disk": "full"}) if asked > 5 else await away()

    (box.rauc.boot / "state-A").write_text("bad")
    assert await Health(box.places, late, away, within_s=0, pause_s=0.01).check()
    assert box.rauc.said("state-A") == "good"
    assert caplog.text.count("the gateway doesn't answer") == 1, "said once"


@pytest.mark.integration
async def test_an_installation_that_was_cut_off_is_no_failure(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    trial = TrialFile(box.places.trial)
    trial.begin("0.2.0", "B", "0.1.1", WELL, Start("A", "before the cut"))

    assert await Health(box.places, well, away).check()
    assert "the installation of 0.2.0 was cut off; 0.1.1 runs as before" in caplog.text
    assert await box.slots.trial() is None
    left = trial.read()
    assert left is not None
    assert left.phase(Start("B", "whatever led to it")) == "running", "it may have been written wholly, unproved"


@pytest.mark.integration
async def test_a_release_that_fell_back_and_runs_again_is_on_trial_again(
    box: Box, restarted: Restart, caplog: pytest.LogCaptureFixture
) -> None:
    """The starts of the other one were cut until its attempts were used up, too."""
    await box.install(box.rauc.bundle("0.2.0"))
    box.places.rauc_conf.write_text("[system]\nmin-bundle-version=0.2.0\n")
    trial = TrialFile(box.places.trial)
    attempt = trial.read()
    assert attempt is not None
    trial.change(attempt, state="fallen", failure="the gateway doesn't answer")
    slots = await restarted(box, "B")
    told = await slots.trial()
    assert told is not None
    assert told.state == "running"
    assert not await Health(box.places, full, away, within_s=0, pause_s=0).check()
    assert "is on trial and didn't work: the journal can't be written: full" in caplog.text
    assert not box.places.floor.exists(), "it was never kept"
    assert await Health(box.places, well, away, within_s=0, pause_s=0).check()
    assert await slots.trial() is None
    assert box.places.floor.read_text() == "0.2.0\n"


@pytest.mark.integration
async def test_a_kept_release_that_gave_way_is_told_of_until_somebody_decides(box: Box, restarted: Restart) -> None:
    await box.install(box.rauc.bundle("0.2.0"))
    box.places.release.write_text("VERSION=0.2.0\n")
    await restarted(box, "B")
    assert await Health(box.places, well, away).check()
    box.places.release.write_text("VERSION=0.1.1\n")
    slots = await restarted(box, "A")  # three starts of B were cut
    assert await Health(box.places, away_once(), away, within_s=0, pause_s=0).check(), "the older one is no trial"
    told = await slots.trial()
    assert told is not None
    assert (told.version, told.slot, told.state, told.sentence) == (
        "0.2.0", "B", "fallen",
        "0.2.0 had proved itself, but its latest starts were cut off or failed; 0.1.1 runs again",
    )  # fmt: skip
    assert told.mend.startswith("go back to it (tidegate update rollback")
    await slots.roll_back()
    assert box.rauc.said("primary") == "B"
    await slots.mark_good()
    assert await slots.trial() is None
    assert box.rauc.said("primary") == "A"


def away_once() -> Callable[[], Awaitable[Mapping[str, Any]]]:
    answers = iter((away, well))
    return lambda: next(answers)()


@pytest.mark.parametrize(("kept", "on_trial"), [(None, True), ("A", True), ("B", False)])
async def test_a_trial_that_cant_be_read_counts_unless_what_runs_was_kept(
    tmp_path: Path, kept: str | None, on_trial: bool
) -> None:
    places = a_root(tmp_path, "0.2.0")
    TrialFile(places.trial).begin("0.2.0", "B", "0.1.1", WELL, Start("A", "the first"))
    unreadable(places.trial)
    if kept is not None:
        write_kept(places.kept, Kept("0.1.1", kept, "the first"))
    started(places, "B")
    health = Health(places, away, away, within_s=0, pause_s=0.01)
    if on_trial:
        assert not await health.check()
        return
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(health.check(), 0.2)  # it is waited for
    assert not health.on_trial


async def test_a_restart_comes_though_the_log_cant_be_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    places = a_root(tmp_path, "0.2.0")
    TrialFile(places.trial).begin("0.2.0", "B", "0.1.1", WELL, Start("A", "the first"))
    started(places, "B")
    assert not await Health(places, away, away, within_s=0, pause_s=0).check()
    assert places.fallen_log.read_text().endswith("Its log can't be had: no gateway runs\n\n")
    places.fallen_log.unlink()
    places.fallen_log.mkdir()
    assert not await Health(places, away, away, within_s=0, pause_s=0).check()
    assert "the log of this start can't be kept" in caplog.text


def test_what_is_left_of_a_log_is_its_end_in_lines() -> None:
    entry = {"timestamp_ms": 1_700_000_000_000, "level": "error", "logger": "gateway.x", "traceback": None}
    found = record("it failed", [{**entry, "message": "lost\n\x1b[2J", "traceback": "Traceback:\n  boom"}]).decode()
    assert found.splitlines() == [
        "it failed",
        "",
        "2023-11-14T22:13:20Z error   gateway.x: lost",
        "    \N{REPLACEMENT CHARACTER}[2J",
        "    Traceback:",
        "      boom",
    ]
    long = record("it failed", [{**entry, "message": f"number {number} " + "x" * 990} for number in range(500)])
    assert 195_000 < len(long) <= 200_100
    assert long.splitlines()[2].startswith(b"2023-11-14")
    assert b"number 499 " in long.splitlines()[-1]


@pytest.mark.parametrize("text", ["", "5m", "nan", "inf", "0", "-9", "-x"])
def test_a_time_that_is_none_is_said_and_doesnt_count(caplog: pytest.LogCaptureFixture, text: str) -> None:
    assert seconds(text) == WITHIN_S
    assert f"WITHIN in /etc/tidegate/health.env is {text!r}" in caplog.text
    assert "such as WITHIN=900" in caplog.text


async def test_a_release_whose_installation_nobody_saw_the_end_of_is_on_trial_all_the_same(tmp_path: Path) -> None:
    places = a_root(tmp_path, "0.2.0")
    TrialFile(places.trial).begin("0.2.0", "B", "0.1.1", WELL, Start("A", "the first"))
    started(places, "B")
    assert not await Health(places, away, away, within_s=0, pause_s=0).check()
    started(places, "A", "after it was given up")
    left = TrialFile(places.trial).read()
    assert left is not None
    assert left.phase(Start("A", "after it was given up")) == "fallen"


@pytest.mark.parametrize(("slot", "within", "code"), [("B", "0.1", 1), ("A", "0.1", None), ("A", "-x", None)])
async def test_the_program_ends_with_an_error_on_trial_alone(
    tmp_path: Path, slot: str, within: str, code: int | None
) -> None:
    """An error restarts the machine. Here neither a gateway nor a bus is there."""
    places = a_root(tmp_path, "0.2.0")
    TrialFile(places.trial).begin("0.2.0", "B", "0.1.1", WELL, Start("A", "the first"))
    started(places, slot)
    command = [
        sys.executable, "-m", "tidegate_appliance.health", f"--within={within}", "--root", str(tmp_path),
        "--socket", str(tmp_path / "none.sock"),
    ]  # fmt: skip
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    if code is None:
        if within == "-x":
            assert b"WITHIN" in await process.stdout.readline()
        assert b"was cut off" in await process.stdout.readline()
        assert b"waiting: the gateway doesn't answer" in await process.stdout.readline()
        process.terminate()  # it would wait for ever
        await process.communicate()
        return
    said, _ = await process.communicate()
    assert process.returncode == code
    assert said.decode().splitlines()[-1].startswith("0.2.0 is on trial and didn't work: the gateway doesn't answer")
    left = TrialFile(places.trial).read()
    assert left is not None
    assert left.failure.startswith("the gateway doesn't answer")
