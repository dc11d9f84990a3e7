"""A short bench from end to end: its result file is what readers of it rely on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from bench.processes import ROOT_DIR

NAMES = (
    "w2_cpu_s_per_mvalue",
    "w2_latency_p50_ms",
    "w2_latency_p99_ms",
    "w2_tag_delivered",
    "w2_tag_cpu_s_per_mvalue",
    "w3_delivered",
    "w3_cpu_s_per_mvalue",
    "w4_values_per_s",
    "pss_mb",
    "first_value_s",
    "disk_bytes_per_value_up",
    "disk_bytes_per_value_down",
    "outage_lost",
    "outage_drain_s",
    "outage_live_lag_s",
    "opcua_cpu_share",
    "opcua_rss_mb",
    "opcua_delivered",
)


@pytest.mark.e2e
@pytest.mark.timeout(90)
def test_a_quick_bench_writes_every_name_and_plausible_figures(tmp_path: Path) -> None:
    work = ROOT_DIR / "build" / "bench-test"
    output = tmp_path / "bench.json"
    options = ["--quick", "--only", "w3", "--output", str(output), "--work", str(work)]
    done = subprocess.run([sys.executable, "-m", "bench", *options], cwd=ROOT_DIR, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    figures = {figure["name"]: figure for figure in orjson.loads(output.read_bytes())}
    assert tuple(figures) == NAMES
    assert all(set(figure) == {"name", "value", "unit", "floor", "ratio"} for figure in figures.values())
    delivered, cpu = figures["w3_delivered"], figures["w3_cpu_s_per_mvalue"]
    for share in (delivered["value"], delivered["floor"]):
        assert 0.9 < share <= 1.0
    assert 0.05 < cpu["floor"] < cpu["value"] < 50
    assert cpu["ratio"] == pytest.approx(cpu["value"] / cpu["floor"])
    assert figures["w4_values_per_s"]["value"] is None
