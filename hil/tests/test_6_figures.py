"""What a box costs, and how soon it is of use."""

from __future__ import annotations

import re

import pytest

from hil.benches.declaration import Part
from hil.tests.box import ADMIN, PASSWORD, Box

MOST_MEMORY_MB = 256
MOST_RATIO = 1.5
MOST_ROOT_MB, MOST_IMAGE_MB = 350, 200


@pytest.mark.needs(Part.SYSTEM, Part.IMAGE)
def test_the_image_is_small(collecting: Box) -> None:
    used_mb = int(collecting.bench.run("df -B1 --output=used / | tail -1").out) / 1e6
    compressed_mb = collecting.bench.download().stat().st_size / 1e6
    for what, size_mb, most_mb in (
        ("root, used", used_mb, MOST_ROOT_MB),
        ("image to download", compressed_mb, MOST_IMAGE_MB),
    ):
        collecting.measured(what, f"{size_mb:.0f} MB", f"≤ {most_mb} MB", size_mb <= most_mb)


@pytest.mark.needs(Part.SYSTEM)
def test_the_whole_system_needs_little_memory(collecting: Box) -> None:
    """With every driver at work and the page open in a browser."""
    visitor = collecting.bench.page
    assert visitor.sign_in(ADMIN, PASSWORD) == 303
    for path in ("/", "/devices", "/tags", "/delivery"):
        assert visitor.fetch("GET", path)[0] == 200
    with visitor.following("/api/v1/live?match=*") as values, visitor.following("/api/v1/events"):
        assert values.readline()
        meminfo = collecting.bench.run("cat /proc/meminfo").out
    known = {name: int(kib) for name, kib in re.findall(r"(?m)^(\w+):\s+(\d+) kB", meminfo)}
    used_mb = (known["MemTotal"] - known["MemAvailable"]) / 1024
    collecting.measured(
        *("memory of the whole system, four drivers, page open", f"{used_mb:.0f} MiB", f"≤ {MOST_MEMORY_MB} MiB"),
        used_mb <= MOST_MEMORY_MB,
    )


OURS = "tidegate.service tidegate-web.socket tidegate-web.service tidegate-health.service"


@pytest.mark.needs(Part.SYSTEM)
def test_the_first_value_is_delivered_soon_after_the_start(collecting: Box) -> None:
    """Against the same system without a gateway, until it has started all that it has."""
    bench = collecting.bench
    now, up = (float(text) for text in bench.run("echo $(date +%s.%N) $(cut -d' ' -f1 /proc/uptime)").out.split())
    first = collecting.around.arrivals.first(collecting.boot)
    assert first is not None
    delivered_s = first.came_s - (now - up)
    bench.run(f"systemctl mask {OURS}")
    try:
        bench.restart()
        collecting.wait_for_shell()
        bench.run("systemctl is-system-running --wait", timeout_s=300, check=False)
        shown = bench.run("systemctl show -p FinishTimestampMonotonic --value").out
    finally:
        bench.run(f"systemctl unmask {OURS}; systemctl start tidegate-web.socket tidegate.service")
    bare_s = int(shown) / 1e6
    collecting.wait_until_up()
    ratio = delivered_s / bare_s
    collecting.measured(
        "start to first delivered value, against the bare system's start",
        f"{delivered_s:.0f} s / {bare_s:.0f} s = {ratio:.2f}",
        f"≤ {MOST_RATIO}",
        ratio <= MOST_RATIO,
        must=False,
    )
