"""What is set of the machine itself from its page: a mistake comes back by itself."""

from __future__ import annotations

import pytest

from hil.benches.declaration import Part
from hil.benches.page import Page
from hil.tests.box import Box

pytestmark = pytest.mark.needs(Part.SYSTEM, Part.CABLE)

ELSEWHERE = "10.77.0.77"
WITHIN_S = 60


def test_a_network_setting_that_locks_everybody_out_comes_back_by_itself(collecting: Box) -> None:
    interface = collecting.api.get("/v1/machine")["interfaces"][0]["name"]
    settings = {"dhcp": False, "address": f"{ELSEWHERE}/24", "within_s": WITHIN_S}
    collecting.api.call("PUT", f"/v1/machine/network/{interface}", settings)
    elsewhere = Page(f"https://{ELSEWHERE}", 10.0)
    collecting.until(elsewhere.answers, WITHIN_S, "it answers at the new address")
    collecting.until(collecting.bench.page.answers, 2 * WITHIN_S, "it answers at the old address again")
    collecting.until(lambda: collecting.api.get("/v1/machine")["unconfirmed"] is None, 60, "nothing is unconfirmed")
    assert not elsewhere.answers()
    collecting.wait_for_every_driver()


def test_a_network_setting_that_somebody_confirms_stays(collecting: Box) -> None:
    interface = collecting.api.get("/v1/machine")["interfaces"][0]["name"]
    settings = {"dhcp": True, "dns": ["10.77.0.1"], "within_s": WITHIN_S}
    collecting.api.call("PUT", f"/v1/machine/network/{interface}", settings)
    collecting.until(lambda: collecting.api.call("POST", "/v1/machine/confirm"), 30, "it is confirmed")
    assert collecting.api.get("/v1/machine")["unconfirmed"] is None
    collecting.bench.restart()
    collecting.wait_until_up()
    kept = collecting.api.get("/v1/machine")["interfaces"][0]["settings"]
    assert (kept["dhcp"], kept["dns"]) == (True, ["10.77.0.1"])
    collecting.wait_for_every_driver()
