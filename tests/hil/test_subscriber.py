"""The ledger checker's command against a real broker."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from hil.ledger_check import Checker, Subscriber
from hil.ledger_check.__main__ import settle
from hil.ledger_check.subscriber import Broker
from tests.support.mosquitto import Mosquitto, find_mosquitto, free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto isn't installed"),
]

GATEWAY = "uns/v1/acme/plant1/gw1"
ASSET = "uns/v1/acme/plant1/filler1"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path, persistence=True, extra=("max_queued_messages 100000",)) as broker:
        yield broker


class Publisher:
    """An honest gateway with one source; `skip` makes it a dishonest one."""

    def __init__(self, broker: Mosquitto) -> None:
        self._client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
        self._client.connect(broker.host, broker.port)
        self._client.loop_start()
        self._last = 0

    def __enter__(self) -> Publisher:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def send(self, topic: str, body: Any, *, retain: bool = False) -> None:
        self._client.publish(topic, orjson.dumps(body), qos=1, retain=retain).wait_for_publish(10)

    def values(self, count: int, *, skip: int | None = None, retain: bool = True) -> None:
        for _ in range(count):
            self._last += 1
            if self._last != skip:
                body = {"timestamp_ms": 1, "value": 2.5, "quality": 0, "seq": self._last, "boot": 1}
                self.send(f"{ASSET}/level", body, retain=retain)

    def ledger(self) -> None:
        counts = {"first": 1, "last": self._last, "delivered": self._last, "refused": 0, "pending": 0, "dropped": []}
        self.send(
            f"{GATEWAY}/_ledger",
            {"boot": 1, "sources": {"filler1": {"topic": ASSET, "boots": {"1": counts}}}},
            retain=True,
        )


def start(broker: Mosquitto, *options: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "hil.ledger_check", "--port", str(broker.port), *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert process.stderr.readline().startswith("watching uns/v1/#")
    return process


@pytest.mark.parametrize(("skip", "code"), [(None, 0), (20, 1)])
def test_the_verdict_is_the_exit_code(broker: Mosquitto, skip: int | None, code: int) -> None:
    settle_s = 20 if skip is None else 2  # it ends as soon as nothing is missing
    with start(broker, "--from-start", "--json", "--settle", f"{settle_s}") as checker, Publisher(broker) as gateway:
        gateway.values(50, skip=skip)
        gateway.ledger()
        checker.terminate()
        output, errors = checker.communicate(timeout=20)
    verdict = json.loads(output)
    assert (checker.returncode, errors) == (code, ""), verdict
    assert verdict["values"] == 50 - code
    assert verdict["verdict"] == ("PASS", "FAIL")[code]
    if skip is not None:
        assert "filler1 boot 1: 1 value is missing: 20." in verdict["reasons"]


def test_retained_backfill_is_seen_at_the_end(broker: Mosquitto) -> None:
    with start(broker, "--settle", "1") as checker, Publisher(broker) as gateway:
        gateway.values(5)
        body = {"timestamp_ms": 1, "value": 2.5, "quality": 0, "seq": 2, "boot": 1, "hist": True}
        gateway.send(f"{ASSET}/level", body, retain=True)
        gateway.ledger()
        checker.terminate()
        output, _ = checker.communicate(timeout=20)
    assert checker.returncode == 1
    assert output.startswith("FAIL")
    assert "the broker retains a backfilled value" in output


def test_an_unreachable_broker_is_one_sentence() -> None:
    command = [sys.executable, "-m", "hil.ledger_check", "--port", str(free_port())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("ledger_check: no broker answers at 127.0.0.1:")
    assert done.stderr.count("\n") == 1


def test_a_session_misses_nothing_while_the_broker_restarts(broker: Mosquitto) -> None:
    checker = Checker(from_start=True)
    with Subscriber(Broker(broker.host, broker.port), checker, session="ledger-check-test") as subscriber:
        assert subscriber.ready.wait(10)
        with Publisher(broker) as gateway:
            gateway.values(20)
            broker.stop()
            broker.start()
        with Publisher(broker) as gateway:
            gateway._last = 20
            gateway.values(20)
            gateway.ledger()
            assert subscriber.ready.wait(10)
            assert subscriber.audit_retained()
            gateway.send(f"{GATEWAY}/_ledger", {"boot": 1, "sources": {}}, retain=True)
            settle(subscriber, checker, 10)
    verdict = checker.verdict()
    assert verdict.passed, verdict.reasons
    assert verdict.values == 40


def test_without_a_session_a_broken_connection_is_no_proof(broker: Mosquitto) -> None:
    checker = Checker()
    with Subscriber(Broker(broker.host, broker.port), checker) as subscriber:
        assert subscriber.ready.wait(10)
        broker.stop()
        broker.start()
        subscriber.ready.clear()
        assert subscriber.ready.wait(10)
    assert any("kept no session while this subscriber was away" in reason for reason in checker.verdict().reasons)
