"""Twenty gateways get another release: one is dead, one isn't well afterwards. The fleet stops, and says who."""

from __future__ import annotations

import csv
import subprocess
import time

import pytest

from tests.fleet.conftest import Control, Launch, configuration
from tests.fleet.machine import Machine
from tests.support.field import Field
from tests.support.mosquitto import Mosquitto

NAMES = [f"box{number:02}" for number in range(1, 21)]
DEAD, UNHEALTHY = "box04", "box06"
_DELIVERING_S = 60.0


@pytest.fixture(scope="module")
def machines(control: Control, launch: Launch, field: Field, broker: Mosquitto) -> list[Machine]:
    fleet = launch(*NAMES, configurations=lambda name: configuration(name, field, interval_ms=2000), appliance=True)
    control.inventory(fleet, tidegate_user="root")
    for machine in fleet:
        delivering(machine)
    return fleet


def delivering(machine: Machine) -> dict[str, int]:
    """What the ledger says, once something is delivered."""
    deadline = time.monotonic() + _DELIVERING_S
    while time.monotonic() < deadline:
        counts = ledger(machine)
        if counts["delivered"]:
            return counts
        time.sleep(0.2)
    raise AssertionError(f"{machine.name} delivers nothing:\n{machine.log('tidegate')[-2000:]}")


def ledger(machine: Machine) -> dict[str, int]:
    boots = [
        numbers
        for sink in machine.status()["ledger"].values()
        for source in sink["sources"].values()
        for numbers in source["boots"].values()
    ]
    dropped = sum(gap["last"] - gap["first"] + 1 for numbers in boots for gap in numbers["dropped"])
    return {
        "boots": len(boots),
        "delivered": sum(numbers["delivered"] for numbers in boots),
        "lost": dropped + sum(numbers["refused"] for numbers in boots),
    }


def test_a_fleet_stops_where_too_many_fail_and_loses_nothing(control: Control, machines: list[Machine]) -> None:
    by_name = {machine.name: machine for machine in machines}
    (control.directory / "release.raucb").write_text("sound 2.0\n")
    # The same release, and yet this one box isn't well under it.
    (by_name[UNHEALTHY].root / "data/slots/ill").touch()
    by_name[DEAD].freeze()
    release = {
        "tidegate_update_version": "2.0",
        "tidegate_update_source": str(control.directory / "release.raucb"),
        "tidegate_update_batches": [2, 5, 13],
        "tidegate_update_max_failures": 1,
    }
    done = control.play("update", **release)
    assert done.code != 0
    said = done.said[-1]
    assert f"{DEAD}: " in said
    assert f"{UNHEALTHY}: it runs 1.0, not 2.0: 2.0 wasn't well" in said
    written = (control.directory / "fleet/update-2.0.csv").read_text().splitlines()
    rows = {row["gateway"]: row["outcome"] for row in csv.DictReader(written)}
    assert {name for name, outcome in rows.items() if outcome == "unreachable"} == {DEAD}
    assert {name for name, outcome in rows.items() if outcome == "failed"} == {UNHEALTHY}
    updated, untried = NAMES[:7], NAMES[7:]
    assert [name for name, outcome in rows.items() if outcome == "not tried"] == untried
    for name in updated:
        if name in (DEAD, UNHEALTHY):
            continue
        counts = delivering(by_name[name])
        assert counts["boots"] == 2, name
        assert counts["lost"] == 0, name
    for name in [UNHEALTHY, *untried]:
        assert ledger(by_name[name])["lost"] == 0
        assert by_name[name].client.get("/v1/update")["slots"][0]["booted"], name

    # What was updated is left alone; with the two ill ones left out, more of the fleet follows.
    more = [name for name in updated if name not in (DEAD, UNHEALTHY)] + untried[:2]
    rest = control.play("update", "--limit", ",".join(more), **release)
    assert rest.code == 0, rest.out
    assert {host for _, host in rest.changes()} == set(untried[:2])
    assert control.play("update", "--limit", ",".join(untried[:2]), **release).changed == 0


def test_an_ordinary_machine_is_updated_by_its_package(control: Control, launch: Launch, field: Field) -> None:
    [plain] = launch("plain", configurations=lambda name: configuration(name, field))
    control.inventory([plain], tidegate_user="root")
    package = control.directory / "tidegate"
    (package / "DEBIAN").mkdir(parents=True)
    facts = {
        "Package": "tidegate",
        "Version": "2.0",
        "Architecture": "all",
        "Maintainer": "Tests <tests@plant.example>",
    }
    text = "".join(f"{key}: {value}\n" for key, value in {**facts, "Description": "a release"}.items())
    (package / "DEBIAN/control").write_text(text)
    subprocess.run(["dpkg-deb", "--build", package, control.directory], check=True, capture_output=True)
    release = {
        "tidegate_update_version": "2.0",
        "tidegate_update_source": str(control.directory / "tidegate_2.0_all.deb"),
    }
    done = control.twice("update", **release)
    assert {task.rpartition(" : ")[2] for task, _ in done.changes()} == {"Install it"}
    assert "Package: tidegate" in (plain.root / "var/lib/dpkg/status").read_text()
    broken = control.play(
        "update", tidegate_update_version="3.0", tidegate_update_source=str(control.directory / "ansible.cfg")
    )
    assert broken.code != 0
    assert "wasn't installed: " in broken.said[-1]
