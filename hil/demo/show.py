"""The demo's cast: broker, plant, gateway and subscriber, started and stopped in order, and what is known of them."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from gateway.control.client import ControlClient, NotPermitted, NotRunning
from hil.demo.board import Board, Latency
from hil.demo.broker import HOST, Broker
from hil.demo.child import Child
from hil.demo.page import LocalPage
from hil.ledger_check import Checker, Subscriber, Verdict
from hil.ledger_check.subscriber import Broker as Address
from hil.plant.config import ENTERPRISE, SINK, SITE, gateway_config

OUTAGE_S = 20.0
LEDGER_S = 1.0
WINDOW = 100
"""The gateway's default window."""
_HISTORY = 240
_STATUS_TIMEOUT_S = 1.0
_CATCH_UP_S = 15.0
_GOODBYE_S = 3.0
_SUBSCRIBE_S = 5.0


@dataclass(slots=True)
class Outage:
    """One stop of the broker. Times are CLOCK_MONOTONIC seconds."""

    began: float
    ends: float
    """When the broker comes back."""
    back: float | None = None
    caught_up: float | None = None
    backfilled_before: int = 0
    most_held: int = 0
    backfilled: int = 0


@dataclass(slots=True)
class Figures:
    """What changes from tick to tick. Rates are values per second."""

    rate_in: float = 0.0
    rate_out: float = 0.0
    held: int = 0
    """Values in the journal that no broker has acknowledged."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    connected: bool = False
    boot: int | None = None
    status: dict[str, Any] | None = None
    rates: deque[float] = field(default_factory=lambda: deque(maxlen=_HISTORY))
    depths: deque[int] = field(default_factory=lambda: deque(maxlen=_HISTORY))


class Show:
    """``with Show(...) as show`` starts everything; call `tick` a few times a second, then `finish`."""

    def __init__(self, granularity: str = "tag", seed: int = 1) -> None:
        self._granularity = granularity
        self._seed = seed
        self.board = Board((ENTERPRISE, SITE))
        self.figures = Figures()
        self.outages: list[Outage] = []
        self.checker = Checker(window=WINDOW, from_start=True)
        self.verdict: Verdict | None = None
        self.started = time.monotonic()
        self._counted = (0, 0)

    def __enter__(self) -> Show:
        """Raises ChildFailed, BrokerMissing or OSError; nothing is left running then."""
        with ExitStack() as stack:
            directory = Path(tempfile.mkdtemp(prefix="tidegate-demo-"))
            stack.callback(shutil.rmtree, directory, ignore_errors=True)
            python = [sys.executable, "-m"]
            plant = [*python, "hil.plant", "--json", "--seed", str(self._seed)]
            self._plant = Child("plant", plant, directory / "plant.log", pipe=True)
            stack.callback(self._plant.stop)
            self._broker = Broker(directory)
            stack.callback(self._broker.stop)
            self._broker.start()
            address = Address(HOST, self._broker.port)
            self._subscriber = stack.enter_context(
                Subscriber(address, self.checker, session="tidegate-demo-view", watch=self.board.take)
            )
            self._subscriber.ready.wait(_SUBSCRIBE_S)
            config, data = directory / "tidegate.toml", directory / "data"
            where = json.loads(self._plant.read_line())
            config.write_text(
                gateway_config(
                    where["ports"],
                    where["paths"],
                    broker_port=self._broker.port,
                    data_dir=data,
                    granularity=self._granularity,
                    ledger_interval_s=LEDGER_S,
                )
            )
            command = [*python, "gateway", "run", "--config", str(config)]
            self._gateway = Child("gateway", command, directory / "gateway.log")
            stack.callback(self._gateway.stop)
            self._control = ControlClient(data / "control.sock", _STATUS_TIMEOUT_S)
            self.page = LocalPage(directory, data)
            stack.callback(self.page.stop)
            self._ticked = time.monotonic()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self.started

    @property
    def broker_address(self) -> str:
        return f"{HOST}:{self._broker.port}"

    @property
    def broker_running(self) -> bool:
        return self._broker.running

    @property
    def outage(self) -> Outage | None:
        """The present outage, until everything it held back has arrived."""
        return self.outages[-1] if self.outages and self.outages[-1].caught_up is None else None

    def stop_broker(self, seconds: float = OUTAGE_S) -> None:
        """Stop the broker; `tick` brings it back after `seconds`. Nothing happens during an outage."""
        if self.outage is None:
            self.board.measuring = False
            self._broker.stop()
            now = time.monotonic()
            self.outages.append(Outage(now, now + seconds, backfilled_before=self.board.totals.backfilled))

    def tick(self) -> None:
        """Look at everything once. Raises ChildFailed if a part of the show ended by itself."""
        for part in (self._broker, self._plant, self._gateway, self.page):
            part.check()
        self.page.look()
        self._read_status()
        self._measure()
        self._follow_outage()

    def _read_status(self) -> None:
        try:
            self.figures.status = self._control.status()
        except (NotRunning, NotPermitted):
            self.figures.status = None  # not up yet, or busy ending: the rest of the screen doesn't depend on it

    def _measure(self) -> None:
        figures, totals = self.figures, self.board.totals
        now = time.monotonic()
        elapsed, self._ticked = now - self._ticked, now
        status = figures.status or {}
        total = status.get("southbound", {}).get("totals", {})
        came = total["good"] + total["bad"] if total else self._counted[0]
        went = totals.values
        if elapsed > 0.0:
            figures.rate_in += 0.4 * (max(0, came - self._counted[0]) / elapsed - figures.rate_in)
            figures.rate_out += 0.4 * ((went - self._counted[1]) / elapsed - figures.rate_out)
        self._counted = (came, went)
        figures.held = _pending(status.get("ledger", {}).get(SINK, {}))
        figures.connected = bool(status.get("sinks", {}).get(SINK, {}).get("connected", False))
        figures.boot = status.get("gateway", {}).get("boot")
        recent = totals.recent
        if recent.count >= 100 or (recent.count and figures.p50_ms is None):
            figures.p50_ms, figures.p99_ms = recent.percentile(0.5), recent.percentile(0.99)
            totals.recent = Latency()
        figures.rates.append(figures.rate_out)
        figures.depths.append(figures.held)

    def _follow_outage(self) -> None:
        outage = self.outage
        if outage is None:
            return
        now = time.monotonic()
        outage.most_held = max(outage.most_held, self.figures.held)
        if outage.back is None:
            if now >= outage.ends:
                self._broker.start()
                outage.back = time.monotonic()
            return
        outage.backfilled = self.board.totals.backfilled - outage.backfilled_before
        if self._subscriber.ready.is_set() and self.figures.connected and outage.backfilled and self._settled():
            outage.caught_up = now
            self.board.measuring = True

    def _settled(self) -> bool:
        with self._subscriber.lock:
            return self.checker.settled

    def proof(self) -> Verdict:
        """What the ledger checker says at the moment."""
        with self._subscriber.lock:
            return self.checker.verdict()

    def finish(self, give_up: threading.Event, refresh: Callable[[], None] = lambda: None) -> Verdict:
        """Let everything arrive, end the gateway in order, look at the retained messages too, and give the verdict.

        `refresh` is called now and then meanwhile; setting `give_up` ends the waiting.
        """
        outage = self.outage
        if outage is not None and outage.back is None:
            outage.ends = time.monotonic()

        def caught_up() -> bool:
            self.tick()
            refresh()
            return self.outage is None and self._settled()

        _until(caught_up, _CATCH_UP_S, give_up)
        self._gateway.stop()
        _until(lambda: self.board.offline, _GOODBYE_S, give_up)
        self._subscriber.audit_retained()
        _until(self._settled, _GOODBYE_S, give_up)
        self.verdict = self.proof()
        return self.verdict


def _until(done: Callable[[], bool], timeout_s: float, give_up: threading.Event) -> None:
    end = time.monotonic() + timeout_s
    while time.monotonic() < end and not done() and not give_up.wait(0.1):
        pass


def _pending(ledger: dict[str, Any]) -> int:
    return sum(
        boot.get("pending", 0)
        for source in ledger.get("sources", {}).values()
        for boot in source.get("boots", {}).values()
    )
