"""Why isn't this tag in MQTT: the way drawn stage by stage, where it stops, as it changes."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import expect

from tests.support.browser import Chromium, accessible, picture
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

STAGES = ["configured", "link", "device", "wire", "scaled", "quality", "report", "topic", "journal", "delivery"]


async def test_a_tag_that_arrives_has_every_stage(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/tags/dev0/count", cookies=plant.admin)
    await page.get_by_role("link", name="Why isn't this tag in MQTT?").click()
    await page.locator(".way li[data-stage=delivery].good").wait_for()
    stages = await page.locator(".way li").evaluate_all("all => all.map((each) => each.dataset.stage)")
    assert stages == STAGES
    await expect(page.locator("li[data-stage=topic]")).to_contain_text("uns/v1/acme/plant1/dev0/_values/main")
    await expect(page.locator("li[data-stage=delivery]")).to_contain_text("delivered to")
    number = page.locator("li[data-stage=journal] dd")
    await expect(number).not_to_have_text(await number.inner_text())  # it goes on by itself
    await page.get_by_role("link", name="See its bytes on the wire").click()
    await expect(page.get_by_label("Device", exact=True)).to_have_value("dev0")


async def test_where_it_stops_is_marked_and_mended(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/diagnostics/why?tag=dev1/count", cookies=plant.viewer)
    await page.locator(".way li[data-stage=delivery].good").wait_for()
    plant.field.slaves[1].silent = True
    try:
        stop = page.locator(".way li[aria-current=step]")
        await expect(stop).to_have_attribute("data-stage", re.compile("^(link|device)$"))  # by turns, as it is tried
        await expect(stop.get_by_text("It stops here")).to_be_visible()
        await expect(page.locator("li[data-stage=wire]").get_by_text("Not reached")).to_be_visible()
        await expect(page.locator("li[data-stage=delivery]").get_by_text("Not reached")).to_be_visible()
        said = page.get_by_role("alert")
        await expect(said).to_contain_text("It stops at “")
        assert await said.locator(".mend").inner_text()
        await picture(page, "why", of="main")
    finally:
        plant.field.slaves[1].silent = False
    await expect(page.locator("li[data-stage=delivery].good")).to_be_visible(timeout=20_000)


async def test_a_broker_that_is_away_stops_it_last(plant: Plant, browser: Chromium) -> None:
    plant.broker.stop()
    try:
        page = await browser.open("/diagnostics/why?tag=dev0/count", cookies=plant.viewer)
        await expect(page.locator(".way li[aria-current=step]")).to_have_attribute("data-stage", "delivery")
        await expect(page.locator("li[data-stage=journal].good")).to_be_visible()
    finally:
        plant.broker.start()
    await expect(page.locator("li[data-stage=delivery].good")).to_be_visible(timeout=20_000)


async def test_a_tag_is_found_by_a_part_of_its_name(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/diagnostics/why", cookies=plant.viewer)
    await expect(page.get_by_text("Which tag?").or_(page.get_by_text("Tags that aren't good now"))).to_be_visible()
    await page.get_by_label("Tag", exact=True).press_sequentially("1/COU")
    await expect(page.locator("#tags option")).to_have_count(1)
    assert await page.locator("#tags option").get_attribute("value") == "dev1/count"
    await page.get_by_label("Tag", exact=True).fill("[*?")
    await expect(page.locator("#tags option")).to_have_count(0)
    await page.get_by_label("Tag", exact=True).fill("dev1/coun")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_contain_text("no tag 'dev1/coun'")
    await expect(page.get_by_role("alert")).to_contain_text("did you mean 'dev1/count'?", ignore_case=True)


@pytest.mark.parametrize(
    ("path", "ready"), [("/diagnostics/why", "#tag"), ("/diagnostics/why?tag=dev1/count", ".way li.bad")]
)
async def test_it_suits_every_screen_and_reader(plant: Plant, browser: Chromium, path: str, ready: str) -> None:
    plant.field.slaves[1].silent = True
    try:
        await accessible(browser, path, plant.admin, ready=ready)
    finally:
        plant.field.slaves[1].silent = False
