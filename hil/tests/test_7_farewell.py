"""The end: given back as delivered, then handed on with nothing left on it."""

from __future__ import annotations

import secrets

import pytest

from hil.benches.declaration import Part
from hil.tests.box import Box

pytestmark = pytest.mark.needs(Part.SYSTEM, Part.STICK, Part.WIPE)

CANARY = secrets.token_hex(24)
"""Nobody knows it but this run and the box."""
ON_THE_CARD = f"""\
[[user]]
name = "owner-{CANARY}"
role = "admin"
password_hash = "none"

[ssh]
authorized_keys = ["{{key}} {CANARY}"]
"""
"""A provisioning file on the boot partition: by it the wiped box would be its old owner's again."""
PUT_ONTO_THE_CARD = """\
set -e
at=$(mktemp -d)
mount /dev/disk/by-partuuid/54474154-01 "$at"
cat > "$at/provision.toml" <<'FILE'
{file}FILE
mkdir "$at/keys"
cp "$at/provision.toml" "$at/keys/a key of ours.pem"
umount "$at"
"""


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
    collecting.let_bench_in()
    bench.run(PUT_ONTO_THE_CARD.format(file=ON_THE_CARD.format(key=bench.public_key)))
    certificate = bench.page.certificate()
    bench.power_off()
    assert bench.remains(CANARY.encode()), "the canary isn't on the disk as it should be"
    bench.power_on()
    bench.wait_until_up()
    mark, started = bench.console.mark(), bench.expect_start()
    collecting.api.call("POST", "/v1/machine/wipe", {"hostname": name})
    started(120)
    bench.console.wait("tidegate: wiped", collecting.patient(300), mark)
    bench.wait_until_up()
    assert bench.page.fetch("GET", "/login")[0] == 303, "somebody may still sign in"
    assert bench.page.certificate() != certificate
    bench.power_off()
    assert not bench.remains(CANARY.encode()), "a secret of before the wipe can still be read from the disk"
    bench.power_on()
    bench.wait_until_up()
    assert bench.open_ports() == [443], "somebody's key is let in"
