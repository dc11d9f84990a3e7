"""One measured run: simulator, broker, subscriber, and between them the gateway or the floor."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.processes import BenchError, Broker, Child, Helper, Usage
from bench.workloads import Workload, configuration

GATEWAY, FLOOR = "gateway", "floor"
START_S = 20.0
"""How long the first value may take before the run is given up."""
_STEP_S = 0.01


class Rig:
    """The field, the broker and the subscriber of one run. The broker is new, so nothing retained is left in it."""

    def __init__(self, stack: ExitStack, workload: Workload, directory: Path, *, proxied: bool) -> None:
        self.workload = workload
        self.directory = directory
        size = ["--devices", str(workload.devices), "--registers", str(workload.registers)]
        self.simulator = stack.enter_context(_helper("simulator", size, directory))
        self.broker = stack.enter_context(Broker(directory))
        self.sink = stack.enter_context(_helper("sink", ["--port", str(self.broker.port)], directory))
        self.proxy: Helper | None = None
        self.broker_port = self.broker.port
        if proxied:
            self.proxy = stack.enter_context(_helper("proxy", ["--target", str(self.broker.port)], directory))
            self.broker_port = int(self.proxy.ready["port"])

    def start(self, subject: str) -> Child:
        workload = self.workload
        ports: list[int] = self.simulator.ready["ports"]
        if subject == GATEWAY:
            data = self.directory / "data"
            data.mkdir()
            path = self.directory / "tidegate.toml"
            path.write_text(configuration(workload, ports, self.broker_port, data))
            arguments = ["-m", "gateway", "run", "--config", str(path)]
        else:
            arguments = ["-m", "bench.floor", "--ports", ",".join(map(str, ports)), "--broker", str(self.broker_port)]
            arguments += ["--registers", str(workload.registers), "--interval-ms", str(workload.interval_ms)]
            arguments += ["--granularity", workload.granularity]
        return Child([sys.executable, *arguments], self.directory / f"{subject}.log", talks=False)

    def first_value_us(self, subject: Child) -> int:
        """Wait for the first value at the subscriber; returns its time of arrival."""
        until = time.monotonic() + START_S
        while (first := self.sink.ask("counts")["first_us"]) is None:
            subject.check()
            if time.monotonic() > until:
                raise BenchError(f"no value arrived {START_S:g} s after {subject.name} started; see {subject.log}")
            time.sleep(_STEP_S)
        return int(first)


def _helper(module: str, options: list[str], directory: Path) -> Helper:
    return Helper(module, options, directory / f"{module}.log")


@contextmanager
def rig(workload: Workload, directory: Path, *, proxied: bool = False) -> Iterator[Rig]:
    """A fresh rig in a fresh `directory`; everything in it has ended when the block is left."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    with ExitStack() as stack:
        yield Rig(stack, workload, directory, proxied=proxied)


@dataclass(frozen=True, slots=True)
class Steady:
    """One subject under one workload with the broker up. Times in seconds, ages in ms; None where nothing came."""

    subject: str
    workload: str
    window_s: float
    values: int
    """Values the subscriber received in the window."""
    values_per_s: float
    delivered: float
    """Values received of the polls due in the window, by the grid. 1 where polls are continuous and none is missing."""
    cpu_s_per_mvalue: float
    age_p50_ms: float | None
    age_p99_ms: float | None
    age_max_ms: float | None
    late_p99_ms: float | None
    """A poll's lateness against its own grid."""
    pss_mb: float
    rss_mb: float
    first_value_s: float
    written_per_value: float
    missing: int
    duplicates: int
    disordered: int
    bad_values: int
    stop_s: float
    requests_per_s: float
    simulator_cpu: float
    """Shares of one core: how far the bench's own parts are from being the bottleneck."""
    broker_cpu: float
    sink_cpu: float
    subject_cpu: float


def _ms(value_us: int | None) -> float | None:
    return None if value_us is None else value_us / 1000


def steady(subject: str, workload: Workload, directory: Path, *, warm_s: float, window_s: float) -> Steady:
    """Run `subject`, let it warm up, and measure a window of whole poll intervals."""
    with rig(workload, directory) as place, place.start(subject) as child:
        first_us = place.first_value_us(child)
        time.sleep(warm_s)
        before = _snapshot(place, child)
        time.sleep(window_s)
        after = _snapshot(place, child)
        memory = child.memory()
        # A window of the grid needs the interval after it, and what is under way needs to arrive.
        time.sleep(max(0.3, 1.5 * workload.interval_ms / 1000))
        window = place.sink.ask("window", start=before.now_us, end=after.now_us, interval=workload.interval_us)
        totals = place.sink.ask("counts")
        child.check()
        stop_s = child.stop()
    elapsed = (after.now_us - before.now_us) / 1e6
    values = after.values - before.values
    if not values:
        raise BenchError(f"{subject} delivered nothing in the {window_s:g} s measured of {workload.name}")
    if workload.interval_ms:
        due = int(elapsed * 1e6) // workload.interval_us * workload.devices * workload.values
        delivered = (window["polls"] * workload.values - totals["missing"]) / due
    else:
        delivered = 1 - totals["missing"] / totals["published"]
    cpu_s = after.subject.cpu_s - before.subject.cpu_s
    return Steady(
        subject=subject,
        workload=workload.name,
        window_s=elapsed,
        values=values,
        values_per_s=values / elapsed,
        delivered=delivered,
        cpu_s_per_mvalue=cpu_s / values * 1e6,
        age_p50_ms=_ms(window["age_p50_us"]),
        age_p99_ms=_ms(window["age_p99_us"]),
        age_max_ms=_ms(window["age_max_us"]),
        late_p99_ms=_ms(window["late_p99_us"]),
        pss_mb=memory.pss_mb,
        rss_mb=memory.rss_mb,
        first_value_s=(first_us - child.spawned_us) / 1e6,
        written_per_value=(after.subject.written - before.subject.written) / values,
        missing=totals["missing"],
        duplicates=totals["duplicates"],
        disordered=totals["disordered"],
        bad_values=totals["bad_values"],
        stop_s=stop_s,
        requests_per_s=(after.requests - before.requests) / elapsed,
        simulator_cpu=(after.simulator.cpu_s - before.simulator.cpu_s) / elapsed,
        broker_cpu=(after.broker.cpu_s - before.broker.cpu_s) / elapsed,
        sink_cpu=(after.sink.cpu_s - before.sink.cpu_s) / elapsed,
        subject_cpu=cpu_s / elapsed,
    )


@dataclass(frozen=True, slots=True)
class _Snapshot:
    now_us: int
    values: int
    requests: int
    polls: int
    subject: Usage
    simulator: Usage
    broker: Usage
    sink: Usage


def _snapshot(place: Rig, child: Child) -> _Snapshot:
    child.check()
    field: dict[str, Any] = place.simulator.ask("counts")
    counts = place.sink.ask("counts")
    return _Snapshot(
        now_us=counts["now_us"],
        values=counts["values"],
        requests=field["requests"],
        polls=field["polls"],
        subject=child.usage(),
        simulator=place.simulator.usage(),
        broker=place.broker.usage(),
        sink=place.sink.usage(),
    )


@dataclass(frozen=True, slots=True)
class Outage:
    """The gateway through a broker outage."""

    workload: str
    down_s: float
    lost: int
    """Values due by the sequence numbers that never came, and values of polls that were never made."""
    missing: int
    missed_polls: int
    duplicates: int
    disordered: int
    drain_s: float
    """From the broker reachable again to the last value read before that, or sent as backfill, received."""
    live_after_s: float
    """From the broker reachable again to the first live value received."""
    live_lag_s: float
    """Worst age at arrival of values sent as live since the broker was reachable again."""
    late_p99_ms: float | None
    late_max_ms: float | None
    written_per_value_down: float
    written_per_value_whole: float
    """The same from the cut to the end of the drain."""
    backlog_values: int
    pss_mb: float
    """Once the backlog was delivered."""


def outage(workload: Workload, directory: Path, *, warm_s: float, down_s: float, drain_limit_s: float) -> Outage:
    """Cut the gateway from its broker for `down_s` while the subscriber stays connected, and watch it catch up."""
    settle_s = min(2.0, down_s / 3)
    with rig(workload, directory, proxied=True) as place, place.start(GATEWAY) as child:
        assert place.proxy is not None, "an outage run is proxied"
        place.first_value_us(child)
        time.sleep(warm_s)
        start = _snapshot(place, child)
        place.proxy.ask("cut")
        time.sleep(settle_s)
        begin = _snapshot(place, child)
        time.sleep(down_s - settle_s)
        end = _snapshot(place, child)
        opened_us: int = place.sink.ask("opened")["now_us"]
        place.proxy.ask("open")
        counts = _await_drained(place, child, opened_us, drain_limit_s)
        final = _snapshot(place, child)
        pss_mb = child.memory().pss_mb
        window = place.sink.ask("window", start=start.now_us, end=opened_us, interval=workload.interval_us)
    due = (opened_us - start.now_us) // workload.interval_us * workload.devices
    missed = max(0, due - window["polls"]) if not counts["missing"] else 0
    down_values = (end.polls - begin.polls) * workload.values
    whole_values = (final.polls - start.polls) * workload.values
    return Outage(
        workload=workload.name,
        down_s=(opened_us - start.now_us) / 1e6,
        lost=counts["missing"] + missed * workload.values,
        missing=counts["missing"],
        missed_polls=missed,
        duplicates=counts["duplicates"],
        disordered=counts["disordered"],
        drain_s=(counts["backlog_us"] - opened_us) / 1e6,
        live_after_s=(counts["live_us"] - opened_us) / 1e6,
        live_lag_s=counts["live_lag_us"] / 1e6,
        late_p99_ms=_ms(window["late_p99_us"]),
        late_max_ms=_ms(window["late_max_us"]),
        written_per_value_down=(end.subject.written - begin.subject.written) / max(1, down_values),
        written_per_value_whole=(final.subject.written - start.subject.written) / max(1, whole_values),
        backlog_values=(end.polls - start.polls) * workload.values,
        pss_mb=pss_mb,
    )


def _await_drained(place: Rig, child: Child, opened_us: int, limit_s: float) -> dict[str, Any]:
    """Wait until no number is missing, every source is live again and no backfill has come for a while."""
    quiet_us = 1_500_000
    until = time.monotonic() + limit_s
    while True:
        child.check()
        counts = place.sink.ask("counts")
        drained = (
            counts["backlog_us"] is not None
            and counts["live_us"] is not None
            and counts["missing"] == 0
            and counts["newest_us"] > opened_us
            and counts["now_us"] - counts["backlog_us"] > quiet_us
        )
        if drained:
            return counts
        if time.monotonic() > until:
            if counts["backlog_us"] is None or counts["live_us"] is None:
                raise BenchError(f"nothing came within {limit_s:g} s of the broker's return; see {child.log}")
            return counts
        time.sleep(0.1)
