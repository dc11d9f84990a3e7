"""Diagnostics: what needs repair, the log, the test of a device, what happened; each as it is, while it changes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.async_api import Page, expect

from gateway.web.app import PAGES
from tests.support.browser import NARROW, Chromium, accessible, picture
from tests.support.https import Https
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


@pytest.fixture
def silent(plant: Plant) -> Iterator[None]:
    """One of the two devices says nothing."""
    plant.field.slaves[1].silent = True
    yield
    plant.field.slaves[1].silent = False


async def well(plant: Plant) -> None:
    """Until nothing needs repair."""
    async with asyncio.timeout(20):
        while await asyncio.to_thread(plant.gateway.client.get, "/v1/repairs"):  # noqa: ASYNC110 - bounded
            await asyncio.sleep(0.1)


async def menu_count(page: Page, text: str) -> None:
    count = page.get_by_role("link", name=re.compile("^Diagnostics")).locator("repairs-count")
    # A device that was silent is asked ever more seldom, until it answers.
    await expect(count).to_have_text(text, timeout=20_000)


async def test_nothing_needs_repair_and_then_something_does(plant: Plant, browser: Chromium) -> None:
    await well(plant)
    page = await browser.open("/diagnostics", cookies=plant.admin)
    await expect(page.get_by_text("Nothing needs repair")).to_be_visible()
    await menu_count(page, "")
    plant.field.slaves[1].silent = True
    try:
        repair = page.get_by_role("region", name="Nothing comes from dev1")
        await expect(repair.get_by_text("Error")).to_be_visible()
        await menu_count(page, "1 needs repair")
        overview = await browser.open("/", context=page.context)
        todo = overview.get_by_role("region", name="To be repaired")
        await expect(todo.get_by_role("heading", name="To be repaired 1")).to_be_visible()
        await todo.get_by_role("link", name="With their causes and what mends them").click()
        await picture(overview, "repairs")
        await repair.get_by_role("button", name="tidegate test dev1").click()
        assert await page.evaluate("navigator.clipboard.readText()") == "tidegate test dev1"
        await repair.get_by_role("link", name="Test the way to it").click()
        await expect(page.get_by_label("Device", exact=True)).to_have_value("dev1")
        await page.go_back()
        await repair.get_by_role("link", name="Go to the device").click()
        await page.get_by_role("heading", name="dev1").wait_for()
    finally:
        plant.field.slaves[1].silent = False
    await menu_count(page, "")


async def test_a_broker_that_is_away_is_a_notice_and_no_error(plant: Plant, browser: Chromium) -> None:
    await well(plant)
    page = await browser.open("/diagnostics", cookies=plant.viewer)
    await expect(page.get_by_text("Nothing needs repair")).to_be_visible()
    plant.broker.stop()
    try:
        await expect(page.get_by_role("heading", name=re.compile("^Buffering"))).to_be_visible()
        await expect(page.locator("repairs-count .badge.buffering")).to_have_count(1)
        assert not await page.get_by_role("link", name="Wire trace").is_visible(), (
            "a viewer isn't shown what is refused"
        )
    finally:
        plant.broker.start()
    await expect(page.get_by_text("Nothing needs repair")).to_be_visible()


async def test_every_repair_leads_to_a_page_that_exists(plant: Plant, silent: None) -> None:
    def is_page(path: str) -> bool:
        return any(re.fullmatch(re.sub(r"\{\w+(:path)?\}", "[^/]+", page.path), path) for page in PAGES)

    found: list[dict[str, str]] = []
    async with asyncio.timeout(20):
        while not found:
            found = await asyncio.to_thread(plant.gateway.client.get, "/v1/repairs")
            await asyncio.sleep(0.05)
    assert all(is_page(urlsplit(repair["page"]).path) for repair in found), found


async def test_what_happened_is_a_timeline_that_goes_on(plant: Plant, browser: Chromium) -> None:
    await well(plant)
    page = await browser.open("/diagnostics/events", cookies=plant.viewer)
    # Of the broker, that is: a device on a busy machine may have something to say, too.
    newest = page.locator(".timeline > li").filter(has_text="plant is").first
    await expect(page.locator(".timeline > li").filter(has_text="plant is connected").first).to_be_visible()
    plant.broker.stop()
    try:
        await expect(newest).to_contain_text("plant is away: values wait")
        await expect(newest.locator(".state.buffering")).to_have_count(1)
    finally:
        plant.broker.start()
    await expect(newest).to_contain_text("plant is connected")
    await picture(page, "events")


async def test_the_log_goes_on_and_is_sifted(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/diagnostics/logs", cookies=plant.viewer)
    rows = page.locator("log-tail tbody tr")
    await expect(rows.first).to_be_visible()
    await page.get_by_label("Level", exact=True).select_option("warning")
    await page.get_by_role("searchbox", name="Filter by text").fill("no such text anywhere")
    await expect(page.get_by_text("No entry matches")).to_be_visible()
    await page.get_by_role("searchbox", name="Filter by text").fill("127.0.0.1")
    plant.broker.stop()
    try:
        await expect(rows.filter(has_text="warning").last).to_be_visible()
        await page.get_by_role("button", name="Pause").click()
        before = await rows.count()
    finally:
        plant.broker.start()
    assert before == await rows.count()
    await page.get_by_role("button", name="Go on").click()
    await page.get_by_role("button", name="Copy", exact=True).click()
    await page.get_by_text(re.compile(r"Copied: \d+ entr")).wait_for()
    assert "WARNING" in await page.evaluate("navigator.clipboard.readText()")
    await page.reload()
    await expect(page.get_by_label("Level", exact=True)).to_have_value("warning")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="Download").click()
    kept = (await (await download.value).path()).read_text()
    assert "WARNING" in kept
    assert "INFO" not in kept


def test_a_log_file_has_what_was_asked_for(plant: Plant) -> None:
    with Https(plant.page.url, plant.viewer) as viewer:
        answer = viewer.get("/diagnostics/logs.txt?level=info")
        assert answer.headers["content-disposition"] == 'attachment; filename="tidegate.log"'
        assert " INFO " in answer.text
        assert viewer.get("/diagnostics/logs.txt?level=loud").status == 400


async def test_a_device_that_runs_is_tested_from_its_page(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/named/dev0", cookies=plant.admin)
    await page.get_by_role("link", name="Test", exact=True).click()
    await page.get_by_role("button", name="Test the way to it").click()
    await page.locator(".ladder li[data-rung=read][data-state=passed]").wait_for()
    row = page.get_by_role("region", name="What was read, table").get_by_role("row", name="count")
    await expect(row.get_by_text("Good")).to_be_visible()
    await expect(row.locator("td.number")).to_have_text(re.compile(r"^\d+$"))
    await picture(page, "device-test")


async def test_the_rung_that_fails_says_what_mends_it(plant: Plant, browser: Chromium, silent: None) -> None:
    page = await browser.open("/diagnostics/test?device=dev1", cookies=plant.admin)
    await page.get_by_role("button", name="Test the way to it").click()
    failed = page.locator(".ladder li[data-state=failed]")
    await failed.wait_for(timeout=40_000)
    assert await failed.locator(".mend").inner_text()
    assert await page.get_by_label("Device", exact=True).input_value() == "dev1"


@pytest.mark.parametrize(
    ("path", "ready"),
    [
        ("/diagnostics", ".repair"),
        ("/diagnostics/events", ".timeline li"),
        ("/diagnostics/logs", "log-tail tbody tr"),
        ("/diagnostics/test?device=dev0", "device-test form"),
    ],
)
async def test_it_suits_every_screen_and_reader(
    plant: Plant, browser: Chromium, silent: None, path: str, ready: str
) -> None:
    await accessible(browser, path, plant.admin, ready=ready)


async def test_a_page_that_is_cut_off_says_so(plant: Plant, browser: Chromium) -> None:
    browser.allow("50[23]|ERR_")
    page = await browser.open("/diagnostics/logs", cookies=plant.admin, size=NARROW)
    rows = page.locator("log-tail tbody tr")
    await expect(rows.first).to_be_visible()
    plant.gateway.stop()
    try:
        await page.get_by_role("status").get_by_text("Offline").wait_for()
        await expect(rows.first).to_be_visible()
    finally:
        plant.gateway.start()
    await page.get_by_role("status").get_by_text("Live").wait_for(timeout=30_000)
    await plant.gateway.until(lambda status: status["sinks"]["plant"]["connected"], "connected again")
