"""What the service manager is told, over real sockets."""

from __future__ import annotations

import os
import threading
import uuid
from pathlib import Path

import pytest

from gateway.ops import service
from gateway.ops.service import ServiceManager
from tests.support.service_manager import Manager


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Manager:
    return Manager(tmp_path / "notify" if request.param == "path" else f"@tidegate-test-{uuid.uuid4().hex}")


def test_the_protocol_of_a_life(manager: Manager) -> None:
    with manager:
        ours = ServiceManager(manager.address)
        ours.status("opening the journal")
        ours.ready("collects")
        ours.status("collects")
        ours.alive()
        ours.stopping("stopping")
        ours.close()
        said = [manager.next() for _ in range(4)]
        assert said == [
            {"STATUS": "opening the journal"},
            {"READY": "1", "STATUS": "collects"},
            {"WATCHDOG": "1"},
            {"STOPPING": "1", "STATUS": "stopping"},
        ]
        assert manager.next(0.0) is None


def test_a_status_can_not_pass_for_another_message(manager: Manager) -> None:
    with manager:
        ours = ServiceManager(manager.address)
        ours.status("device a\nMAINPID=1")
        ours.close()
        assert manager.next() == {"STATUS": "device a\\nMAINPID=1"}


def test_what_takes_long_is_asked_time_for_and_no_more_afterwards(
    manager: Manager, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "_ASK_EVERY_S", 0.01)
    with manager:
        ours = ServiceManager(manager.address)
        with ours.patient():
            for _ in range(3):
                assert manager.next() == {"EXTEND_TIMEOUT_USEC": "60000000"}
        manager.drain()
        assert threading.active_count() == 1 or all(each.name != "service manager" for each in threading.enumerate())
        assert manager.next(0.1) is None
        ours.close()


def test_what_hangs_is_asked_no_time_for(manager: Manager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "_ASK_EVERY_S", 0.01)
    monkeypatch.setattr(service, "LONGEST_EXTENSION_S", 0.05)
    with manager:
        ours = ServiceManager(manager.address)
        with ours.patient():
            manager.until("EXTEND_TIMEOUT_USEC")
            ended = [each for each in threading.enumerate() if each.name == "service manager"]
            for each in ended:
                each.join(5)
                assert not each.is_alive()
        ours.close()


def test_what_the_environment_says_is_taken_out_of_it(manager: Manager) -> None:
    with manager:
        environment = {"NOTIFY_SOCKET": manager.address, "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}
        ours = ServiceManager.of(environment)
        assert environment == {}
        assert ours.watchdog_s == 30
        ours.alive()
        ours.close()
        assert manager.next() == {"WATCHDOG": "1"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
    ],
)
def test_no_watchdog(environment: dict[str, str]) -> None:
    assert ServiceManager.of(environment).watchdog_s is None


def test_without_a_manager_nothing_is_said_and_nothing_fails(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    nobody = ServiceManager(None)
    with nobody.patient():
        nobody.ready("collects")
    assert not caplog.records
    gone = ServiceManager(str(tmp_path / "gone"))
    gone.ready("collects")
    assert "the service manager can't be told anything" in caplog.text


def test_a_manager_that_goes_away_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with Manager(tmp_path / "notify") as manager:
        ours = ServiceManager(manager.address)
    for _ in range(3):
        ours.alive()
    ours.close()
    assert caplog.text.count("doesn't hear") == 1
