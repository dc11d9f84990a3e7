"""Tags: the live table, one tag with its trend, the namespace; honest when something is away."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.browser import NARROW, Chromium, accessible, chromium, picture
from tests.support.configuration import configuration
from tests.support.gateway import GatewayProcess
from tests.support.page import PageProcess
from tests.support.people import settle
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


def line(page: Page, tag: str) -> Locator:
    return page.locator("live-table tr", has=page.locator(f'a[href="/tags/{tag}"]'))


async def number(page: Page, tag: str) -> int:
    return int(await line(page, tag).locator("td.value").inner_text())


async def test_every_tag_is_there_and_moves(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/tags", cookies=plant.admin)
    await expect(page.locator("[data-count]")).to_have_text("10 tags, all good")
    await expect(line(page, "dev0/count").get_by_text("Good")).to_be_visible()
    before = await number(page, "dev0/count")
    await expect(line(page, "dev0/count").locator("td.value")).not_to_have_text(str(before))
    await expect(line(page, "dev0/count").locator("svg.spark path")).to_have_attribute("d", re.compile(r"^M.*H120$"))
    await picture(page, "tags")


async def test_a_filter_is_typed_while_values_come(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/tags", cookies=plant.admin)
    field = page.get_by_role("searchbox", name="Filter by name")
    await expect(page.locator("[data-count]")).to_have_text("10 tags, all good")
    before = await number(page, "dev0/count")
    await field.press_sequentially("dev1 c", delay=100)
    await expect(page.locator("[data-count]")).to_have_text("1 of 10 tags, all good")
    await expect(page.get_by_role("status").filter(has_text="1 of 10 tags shown")).to_have_count(1)
    seen = await number(page, "dev1/count")
    await expect(line(page, "dev1/count").locator("td.value")).not_to_have_text(str(seen))
    assert seen > 0
    assert before > 0
    assert await field.input_value() == "dev1 c"
    assert await field.evaluate("field => document.activeElement === field && field.selectionStart === 6")
    await page.reload()
    assert await field.input_value() == "dev1 c"
    await expect(page.locator("[data-count]")).to_have_text("1 of 10 tags, all good")


async def test_a_silent_device_is_found_under_errors(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/tags", cookies=plant.admin)
    await page.get_by_label("Errors only").check()
    await expect(page.get_by_text("No tag matches.").or_(page.locator("live-table[data-none]"))).to_be_visible()
    plant.field.slaves[1].silent = True
    try:
        row = line(page, "dev1/count")
        await expect(row.get_by_text("Bad: timeout")).to_be_visible()
        await expect(row.locator("td.value")).to_have_text("–")
        await expect(row.locator("use")).to_have_attribute("href", re.compile("#bad$"))
        await expect(page.locator("[data-count]")).to_have_text("5 of 10 tags, 5 not good")
    finally:
        plant.field.slaves[1].silent = False
    await expect(page.locator("[data-count]")).to_have_text("0 of 10 tags, all good", timeout=20_000)


async def test_sorting_and_grouping(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/tags", cookies=plant.admin)
    await expect(page.locator("[data-count]")).to_have_text("10 tags, all good")
    group = page.get_by_role("button", name="dev0", expanded=True)
    await group.click()
    await expect(line(page, "dev0/count")).to_have_count(0)
    await expect(line(page, "dev1/count")).to_be_visible()
    await page.get_by_role("button", name="dev0", expanded=False).click()
    await page.get_by_label("By device").uncheck()
    await expect(page.locator("live-table tr.group")).to_have_count(0)
    await page.get_by_role("button", name="Tag", exact=True).click()
    await page.get_by_role("button", name="Tag", exact=True).click()
    await expect(page.locator("live-table th[aria-sort=descending]")).to_have_text("Tag")
    names = await page.locator("live-table tbody a").evaluate_all("links => links.map((link) => link.title)")
    assert names == sorted(names, reverse=True)
    assert len(names) == 10


async def test_rows_are_walked_by_keyboard(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/tags", cookies=plant.admin)
    await line(page, "dev0/count").get_by_role("link").focus()
    await page.keyboard.press("ArrowDown")
    assert await page.evaluate("document.activeElement.title") == "dev0/r4"
    await page.keyboard.press("ArrowUp")
    await page.keyboard.press("ArrowUp")
    assert await page.evaluate("document.activeElement.textContent") == "dev0"
    await page.keyboard.press("ArrowDown")
    await page.keyboard.press("Enter")
    await page.get_by_role("heading", name="count").wait_for()


async def test_old_values_are_grey_and_age_until_the_gateway_is_back(plant: Plant, browser: Chromium) -> None:
    browser.allow("50[23]|ERR_")
    page = await browser.open("/tags", cookies=plant.admin)
    await expect(line(page, "dev0/count").get_by_text("Good")).to_be_visible()
    plant.gateway.stop()
    try:
        await page.get_by_role("status").get_by_text("Offline").wait_for()
        assert await page.locator("live-table .live").evaluate("e => getComputedStyle(e).filter") == "grayscale(1)"
        await expect(line(page, "dev0/count").locator("td.age")).to_have_text(re.compile(r"^(stale, )?[2-9] s$"))
        await expect(line(page, "dev0/count").locator("td.value")).to_have_text(re.compile(r"^\d+$"))
    finally:
        plant.gateway.start()
    await page.get_by_role("status").get_by_text("Live").wait_for(timeout=30_000)
    await expect(line(page, "dev0/count").locator("td.age")).to_have_text("now", timeout=20_000)


async def test_all_about_one_tag(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/tags/dev0/count", cookies=plant.admin)
    now = page.locator("tag-now .value")
    await expect(now).to_have_text(re.compile(r"^\d+$"))
    before = await now.inner_text()
    await expect(now).not_to_have_text(before)
    facts = page.get_by_role("region", name="Where it comes from")
    await expect(facts.get_by_text("hr:0")).to_be_visible()
    await expect(page.get_by_text("uns/v1/acme/plant1/dev0/_values/main")).to_be_visible()
    await expect(page.get_by_role("link", name="Why isn't this tag in MQTT?")).to_be_visible()
    await expect(page.get_by_role("img", name=re.compile(r"Trend\. Least \d+, greatest \d+"))).to_be_visible()
    assert await page.locator("trend-plot canvas").count() == 1
    await page.get_by_text("Recent values as a table").click()
    await expect(page.get_by_role("region", name="Recent values, table").locator("tbody tr").first).to_be_visible()
    await page.get_by_role("button", name="1 h").click()
    await expect(page.get_by_role("button", name="1 h")).to_have_attribute("aria-pressed", "true")


async def test_a_tag_that_isnt_there_is_said_so(plant: Plant, browser: Chromium) -> None:
    browser.allow("404")
    page = await browser.open("/tags/dev0/nothing", cookies=plant.admin)
    await expect(page.get_by_text("There is no tag dev0/nothing.")).to_be_visible()


async def test_the_namespace_is_a_tree_by_keyboard(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/namespace", cookies=plant.admin)
    tree = page.get_by_role("tree", name="Namespace")
    await expect(tree.get_by_role("treeitem", name="dev0")).to_be_visible()
    await tree.get_by_role("treeitem").first.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "ArrowRight"):
        await page.keyboard.press(key)
    assert await page.evaluate("document.activeElement.dataset.path") == "acme/plant1/dev0/count"
    assert await page.evaluate("document.activeElement.getAttribute('aria-level')") == "4"
    await page.keyboard.press("Enter")
    leaf = page.get_by_role("region", name="Chosen tag")
    await expect(leaf.get_by_text("uns/v1/acme/plant1/dev0/_values/main").first).to_be_visible()
    await expect(leaf.locator("pre")).to_contain_text('"count"')
    seen = await leaf.locator("pre").inner_text()
    await expect(leaf.locator("pre")).not_to_have_text(seen)
    await leaf.get_by_role("button", name="Copy topic").click()
    assert await page.evaluate("navigator.clipboard.readText()") == "uns/v1/acme/plant1/dev0/_values/main"
    await tree.get_by_role("treeitem", selected=True).focus()
    await page.keyboard.press("ArrowLeft")
    assert await page.evaluate("document.activeElement.dataset.path") == "acme/plant1/dev0"
    await page.keyboard.press("ArrowLeft")
    await expect(tree.get_by_role("treeitem", name="count")).to_have_count(0)
    await page.keyboard.press("End")
    assert await page.evaluate("document.activeElement.dataset.path") == "acme/plant1/dev1"
    await page.keyboard.type("plant")
    assert await page.evaluate("document.activeElement.dataset.path") == "acme/plant1"


@pytest.mark.parametrize("path", ["/tags", "/tags/dev0/count", "/namespace?tag=dev0/count"])
async def test_it_suits_every_screen_and_reader(plant: Plant, browser: Chromium, path: str) -> None:
    ready = {"/tags": "live-table tbody a", "/tags/dev0/count": "trend-plot canvas"}.get(path, "#leaf pre")
    await accessible(browser, path, plant.admin, ready=ready)


async def test_on_a_phone_a_tag_is_a_card(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/tags", cookies=plant.admin, size=NARROW)
    row = line(page, "dev0/count")
    await expect(row.get_by_text("Good")).to_be_visible()
    box, value = await row.bounding_box(), await row.locator("td.value").bounding_box()
    assert box is not None
    assert value is not None
    assert box["height"] == 65
    assert value["x"] + value["width"] <= 360


async def test_a_gateway_without_tags_says_what_to_do(plant: Plant, tmp_path: Path) -> None:
    settle(tmp_path / "data")
    text = configuration(tmp_path / "data", [], plant.broker.port)
    with GatewayProcess(tmp_path, text) as gateway:
        await gateway.until(lambda status: status["sinks"], "running")
        process = PageProcess(tmp_path, tmp_path / "data" / "control.sock")
        cookies = process.sign_in()
        with process:
            async with chromium(process.url) as browser:
                page = await browser.open("/tags", cookies=cookies)
                await expect(page.get_by_text("No tags yet")).to_be_visible()
                await expect(page.get_by_role("link", name="Go to the devices")).to_be_visible()
                page = await browser.open("/namespace", cookies=cookies)
                await expect(page.get_by_text("No tags yet")).to_be_visible()
