"""Live values: one stream for all tabs, current everywhere, honest about what it doesn't know, gentle to who types."""

from __future__ import annotations

import asyncio
import re

import psutil
import pytest
from playwright.async_api import Page

from tests.support.browser import Chromium, until
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

TABS = 8


async def watch(page: Page, tag: str) -> None:
    """Put an element for one tag into an open page."""
    await page.evaluate(
        """(tag) => {
          const value = document.createElement("tag-now");
          value.setAttribute("tag", tag);
          document.querySelector("main").prepend(value);
          document.dispatchEvent(new Event("htmx:after:swap"));
        }""",
        tag,
    )


FIGURE = "document.querySelector('tag-now .value')?.textContent"


async def test_eight_tabs_are_live_over_one_stream_of_values_and_one_of_events(plant: Plant, browser: Chromium) -> None:
    context = await browser.profile(plant.admin)
    tabs = [await browser.open("/account", context=context) for _ in range(TABS)]
    for number, tab in enumerate(tabs):
        await watch(tab, f"dev{number % 2}/count")
    for tab in tabs:
        await until(tab, f"Number({FIGURE}) > 0")
        before = int(await tab.evaluate(FIGURE))
        await until(tab, f"Number({FIGURE}) > {before}")
        assert await tab.locator("tag-now").get_by_text("Good").is_visible()
    await streams(plant, 2)
    # A tab that closes leaves the others as they are, and the last one ends the stream.
    await tabs[0].close()
    await streams(plant, 2)
    before = int(await tabs[1].evaluate(FIGURE))
    await until(tabs[1], f"Number({FIGURE}) > {before}")
    for tab in tabs[1:]:
        await tab.close()
    await streams(plant, 0)


async def test_a_dead_device_shows_its_quality_and_a_gone_gateway_its_age(plant: Plant, browser: Chromium) -> None:
    browser.allow("503|ERR_")
    page = await browser.open("/account", cookies=plant.admin)
    await watch(page, "dev1/count")
    value = page.locator("tag-now")
    await value.get_by_text("Good").wait_for()
    plant.field.slaves[1].silent = True
    await value.get_by_text("Bad").wait_for()
    plant.field.slaves[1].silent = False
    await value.get_by_text("Good").wait_for()
    plant.gateway.stop()
    await page.get_by_role("status").get_by_text("Offline").wait_for()
    await value.get_by_text("old").wait_for()
    plant.gateway.start()
    await page.get_by_role("status").get_by_text("Live").wait_for()
    await value.get_by_text("Good").wait_for()


async def test_what_somebody_types_survives_every_update(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/", cookies=plant.admin)
    await page.get_by_role("row", name="dev0").wait_for()
    await page.evaluate(
        """() => {
          const field = document.createElement("input");
          field.setAttribute("aria-label", "typed");
          document.querySelector("live-part > div").append(field);
          field.focus();
        }"""
    )
    await page.keyboard.type("half a sent")
    refreshed = [0]
    page.on("request", lambda request: refreshed.__setitem__(0, refreshed[0] + ("/overview/live" in request.url)))
    await page.wait_for_timeout(4500)
    assert refreshed[0] == 0, "a part in which somebody types isn't asked for"
    assert await page.get_by_label("typed").input_value() == "half a sent"
    assert await page.evaluate("document.activeElement.getAttribute('aria-label')") == "typed"


async def test_a_session_that_ends_leads_to_the_sign_in(plant: Plant, browser: Chromium) -> None:
    browser.allow("401|503")
    context = await browser.profile(plant.viewer)
    page = await browser.open("/account", context=context)
    await watch(page, "dev0/count")
    await page.locator("tag-now").get_by_text("Good").wait_for()
    await context.clear_cookies()
    plant.gateway.stop()
    plant.gateway.start()
    await page.wait_for_url(re.compile(r"/login\?next=%2Faccount$"))


async def streams(plant: Plant, count: int) -> None:
    """Until so many connections to the control socket stand: who has left is noticed in a moment."""
    path, process = str(plant.gateway.directory / "data" / "control.sock"), psutil.Process(plant.gateway.pid)
    found = -1
    async with asyncio.timeout(10):
        while found != count:
            await asyncio.sleep(0.1)
            here = [each for each in process.net_connections("unix") if each.laddr == path]
            found = len(here) - 1  # less the listener
