"""The way in, in a real browser: claiming, signing in and out, a new password, many wrong ones."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page

from tests.support.browser import NARROW, Chromium, accessible, axe, chromium
from tests.support.configuration import configuration
from tests.support.gateway import GatewayProcess
from tests.support.page import PageProcess
from tests.support.people import PASSWORD
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

FRESH = "nine vexing quokkas"


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[tuple[GatewayProcess, PageProcess]]:
    """A gateway that belongs to nobody, and its page."""
    with GatewayProcess(tmp_path, configuration(tmp_path / "data", [], 1883)) as gateway:
        with PageProcess(tmp_path, tmp_path / "data" / "control.sock") as page:
            yield gateway, page


@pytest.fixture
async def stranger(fresh: tuple[GatewayProcess, PageProcess]) -> AsyncIterator[Chromium]:
    async with chromium(fresh[1].url) as browser:
        yield browser


async def claim_code(gateway: GatewayProcess) -> str:
    await gateway.until(lambda status: status["gateway"], "answering")
    return (gateway.directory / "data" / "claim-code").read_text().strip()


async def sign_in(page: Page, name: str = "ada", password: str = PASSWORD) -> None:
    await page.get_by_label("Name").fill(name)
    await page.get_by_label("Password").fill(password)
    await page.get_by_role("button", name="Sign in").click()


async def test_the_first_admin_comes_in_with_the_claim_code(
    fresh: tuple[GatewayProcess, PageProcess], stranger: Chromium
) -> None:
    gateway, _ = fresh
    stranger.allow("422")
    code = await claim_code(gateway)
    assert code in gateway.log, "whoever reads the console can claim it"
    page = await stranger.open("/", size=NARROW)
    await page.get_by_role("heading", name="Claim this gateway").wait_for()
    assert not await axe(page)
    await page.get_by_label("Claim code").fill("AAAA-AAAA-AAAA-AAAA")
    await page.get_by_label("Your name").fill("grace")
    await page.get_by_label("Password", exact=True).fill(FRESH)
    await page.get_by_label("Password again").fill(FRESH)
    await page.get_by_role("button", name="Claim it").click()
    await page.get_by_text("The claim code isn't the right one.").wait_for()
    await page.get_by_label("Claim code").fill(code.replace("-", " ").lower())
    await page.get_by_label("Password", exact=True).fill("grace's own")
    await page.get_by_label("Password again").fill("grace's own")
    await page.get_by_role("button", name="Claim it").click()
    await page.get_by_text("your name is in it; take another").wait_for()
    await page.get_by_label("Claim code").fill(code.replace("-", " ").lower())
    await page.get_by_label("Password", exact=True).fill(FRESH)
    await page.get_by_label("Password again").fill(FRESH)
    await page.get_by_role("button", name="Claim it").click()
    await page.get_by_role("heading", name="First steps").wait_for()
    await page.goto(stranger.url + "/claim")
    assert page.url.endswith("/"), "claimed once and for all"
    assert not (gateway.directory / "data" / "claim-code").exists()


async def test_signing_in_leads_where_one_wanted_to_go_and_out_means_out(plant: Plant, browser: Chromium) -> None:
    browser.allow("401")  # what the page still asked for as it signed out
    page = await browser.open("/account")
    assert page.url.endswith("/login?next=%2Faccount")
    await sign_in(page)
    await page.get_by_role("heading", name="ada").wait_for()
    cookies: list[Any] = await page.context.cookies()
    (session,) = [cookie for cookie in cookies if cookie["name"] == "__Host-tidegate"]
    assert (session["httpOnly"], session["secure"], session["sameSite"], session["path"]) == (True, True, "Strict", "/")
    await page.get_by_label("ada: account").click()
    await page.get_by_role("button", name="Sign out", exact=True).click()
    await page.get_by_role("heading", name="Sign in").wait_for()
    await page.context.add_cookies([session])
    await page.goto(browser.url + "/account")
    assert "/login" in page.url, "the old cookie is worth nothing"


async def test_a_link_cant_lead_elsewhere_after_the_sign_in(plant: Plant, browser: Chromium) -> None:
    for number, trick in enumerate(("https://example.com/", "//example.com", "/\\example.com")):
        page = await browser.open(f"/login?next={trick}")
        await sign_in(page)
        await page.get_by_role("heading", name="gw1").wait_for()
        assert page.url == browser.url + "/", number
        await page.close()


async def test_a_wrong_password_says_no_more_than_that(plant: Plant, browser: Chromium) -> None:
    browser.allow("401")
    said = []
    for name in ("otto", "nobody"):
        page = await browser.open("/login")
        await sign_in(page, name, "wrong wrong wrong")
        said.append(await page.get_by_role("alert").inner_text())
        await page.close()
    assert said[0] == said[1] == "The name or the password is wrong."


async def test_a_new_password_signs_every_other_browser_out(plant: Plant, browser: Chromium) -> None:
    browser.allow("422")
    mine, other = await browser.open("/login"), await browser.open("/login")
    for page in (mine, other):
        await sign_in(page, "eve")
        await page.get_by_role("heading", name="gw1").wait_for()
    await mine.goto(browser.url + "/account/password")
    await mine.get_by_label("Present password").fill("not the one")
    await mine.get_by_label("New password", exact=True).fill(FRESH)
    await mine.get_by_label("New password again").fill(FRESH)
    await mine.get_by_role("button", name="Change it").click()
    await mine.get_by_text("it is wrong").wait_for()
    await mine.get_by_label("Present password").fill(PASSWORD)
    await mine.get_by_label("New password", exact=True).fill(FRESH)
    await mine.get_by_label("New password again").fill(FRESH)
    await mine.get_by_role("button", name="Change it").click()
    await mine.get_by_role("heading", name="eve").wait_for()
    assert await mine.get_by_role("row").count() == 2, "the heading and this browser"
    await other.goto(browser.url + "/account")
    assert "/login" in other.url


async def test_all_others_are_signed_out_with_one_button(plant: Plant, browser: Chromium) -> None:
    browser.allow("401")  # what is still open asks once more before it notices
    mine, other = await browser.open("/login"), await browser.open("/login")
    for page in (mine, other):
        await sign_in(page, "otto")
        await page.get_by_role("heading", name="gw1").wait_for()
    await mine.goto(browser.url + "/account")
    await mine.get_by_role("button", name="Sign out all others").click()
    await mine.get_by_text(re.compile(r"Signed out \d other browser")).wait_for()  # who else signed in as otto
    await other.reload()
    assert "/login" in other.url


async def test_the_pages_before_the_sign_in_suit_every_screen_and_reader(plant: Plant, browser: Chromium) -> None:
    await accessible(browser, "/login", {})


async def test_the_account_suits_every_screen_and_reader(plant: Plant, browser: Chromium) -> None:
    await accessible(browser, "/account", plant.admin)
    await accessible(browser, "/account/password", plant.admin)
