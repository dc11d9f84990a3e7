"""A box out of its carton: switched on, looked at, claimed, provisioned."""

from __future__ import annotations

import re

import pytest

from hil.benches.bench import CLAIM_CODE
from hil.benches.declaration import Part
from hil.tests.box import ADMIN, PASSWORD, Box


def test_a_stranger_sees_nothing_but_the_way_to_claim_it(box: Box) -> None:
    status, text = box.bench.page.fetch("GET", "/", headers={"accept": "text/html"})
    assert status in (303, 200)
    assert "tidewater" not in text
    status, text = box.bench.page.fetch("GET", "/claim", headers={"accept": "text/html"})
    assert (status, "code" in text) == (200, True)
    assert box.bench.page.fetch("GET", "/api/v1/status")[0] == 401


@pytest.mark.needs(Part.CONSOLE)
def test_it_shows_its_claim_code_to_whoever_stands_before_it(box: Box) -> None:
    assert re.fullmatch(CLAIM_CODE, box.bench.claim_code())


def test_a_wrong_claim_code_lets_nobody_in(box: Box) -> None:
    visitor = box.bench.page
    status, _ = visitor.claim("0000-0000-0000-0000", ADMIN, PASSWORD)
    assert status == 422
    assert visitor.fetch("GET", "/api/v1/status")[0] == 401


def test_whoever_has_the_claim_code_becomes_its_admin_once(claimed: Box) -> None:
    assert claimed.bench.page.sign_in(ADMIN, PASSWORD) == 303
    assert claimed.bench.page.sign_in(ADMIN, "not the password") == 401
    names = {user["name"]: user["role"] for user in claimed.api.get("/v1/accounts/users")["users"]}
    assert names == {ADMIN: "admin"}
    status, _ = claimed.bench.page.claim("0000-0000-0000-0000", "mallory", PASSWORD)
    assert status == 303
    assert set(names) == {user["name"] for user in claimed.api.get("/v1/accounts/users")["users"]}
