"""Updates: one that works, one that is cut off, one that doesn't work. Whatever happens, a healthy release runs."""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

import pytest

from hil.benches.declaration import Part, Release
from hil.benches.page import Declined
from hil.tests.box import Box
from hil.tests.forging import FORGERIES
from hil.tests.updating import InstallFailed, chosen, healthy, install, update, upload

pytestmark = pytest.mark.needs(Part.SLOTS)

CUTS = round(float(os.environ.get("TIDEGATE_TEST_EFFORT", "1")))
_SEED = int(os.environ.get("TIDEGATE_TEST_SEED", time.time_ns()))
_took_s: list[float] = []


@pytest.mark.timeout(3600)
def test_a_good_update_takes_over_and_loses_nothing(collecting: Box) -> None:
    bundle = collecting.bench.bundle(Release.GOOD)
    with collecting.nothing_lost():
        handed_over = time.monotonic()
        path = upload(collecting, bundle)
        began = time.monotonic()
        update(collecting, path)
        collecting.wait_until_up()
        slot = healthy(collecting)
        proved = time.monotonic()
    _took_s.append(proved - began)
    assert slot["version"] == Release.GOOD.version
    collecting.measured("a good update, handed over to proved", f"{proved - handed_over:.0f} s", "", None)


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_bundle_that_somebody_changed_is_refused(collecting: Box, tmp_path: Path, forgery: str) -> None:
    forge, said = FORGERIES[forgery]
    forged = tmp_path / "forged.raucb"
    forge(collecting.bench.bundle(Release.GOOD), forged)
    before = chosen(collecting)
    path = upload(collecting, forged)
    with pytest.raises((InstallFailed, Declined), match=said):
        install(collecting, path)
    assert chosen(collecting) == before


@pytest.mark.timeout(3600 * CUTS)
@pytest.mark.needs(Part.POWER)
@pytest.mark.parametrize("attempt", range(1, CUTS + 1))
def test_a_power_cut_during_an_update_leaves_a_box_that_works(collecting: Box, attempt: int) -> None:
    """At any moment from its beginning until the new release has proved itself."""
    bundle = collecting.bench.bundle(Release.GOOD)
    moment = random.Random(f"{_SEED} {attempt}").uniform(0.0, _took_s[0] if _took_s else 120.0)
    with collecting.nothing_lost():
        path = upload(collecting, bundle)
        collecting.bench.console.note(
            f"the power will be cut {moment:.1f} s into the update (TIDEGATE_TEST_SEED={_SEED})"
        )
        boot = collecting.boot
        stage = update(collecting, path, for_s=moment)
        collecting.bench.power_off()
        collecting.bench.power_on()
        collecting.wait_until_up()
        slot = healthy(collecting)
        assert collecting.boot > boot
    collecting.measured(
        f"the power cut {moment:.0f} s into an update, {stage}", f"slot {slot['name']} runs", "a slot that works", True
    )


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "release",
    [pytest.param(Release.BROKEN, id="its gateway fails"), pytest.param(Release.DEAD, id="it doesn't start at all")],
)
def test_a_broken_update_falls_back_by_itself(collecting: Box, release: Release) -> None:
    bundle = collecting.bench.bundle(release)
    with collecting.nothing_lost():
        before = healthy(collecting)
        path = upload(collecting, bundle)
        began = time.monotonic()
        update(collecting, path)
        trial = collecting.until(
            lambda: (collecting.api.get("/v1/update")["trial"] or {}).get("state") == "fallen",
            900,
            "it has fallen back",
        )
        assert trial
        collecting.wait_until_up()
        slot = healthy(collecting)
    assert (slot["name"], slot["version"]) == (before["name"], before["version"])
    collecting.measured(f"a {release} update, begun to fallen back", f"{time.monotonic() - began:.0f} s", "", None)


@pytest.mark.timeout(3600)
@pytest.mark.needs(Part.STICK, Part.CONSOLE)
def test_whoever_stands_before_a_box_updates_it_with_a_stick(collecting: Box) -> None:
    bench = collecting.bench
    bundle = bench.bundle(Release.ON_A_STICK)
    with collecting.nothing_lost():
        mark = bench.console.mark()
        bench.insert_stick({"TIDEGATE/update.raucb": bundle})
        bench.console.wait("now switch off and on", collecting.patient(300), mark)
        bench.console.wait("can be pulled out now", collecting.patient(60), mark)
        bench.remove_stick()
        bench.restart()
        collecting.wait_until_up()
        slot = healthy(collecting)
    assert slot["version"] == Release.ON_A_STICK.version
