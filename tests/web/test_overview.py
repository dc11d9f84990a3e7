"""The overview: how everything is at a glance, kept up to date, and honest when the page is cut off."""

from __future__ import annotations

import pytest

from tests.support.browser import NARROW, Chromium, accessible
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


async def test_everything_well_at_a_glance(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/", cookies=plant.admin)
    devices = page.get_by_role("region", name="Devices, table")
    await devices.get_by_role("row", name="dev0").get_by_text("Good").wait_for()
    await devices.get_by_role("row", name="dev1").get_by_text("Good").wait_for()
    await page.get_by_role("region", name="Delivery, table").get_by_text("Connected").wait_for()


async def test_it_follows_by_itself_what_happens(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/", cookies=plant.admin)
    delivery = page.get_by_role("region", name="Delivery, table")
    await delivery.get_by_text("Connected").wait_for()
    plant.broker.stop()
    try:
        await delivery.get_by_text("Buffering", exact=True).wait_for()
        await delivery.get_by_text(" held").wait_for()
    finally:
        plant.broker.start()
    await delivery.get_by_text("Connected").wait_for()


async def test_old_values_are_grey_and_say_how_old(plant: Plant, browser: Chromium) -> None:
    browser.allow("503")
    page = await browser.open("/", cookies=plant.admin)
    await page.get_by_role("status").get_by_text("Live").wait_for()
    plant.gateway.stop()
    await page.get_by_role("status").get_by_text("Offline").wait_for()
    assert await page.get_by_role("row", name="dev0").is_visible(), "the last known state stays"
    filtered = await page.locator("live-part > div").evaluate("element => getComputedStyle(element).filter")
    assert filtered == "grayscale(1)"
    plant.gateway.start()
    await page.get_by_role("status").get_by_text("Live").wait_for()


async def test_a_page_opened_while_the_gateway_is_away_says_what_is_wrong(plant: Plant, browser: Chromium) -> None:
    browser.allow("503")
    plant.gateway.stop()
    page = await browser.open("/", cookies=plant.admin)
    await page.get_by_role("heading", name="The gateway doesn't answer").wait_for()
    await page.get_by_text("gateway-offline").wait_for()
    plant.gateway.start()
    await plant.gateway.until(lambda status: status["sinks"]["plant"]["connected"], "connected again")
    await page.get_by_role("link", name="Try again").click()
    await page.get_by_role("heading", name="gw1").wait_for()


async def test_it_suits_every_screen_and_reader(plant: Plant, browser: Chromium) -> None:
    await accessible(browser, "/", plant.admin, ready="table")


async def test_by_keyboard_alone(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/", cookies=plant.admin, size=NARROW)
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Skip to the content"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.id") == "content"
    await page.get_by_role("button", name="Menu").focus()
    await page.keyboard.press("Enter")
    await page.get_by_role("link", name="Overview").wait_for()
    await page.keyboard.press("Escape")
    assert not await page.get_by_role("link", name="Overview").is_visible()


async def test_light_and_dark_are_kept(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/", cookies=plant.admin)
    await page.get_by_role("button", name="Light or dark").click()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await page.reload()
    assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
    await page.get_by_role("button", name="Light or dark").click()
    assert await page.evaluate("document.documentElement.dataset.theme") is None


async def test_a_device_that_is_silent_comes_first_and_its_tags_arent_called_good(
    plant: Plant, browser: Chromium
) -> None:
    page = await browser.open("/", cookies=plant.admin)
    await page.get_by_text("none bad").wait_for()
    plant.field.slaves[1].silent = True
    await page.get_by_role("row", name="dev1").get_by_text("Failure").wait_for()
    await page.get_by_text("5 bad").wait_for()
    first = page.get_by_role("region", name="Devices, table").get_by_role("row").nth(1)
    assert "dev1" in await first.inner_text()
    plant.field.slaves[1].silent = False
    await page.get_by_text("none bad").wait_for()
