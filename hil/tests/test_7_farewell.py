"""The end: given back as delivered, then handed on with nothing left on it."""

from __future__ import annotations

import secrets

import pytest

from hil.benches.declaration import Part
from hil.tests.box import Box

pytestmark = pytest.mark.needs(Part.WIPE)

CANARY = secrets.token_hex(24)
"""Nobody knows it but this run and the box."""


def test_a_factory_reset_gives_the_box_back_as_delivered(collecting: Box) -> None:
    bench = collecting.bench
    name, mark = collecting.api.get("/v1/machine")["hostname"], bench.console.mark()
    certificate, started = bench.page.certificate(), bench.expect_start()
    collecting.api.call("POST", "/v1/machine/reset", {"hostname": name})
    started(120)
    bench.wait_until_up()
    assert bench.page.fetch("GET", "/login")[0] == 303, "somebody may still sign in"
    assert bench.page.certificate() != certificate
    collecting.claim(mark)
    assert collecting.api.get("/v1/status")["southbound"]["links"] == {}
    assert collecting.api.get("/v1/machine")["hostname"] == name, "it is the same box"


def test_a_wipe_destroys_every_key_and_value(collecting: Box) -> None:
    bench = collecting.bench
    name = collecting.api.get("/v1/machine")["hostname"]
    collecting.api.call("POST", "/v1/secrets", {"name": "canary", "text": CANARY})
    certificate = bench.page.certificate()
    bench.power_off()
    assert bench.remains(CANARY.encode()), "the canary isn't on the disk as it should be"
    bench.power_on()
    bench.wait_until_up()
    mark, started = bench.console.mark(), bench.expect_start()
    collecting.api.call("POST", "/v1/machine/wipe", {"hostname": name})
    started(120)
    bench.console.wait("wiped", collecting.patient(300), mark)
    bench.wait_until_up()
    assert bench.page.fetch("GET", "/login")[0] == 303, "somebody may still sign in"
    assert bench.page.certificate() != certificate
    bench.power_off()
    assert not bench.remains(CANARY.encode()), "a secret of before the wipe can still be read from the disk"
    bench.power_on()
    bench.wait_until_up()
