"""Delivery: what every broker got and has still to get, and naming a broker by the page alone."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests.support.browser import NARROW, Chromium, accessible, picture
from tests.support.mosquitto import Mosquitto
from tests.web.conftest import Plant, apply_and_confirm

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


async def test_the_ledger_says_of_every_device_what_was_delivered(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/delivery", cookies=plant.admin)
    ledger = page.get_by_role("region", name="Ledger, table")
    row = ledger.get_by_role("row", name="dev0")
    await row.wait_for()
    first, last, delivered, waiting, refused, dropped = [
        int(text.replace("\u202f", "")) for text in (await row.get_by_role("cell").all_inner_texts())[1:]
    ]
    assert last - first + 1 == delivered + waiting + refused + dropped
    assert delivered > 0
    assert (refused, dropped) == (0, 0)


async def test_a_broker_that_is_away_is_buffering_and_not_a_fault(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/delivery", cookies=plant.admin)
    card = page.get_by_role("region", name="plant", exact=True)
    await card.get_by_text("Delivering", exact=True).wait_for()
    plant.broker.stop()
    await card.locator(".state.buffering").wait_for()
    await card.get_by_text("values wait in the journal").wait_for()
    assert await page.locator(".state.bad").count() == 0
    plant.broker.start()
    await card.get_by_text("Delivering", exact=True).wait_for()


async def test_a_broker_is_tested_rung_by_rung_before_it_is_kept(
    plant: Plant, browser: Chromium, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Mosquitto(tmp_path_factory.mktemp("second")) as second:
        page = await browser.open("/delivery", cookies=plant.admin)
        await page.get_by_role("link", name="Add a broker").click()
        await _fill(page, "second", second.port)
        await page.get_by_role("button", name="Test the broker").click()
        ladder = page.get_by_role("list", name="Test of the broker")
        await ladder.locator("li[data-state=passed]").last.wait_for()
        await page.get_by_role("button", name="Stop").wait_for(state="hidden")
        assert await ladder.locator("li[data-state=failed]").count() == 0
        assert await page.locator("[id='sink.host']").input_value() == "127.0.0.1", "what was typed stays"
        await picture(page, "broker-test", of="sink-setup")
        await page.get_by_role("button", name="Put it into the draft").click()
        await page.wait_for_url("**/changes")
        draft = await asyncio.to_thread(plant.gateway.client.call, "GET", "/v1/config/draft/diff")
        assert "second" in draft["patch"]
        await apply_and_confirm(page, "a second broker")
        await page.goto(f"{browser.url}/delivery")
        card = page.get_by_role("region", name="second", exact=True)
        await card.get_by_text("Delivering", exact=True).wait_for()
        await card.get_by_role("link", name="Test or edit").click()
        await page.get_by_role("button", name="Remove").click()
        await page.get_by_role("button", name="Put the removal into the draft").click()
        await page.wait_for_url("**/changes")
        await apply_and_confirm(page, "one broker is enough")
        status = await asyncio.to_thread(plant.gateway.status)
        assert list(status["sinks"]) == ["plant"]


async def test_the_rung_that_fails_says_what_mends_it(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/delivery/add", cookies=plant.admin)
    await _fill(page, "nowhere", 9)
    await page.get_by_role("button", name="Test the broker").click()
    failed = page.locator(".ladder li[data-state=failed]")
    await failed.wait_for()
    assert await failed.locator(".mend").inner_text()


async def test_of_a_broker_that_is_there_only_what_differs_is_changed(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/delivery/named/plant", cookies=plant.admin)
    assert await page.locator("[id='sink.port']").input_value() == str(plant.broker.port)
    assert await page.locator("[id='sink.granularity']").input_value() == "asset"
    await page.get_by_text("More about the broker").click()
    await page.locator("[id='sink.keepalive_s']").fill("30")
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.wait_for_url("**/changes")
    patch = (await asyncio.to_thread(plant.gateway.client.call, "GET", "/v1/config/draft/diff"))["patch"]
    changed = [line for line in patch.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
    assert changed == ["+keepalive_s = 30"]
    await asyncio.to_thread(plant.gateway.client.call, "DELETE", "/v1/config/draft")


async def test_a_password_is_kept_and_the_configuration_refers_to_it(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/delivery/add", cookies=plant.admin)
    await _fill(page, "secure", 1883)
    await page.locator("[id='sink.username']").fill("gw1")
    await page.locator("[id='sink.password']").fill("tide, high: 12")
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.wait_for_url("**/changes")
    patch = (await asyncio.to_thread(plant.gateway.client.call, "GET", "/v1/config/draft/diff"))["patch"]
    assert "tide, high" not in patch
    file = Path(re.search(r'file = "([^"]+)"', patch)[1])  # type: ignore[index]
    assert file.read_text() == "tide, high: 12"
    assert file.stat().st_mode & 0o777 == 0o600
    await asyncio.to_thread(plant.gateway.client.call, "DELETE", "/v1/config/draft")


async def test_it_suits_every_screen_and_reader(plant: Plant, browser: Chromium) -> None:
    await accessible(browser, "/delivery", plant.admin, ready="table")
    await accessible(browser, "/delivery/add", plant.admin, ready="sink-setup")


async def test_what_is_wrong_is_said_at_its_field(plant: Plant, browser: Chromium) -> None:
    browser.allow("409|422")
    page = await browser.open("/delivery/add", cookies=plant.admin, size=NARROW)
    await _fill(page, "second", 1883)
    await page.locator("[id='sink.port']").fill("many")
    await page.get_by_role("button", name="Test the broker").click()
    await page.get_by_text("Port must be a whole number").wait_for()
    assert await page.evaluate("document.activeElement.id") == "sink.port"


async def _fill(page: Page, name: str, port: int) -> None:
    await page.locator("[id='sink.name']").fill(name)
    await page.locator("[id='sink.host']").fill("127.0.0.1")
    await page.locator("[id='sink.port']").fill(str(port))
