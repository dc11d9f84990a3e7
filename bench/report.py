"""From runs to figures: what each figure is, which way is better, and what it has to reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from rich.console import Console
from rich.table import Table

from bench.runs import FLOOR, GATEWAY, Outage, Steady
from bench.subscribed import Subscribed


@dataclass(slots=True)
class Results:
    """Everything measured in one bench."""

    steady: list[Steady] = field(default_factory=list)
    outages: list[Outage] = field(default_factory=list)
    subscribed: list[Subscribed] = field(default_factory=list)

    def of(self, workload: str, subject: str) -> list[Steady]:
        return [run for run in self.steady if run.workload == workload and run.subject == subject]


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound: `value` is its limit, `best` the direction that is better."""

    value: float
    lower_is_better: bool
    least_ratio: float | None = None
    """A bound on value / floor, beside the one on the value."""

    def met(self, value: float, ratio: float | None) -> bool:
        if self.least_ratio is not None and (ratio is None or ratio < self.least_ratio):
            return False
        return value <= self.value if self.lower_is_better else value >= self.value

    def __str__(self) -> str:
        text = f"{'≤' if self.lower_is_better else '≥'} {self.value:g}"
        return text if self.least_ratio is None else f"{text}, ≥ {self.least_ratio:g} of floor"


@dataclass(frozen=True, slots=True)
class Figure:
    """One named result. `floor` and `ratio` (value / floor) are None where a floor has no meaning."""

    name: str
    value: float | None
    unit: str
    floor: float | None
    ratio: float | None


Pick = Callable[[Steady], float | None]
PickOutage = Callable[[Outage], float]


@dataclass(frozen=True, slots=True)
class _Steady:
    name: str
    unit: str
    goal: Goal
    workload: str
    pick: Pick
    has_floor: bool = True

    def figure(self, results: Results) -> Figure:
        value = self._median(results.of(self.workload, GATEWAY))
        floor = self._median(results.of(self.workload, FLOOR)) if self.has_floor else None
        ratio = value / floor if value is not None and floor else None
        return Figure(self.name, value, self.unit, floor, ratio)

    def _median(self, runs: Sequence[Steady]) -> float | None:
        values = [value for run in runs if (value := self.pick(run)) is not None]
        return median(values) if values else None


@dataclass(frozen=True, slots=True)
class _Outage:
    name: str
    unit: str
    goal: Goal
    pick: PickOutage

    def figure(self, results: Results) -> Figure:
        values = [self.pick(run) for run in results.outages]
        return Figure(self.name, median(values) if values else None, self.unit, None, None)


@dataclass(frozen=True, slots=True)
class _Subscribed:
    name: str
    unit: str
    goal: Goal
    pick: Callable[[Subscribed], float]

    def figure(self, results: Results) -> Figure:
        values = [self.pick(run) for run in results.subscribed]
        return Figure(self.name, median(values) if values else None, self.unit, None, None)


def _at_most(limit: float) -> Goal:
    return Goal(limit, lower_is_better=True)


def _at_least(limit: float, least_ratio: float | None = None) -> Goal:
    return Goal(limit, lower_is_better=False, least_ratio=least_ratio)


_FIGURES: tuple[_Steady | _Outage | _Subscribed, ...] = (
    _Steady("w2_cpu_s_per_mvalue", "s/M", _at_most(6), "w2", lambda run: run.cpu_s_per_mvalue),
    _Steady("w2_latency_p50_ms", "ms", _at_most(5), "w2", lambda run: run.age_p50_ms),
    _Steady("w2_latency_p99_ms", "ms", _at_most(25), "w2", lambda run: run.age_p99_ms),
    _Steady("w2_tag_delivered", "share", _at_least(0.999), "w2_tag", lambda run: run.delivered),
    _Steady("w2_tag_cpu_s_per_mvalue", "s/M", _at_most(40), "w2_tag", lambda run: run.cpu_s_per_mvalue),
    _Steady("w3_delivered", "share", _at_least(0.999), "w3", lambda run: run.delivered),
    _Steady("w3_cpu_s_per_mvalue", "s/M", _at_most(2.5), "w3", lambda run: run.cpu_s_per_mvalue),
    _Steady("w4_values_per_s", "1/s", _at_least(400_000, 0.5), "w4", lambda run: run.values_per_s),
    _Steady("pss_mb", "MB", _at_most(50), "w2", lambda run: run.pss_mb),
    _Steady("first_value_s", "s", _at_most(1), "w2", lambda run: run.first_value_s),
    _Steady(
        "disk_bytes_per_value_up", "B", _at_most(0.1), "w2_disk", lambda run: run.written_per_value, has_floor=False
    ),
    _Outage("disk_bytes_per_value_down", "B", _at_most(10), lambda run: run.written_per_value_down),
    _Outage("outage_lost", "values", _at_most(0), lambda run: run.lost),
    _Outage("outage_drain_s", "s", _at_most(2), lambda run: run.drain_s),
    _Outage("outage_live_lag_s", "s", _at_most(1), lambda run: run.live_lag_s),
    _Subscribed("opcua_cpu_share", "core", _at_most(0.05), lambda run: run.cpu_share),
    _Subscribed("opcua_rss_mb", "MB", _at_most(75), lambda run: run.rss_mb),
    _Subscribed("opcua_delivered", "share", _at_least(0.999), lambda run: run.delivered),
)

GOALS = {item.name: item.goal for item in _FIGURES}
NAMES = tuple(GOALS)


def figures(results: Results) -> list[Figure]:
    """Every figure in its fixed order; one that wasn't measured has no value. Repeated runs give their median."""
    return [item.figure(results) for item in _FIGURES]


def missed(measured: Sequence[Figure]) -> list[str]:
    """Names of the measured figures that don't reach their goal."""
    return [
        item.name for item in measured if item.value is not None and not GOALS[item.name].met(item.value, item.ratio)
    ]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


def print_figures(console: Console, measured: Sequence[Figure]) -> None:
    table = Table(title="Tidegate beside the floor", title_justify="left")
    table.add_column("figure")
    for heading in ("gateway", "floor", "ratio"):
        table.add_column(heading, justify="right")
    for heading in ("unit", "better", "goal", ""):
        table.add_column(heading)
    short = set(missed(measured))
    for item in measured:
        goal = GOALS[item.name]
        verdict = "–" if item.value is None else "missed" if item.name in short else "met"
        table.add_row(
            item.name,
            _number(item.value),
            _number(item.floor),
            _number(item.ratio),
            item.unit,
            "lower" if goal.lower_is_better else "higher",
            str(goal),
            verdict,
            style="bold red" if verdict == "missed" else None,
        )
    console.print(table)


def print_runs(console: Console, results: Results) -> None:
    """Every run, with the shares of a core that the bench's own parts took."""
    table = Table(title="Runs (shares of one core; times in ms)", title_justify="left")
    for heading in ("run", "subject"):
        table.add_column(heading)
    for heading in (
        "values/s",
        "delivered",
        "s/M",
        "p50",
        "p99",
        "max",
        "late p99",
        "subject",
        "simul.",
        "broker",
        "sink",
    ):
        table.add_column(heading, justify="right")
    for run in results.steady:
        table.add_row(
            run.workload,
            run.subject,
            _number(run.values_per_s),
            f"{run.delivered:.4f}",
            _number(run.cpu_s_per_mvalue),
            *map(_number, (run.age_p50_ms, run.age_p99_ms, run.age_max_ms, run.late_p99_ms)),
            *(f"{share:.0%}" for share in (run.subject_cpu, run.simulator_cpu, run.broker_cpu, run.sink_cpu)),
        )
    if results.steady:
        console.print(table)
    for cut in results.outages:
        console.print(
            f"outage {cut.down_s:.1f} s: backlog {cut.backlog_values:,} values, missing {cut.missing}, polls missed "
            f"{cut.missed_polls}, duplicates {cut.duplicates}, out of order {cut.disordered}; first live value after "
            f"{cut.live_after_s:.2f} s, drained after {cut.drain_s:.2f} s; poll lateness p99 "
            f"{_number(cut.late_p99_ms)} ms, max {_number(cut.late_max_ms)} ms; "
            f"{cut.written_per_value_whole:.2f} B written per value in all; memory afterwards {cut.pss_mb:.1f} MB"
        )
    for each in results.subscribed:
        console.print(
            f"opcua: {each.items:,} items a second, {each.values:,} values in {each.window_s:.1f} s, "
            f"{each.delivered:.2%} of all changes; gateway {each.cpu_share:.1%} of a core, {each.rss_mb:.1f} MB RSS, "
            f"{each.pss_mb:.1f} MB PSS; server {each.server_cpu_share:.0%}"
        )
    print_headroom(console, results)


def print_headroom(console: Console, results: Results) -> None:
    """How far the simulator and the subscriber are from being what W4 measures."""
    runs = results.of("w4", FLOOR) or results.of("w4", GATEWAY)
    if not runs:
        return
    best = max(runs, key=lambda run: run.values_per_s)
    request_us = 1e6 * best.simulator_cpu / best.requests_per_s
    console.print(
        f"W4 headroom at the {best.subject}'s {_number(best.values_per_s)} values/s: the simulator answered "
        f"{_number(best.requests_per_s)} requests/s in {request_us:.1f} µs each and "
        f"could feed {_number(best.values_per_s / best.simulator_cpu)} values/s with a core to itself, the subscriber "
        f"could take {_number(best.values_per_s / best.sink_cpu)}"
    )
