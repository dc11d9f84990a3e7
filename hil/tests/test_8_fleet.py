"""A box that is as fresh as from its carton, and a plant's inventory."""

from __future__ import annotations

import time
import tomllib
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hil.benches.configuration import WIRED, configuration
from hil.benches.control_machine import ControlMachine
from hil.benches.declaration import Part
from hil.plant.config import ENTERPRISE, SITE
from hil.tests.box import Box

NAME = "filler"


@pytest.mark.timeout(3600)
@pytest.mark.needs(Part.SYSTEM, Part.STICK)
def test_a_fresh_box_comes_from_the_inventory_to_its_first_value_by_one_command(box: Box, directory: Path) -> None:
    """All that it was given before is the key of whoever looks after the fleet."""
    bench = box.bench
    assert bench.private_key is not None
    box.let_bench_in()
    text = configuration(box.wiring, box.around.ports, box.around.broker.port, radio=False)
    settings = tomllib.loads(text)
    del settings["gateway"]["enterprise"], settings["gateway"]["site"]
    control = ControlMachine(directory / "fleet")
    variables = {
        "tidegate_hostname": NAME,
        "tidegate_location": {"enterprise": ENTERPRISE, "site": SITE},
        "tidegate_users": [{"name": "chief", "role": "admin", "password": "seven grey herons"}],
        "tidegate_settings": settings,
        "tidegate_delivered_within": 300,
    }
    control.inventory({NAME: str(urlsplit(bench.page.url).hostname)}, bench.private_key, variables=variables)

    def provision() -> str:
        done = control.run("provision", timeout_s=box.patient(600))
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.partition("PLAY RECAP")[2]

    box.around.arrivals.forget()
    began = time.monotonic()
    recap = provision()
    box.measured("a fresh box, from the inventory to its first value", f"{time.monotonic() - began:.0f} s", "", None)
    assert "changed=0" not in recap
    for driver in WIRED:
        box.around.arrivals.wait_for_good(driver.prefix, driver.tags, box.patient(60))
    assert bench.run("hostname").out.strip() == NAME
    assert bench.page.sign_in("chief", "seven grey herons") == 303
    assert "changed=0" in provision()
