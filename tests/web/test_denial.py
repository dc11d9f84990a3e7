"""Nobody comes in who may not: strangers on every path, foreign pages, lesser roles, programs with half a token."""

from __future__ import annotations

import itertools
import re
import socket
import ssl
import warnings
from urllib.parse import urlsplit

import pytest

from gateway.web.app import PAGES
from gateway.web.guard import HEADERS
from gateway.web.sessions import COOKIE, csrf_token
from gateway.web.visit import Page
from tests.support.effort import times
from tests.support.https import Answer, Https, unchecked
from tests.support.people import TOKENS
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

# What a stranger may call. A path that comes here must be worth it.
FOR_STRANGERS = {("GET", "/login"), ("POST", "/login"), ("GET", "/claim"), ("POST", "/claim")}
CALLS = times(100)
MIX = (
    {"accept": "text/html"},
    {"accept": "text/html", "hx-request": "true"},
    {"accept": "application/json"},
    {"accept": "application/json", "cookie": f"{COOKIE}=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    {"authorization": "Bearer tidegate_00000000_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    {"authorization": "Basic YWRhOmFkYQ=="},
    {"tidegate-actor": "name=ada&role=admin&via=page"},
    {"x-forwarded-for": "127.0.0.1", "x-csrf-token": "00"},
)


def concrete(page: Page) -> str:
    """A path that this page answers."""
    return re.sub(r"\{\w+(:\w+)?\}", "status", page.path)


def denied(answer: Answer) -> bool:
    if answer.status == 303:
        return answer.headers["location"].startswith("/login")
    return answer.status in (401, 403, 429)


def test_what_strangers_may_call_is_listed() -> None:
    free = {(method, page.path) for page in PAGES if page.role is None for method in page.methods}
    assert free == FOR_STRANGERS


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("method", "path"),
    sorted({(method, concrete(page)) for page in PAGES if page.role is not None for method in page.methods}),
)
def test_strangers_are_denied_every_time(plant: Plant, method: str, path: str) -> None:
    with Https(plant.page.url) as stranger:
        for headers in itertools.islice(itertools.cycle(MIX), CALLS):
            answer = stranger.call(method, path, headers=headers)
            assert denied(answer), (headers, answer.status, answer.text)
            assert COOKIE not in str(answer.headers)


def test_strangers_arent_told_what_there_is(plant: Plant) -> None:
    with Https(plant.page.url) as stranger:
        assert stranger.get("/no/such/page").status == 401
        assert stranger.get("/static/no-such-file.js").status == 404
        assert stranger.get("/static/..%2f..%2fserve.py").status in (401, 404)


def test_every_answer_carries_the_policy(plant: Plant) -> None:
    with Https(plant.page.url, plant.admin) as admin:
        for path in ("/", "/login", "/no/such/page", "/api/v1/status", "/api/v1/nothing", "/account"):
            answer = admin.get(path)
            for name, value in HEADERS.items():
                assert answer.headers[name] == value, (path, name)
            assert answer.headers["cache-control"] == "no-store", path
        assert "unsafe" not in HEADERS["content-security-policy"]


def test_a_change_needs_the_sessions_own_token_and_our_own_origin(plant: Plant) -> None:
    with Https(plant.page.url, plant.admin) as admin:
        good = {"x-csrf-token": csrf_token(plant.admin[COOKIE])}
        post = "/account/sign-out-others"
        assert admin.call("POST", post, headers=good).status == 200
        assert admin.call("POST", post, headers={**good, "origin": admin.origin}).status == 200
        assert admin.call("POST", post).status == 403
        assert admin.call("POST", post, headers={"x-csrf-token": csrf_token("another")}).status == 403
        assert admin.call("POST", post, headers={**good, "origin": "https://evil.example"}).status == 403
        assert admin.call("POST", post, headers={**good, "origin": "null"}).status == 403
        assert admin.call("POST", post, headers={**good, "sec-fetch-site": "cross-site"}).status == 403
        assert admin.call("POST", post, headers={**good, "sec-fetch-site": "same-site"}).status == 403
        assert admin.post(post, {"csrf": "00"}, csrf=False).status == 403
        foreign = {"sec-fetch-site": "cross-site", "origin": "https://evil.example"}
        signing_in = admin.post("/login", {"name": "ada", "password": "x"}, csrf=False, **foreign)
        assert signing_in.status == 403, "nobody is signed in as somebody else by a foreign page"


def test_each_operation_by_its_role_and_none_of_the_inner_ones(plant: Plant) -> None:
    with Https(plant.page.url, plant.viewer) as viewer, Https(plant.page.url, plant.admin) as admin:
        assert viewer.get("/api/v1/status").status == 200
        for who in (viewer, admin):
            csrf = {"x-csrf-token": csrf_token(who.cookies[COOKIE])}
            for path in ("users/ada", "users%2Fada", "claim", "tokens", "%63laim"):
                assert who.get(f"/api/v1/sign-in/{path}").status in (404, 405), path
            for path in ("tokens", "claim", "attempts"):
                assert who.call("POST", f"/api/v1/sign-in/{path}", b"{}", csrf).status == 404, path
            assert who.get("/api/v1/../v1/sign-in/claim").status in (404, 405)
        assert viewer.get("/api/v1/nothing").status == 404
        assert (
            viewer.call("DELETE", "/api/v1/status", headers={"x-csrf-token": csrf_token(viewer.cookies[COOKIE])}).status
            == 405
        )


def test_a_token_opens_the_api_alone_as_far_as_it_goes(plant: Plant) -> None:
    with Https(plant.page.url) as program:
        whole = {"authorization": f"Bearer {TOKENS['reporting']}"}
        narrow = {"authorization": f"Bearer {TOKENS['values-only']}"}
        assert program.call("GET", "/api/v1/status", headers=whole).status == 200
        assert program.call("GET", "/api/v1/values", headers=narrow).status == 200
        assert program.call("GET", "/api/v1/status", headers=narrow).status == 403
        assert program.call("GET", "/api/v1/status", headers={"authorization": f"Bearer {TOKENS['old']}"}).status == 401
        assert program.call("GET", "/", headers=whole).status == 401, "pages are for people"
        cut = {"authorization": whole["authorization"][:-1]}
        assert program.call("GET", "/api/v1/status", headers=cut).status == 401
    with Https(plant.page.url, plant.admin) as both:
        assert both.call("GET", "/api/v1/status", headers=cut).status == 401, "a bad token isn't mended by a cookie"


def test_old_tls_is_refused_and_no_compression_is_spoken(plant: Plant) -> None:
    parts = urlsplit(plant.page.url)
    old = unchecked()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with socket.create_connection((parts.hostname, parts.port)) as raw, pytest.raises(ssl.SSLError):
        old.wrap_socket(raw)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        new = unchecked()
        new.minimum_version = new.maximum_version = version
        with socket.create_connection((parts.hostname, parts.port)) as raw, new.wrap_socket(raw) as secured:
            assert secured.compression() is None
            assert secured.cipher() is not None


def test_what_is_on_disk_lets_nobody_in(plant: Plant) -> None:
    files = [path for path in plant.page.state.rglob("*") if path.is_file()]
    assert {path.name for path in files} >= {"sessions.json", "tries.json", "key.pem"}
    for path in files:
        assert plant.admin[COOKIE] not in path.read_text(), path
        if path.name != "certificate.pem":
            assert path.stat().st_mode & 0o077 == 0, path
    assert plant.page.state.stat().st_mode & 0o077 == 0
