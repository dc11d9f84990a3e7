"""``python -m bench``: run the workloads, print the table, write the result file. Loopback only, bounded in time."""

from __future__ import annotations

import argparse
import compileall
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson
from rich.console import Console

from bench.processes import ROOT_DIR, BenchError, filesystem
from bench.report import Results, figures, missed, print_figures, print_runs
from bench.runs import FLOOR, GATEWAY, outage, steady
from bench.subscribed import subscribed
from bench.workloads import W1, W2, W2_DISK, W2_TAG, W3, W4, Workload

_NOT_A_DISK = ("tmpfs", "ramfs")
OUTAGE = "outage"
OPCUA = "opcua"
_WIDE = 130
"""Columns of the tables where the output is no terminal."""


@dataclass(frozen=True, slots=True)
class Length:
    """How long one run of a workload is measured after its warm-up, and how often it is repeated."""

    warm_s: float
    window_s: float
    repeats: int = 1
    subjects: tuple[str, ...] = (FLOOR, GATEWAY)


_FULL: dict[str, tuple[Workload, Length]] = {
    "w1": (W1, Length(2, 6)),
    "w2": (W2, Length(2, 8, 3)),
    # Long enough for what the gateway writes once a minute; the floor writes nothing.
    "w2_disk": (W2_DISK, Length(2, 60, subjects=(GATEWAY,))),
    "w2_tag": (W2_TAG, Length(3, 10)),
    "w3": (W3, Length(2, 10)),
    "w4": (W4, Length(1, 3, 5)),
}
_QUICK: dict[str, tuple[Workload, Length]] = {
    "w2": (W2, Length(1, 3)),
    "w2_tag": (W2_TAG, Length(1, 3)),
    "w3": (W3, Length(0.5, 2)),
    "w4": (W4, Length(0.5, 2)),
}


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short windows, no repeats: about 40 s instead of 5 min")
    parser.add_argument("--only", metavar="RUN,…", help=f"of {', '.join((*_FULL, OUTAGE, OPCUA))}")
    parser.add_argument("--repeats", type=int, metavar="N", help="repeat every workload N times")
    parser.add_argument(
        "--subjects", default=f"{FLOOR},{GATEWAY}", help="of floor, gateway (default: both, interleaved)"
    )
    parser.add_argument("--output", type=Path, default=ROOT_DIR / "build/bench.json", help="default: build/bench.json")
    parser.add_argument("--work", type=Path, default=ROOT_DIR / "build/bench", help="on a disk; default: build/bench")
    parser.add_argument("--check", action="store_true", help="exit 1 if a goal is missed")
    options = parser.parse_args(arguments)
    options.only = (
        set(options.only.split(",")) if options.only else {*(_QUICK if options.quick else _FULL), OUTAGE, OPCUA}
    )
    options.subjects = options.subjects.split(",")
    if unknown := options.only - {*_FULL, OUTAGE, OPCUA}:
        parser.error(f"--only {', '.join(sorted(unknown))}: there is no such run")
    if unknown := set(options.subjects) - {FLOOR, GATEWAY}:
        parser.error(f"--subjects {', '.join(sorted(unknown))}: there is no such subject")
    return options


def _compile() -> None:
    """An installed package comes with its bytecode; so must the working copy, or its first start would pay for it."""
    for package in ("gateway", "drivers", "bench"):
        compileall.compile_dir(ROOT_DIR / package, quiet=2)


def _measure(options: argparse.Namespace, results: Results, console: Console) -> None:
    lengths = {**_FULL, **_QUICK} if options.quick else _FULL
    for name, (workload, length) in lengths.items():
        if name not in options.only:
            continue
        for turn in range(options.repeats or length.repeats):
            for subject in length.subjects:
                if subject not in options.subjects:
                    continue
                directory = options.work / f"{name}-{subject}-{turn + 1}"
                console.print(f"{name} {subject} {turn + 1} …")
                run = steady(subject, workload, directory, warm_s=length.warm_s, window_s=length.window_s)
                results.steady.append(run)
    if OUTAGE in options.only and GATEWAY in options.subjects:
        console.print(f"{OUTAGE} …")
        down_s, warm_s = (5.0, 1.0) if options.quick else (30.0, 3.0)
        results.outages.append(outage(W2, options.work / OUTAGE, warm_s=warm_s, down_s=down_s, drain_limit_s=30.0))
    if OPCUA in options.only and GATEWAY in options.subjects:
        console.print(f"{OPCUA} …")
        warm_s, window_s = (1.0, 5.0) if options.quick else (3.0, 30.0)
        results.subscribed.append(subscribed(options.work / OPCUA, warm_s=warm_s, window_s=window_s))


def _write(options: argparse.Namespace, results: Results) -> None:
    options.output.parent.mkdir(parents=True, exist_ok=True)
    body = [asdict(item) for item in figures(results)]
    options.output.write_bytes(orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")
    detail = {
        "python": platform.python_version(),
        "kernel": platform.release(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg(),
        "runs": [asdict(run) for run in results.steady],
        "outages": [asdict(run) for run in results.outages],
        "subscribed": [asdict(run) for run in results.subscribed],
    }
    path = options.output.with_name(f"{options.output.stem}-runs.json")
    path.write_bytes(orjson.dumps(detail, option=orjson.OPT_INDENT_2) + b"\n")


def main(arguments: Sequence[str]) -> int:
    """Returns the exit status: 0, 1 where --check finds a goal missed, 2 where the bench itself failed."""
    options = _parse(arguments)
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _WIDE
    results = Results()
    try:
        options.work.mkdir(parents=True, exist_ok=True)
        if (kind := filesystem(options.work)) in _NOT_A_DISK:
            raise BenchError(
                f"{options.work} is on {kind}, where nothing is written; name a folder on a disk with --work"
            )
        _compile()
        _measure(options, results, console)
    except BenchError as error:
        Console(stderr=True).print(f"bench: {error}", style="red", highlight=False)
        return 2
    measured = figures(results)
    print_runs(console, results)
    print_figures(console, measured)
    _write(options, results)
    return 1 if options.check and missed(measured) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
