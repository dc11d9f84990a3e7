"""Tags and groups edited in the page: as in a spreadsheet, tried while typing, kept by the draft alone."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from tests.support.browser import Chromium, accessible, axe, picture
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

PLACE = "/devices/named/dev0/tags"
MANY = 1000
USABLE_S = 3.0
"""Within this a move, or an edit, of a sheet of 1,000 rows is done, however busy the machine is."""


@pytest.fixture(autouse=True)
def draft(plant: Plant) -> Iterator[None]:
    """A device with tags of its own, in the draft, for each test anew."""
    client = plant.gateway.client
    tags = [
        {"name": "speed", "address": "hr:1", "type": "uint16", "unit": "1/min"},
        {"name": "level", "address": "hr:2", "type": "uint16", "scale": 0.1, "unit": "%"},
        {"name": "energy", "address": "hr:4", "type": "uint32"},
    ]
    table = {
        "name": "press",
        "link": "link0",
        "unit": 3,
        "group": [
            {"name": "fast", "interval_ms": 100, "tag": tags[:2]},
            {"name": "slow", "interval_ms": 5000, "tag": tags[2:]},
        ],
    }
    client.call("PATCH", "/v1/config/draft", body={"edits": [{"op": "add", "path": ["device"], "value": table}]})
    yield
    client.call("DELETE", "/v1/config/draft")


def kept(plant: Plant) -> dict[str, Any]:
    table: dict[str, Any] = plant.gateway.client.get("/v1/tables/device/press")["table"]
    return table


async def opened(browser: Chromium, plant: Plant, **options: Any) -> Page:
    browser.allow("404")  # the section Changes may not be there
    page = await browser.open("/devices/named/press/tags", cookies=plant.admin, **options)
    await page.get_by_role("grid").wait_for()
    return page


def cell(page: Page, row: int, column: int) -> Locator:
    """Counted from 0. Columns: group, name, address, type, scale, offset, unit, …"""
    return page.get_by_role("grid").locator("tbody tr").nth(row).get_by_role("gridcell").nth(column)


async def test_a_cell_is_edited_by_the_keyboard_and_goes_into_the_draft(plant: Plant, browser: Chromium) -> None:
    page = await opened(browser, plant)
    await cell(page, 0, 6).click()
    await page.keyboard.type("rpm")
    await page.keyboard.press("Escape")
    await expect(cell(page, 0, 6)).to_have_text("1/min")
    await page.keyboard.press("ArrowDown")
    await expect(cell(page, 1, 6)).to_be_focused()
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.type("0.5")
    await page.keyboard.press("Tab")
    await expect(cell(page, 1, 5)).to_be_focused()
    await expect(cell(page, 1, 4)).to_have_text("0.5")
    await page.keyboard.press("Home")
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("Enter")
    await page.keyboard.type("height")
    await page.keyboard.press("Enter")
    await expect(cell(page, 2, 1)).to_be_focused()
    await page.get_by_text("0 new, 1 changed, 0 taken out, 2 unchanged").wait_for()
    await picture(page, "tag-sheet", full=True)
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.wait_for_url("**/changes")
    level = kept(plant)["group"][0]["tag"][1]
    assert level == {"name": "height", "address": "hr:2", "type": "uint16", "scale": 0.5, "unit": "%"}


async def test_what_is_wrong_stands_at_its_cell(plant: Plant, browser: Chromium) -> None:
    page = await opened(browser, plant)
    await cell(page, 1, 2).click()
    await page.keyboard.type("nonsense")
    await page.keyboard.press("Enter")
    wrong = page.locator("td[aria-invalid=true]")
    await expect(wrong).to_have_text("nonsense")
    assert await wrong.get_attribute("title")
    await cell(page, 0, 0).click()
    await page.get_by_role("list", name="To mend").get_by_role("button", name="Row 2").click()
    await expect(wrong).to_be_focused()
    assert await axe(page) == []
    before = kept(plant)
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.get_by_text("Nothing was put into the draft").wait_for()
    assert kept(plant) == before
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Undo").click()
    await expect(wrong).to_have_count(0)


async def test_several_rows_are_set_and_taken_out_at_once(plant: Plant, browser: Chromium) -> None:
    page = await opened(browser, plant)
    await page.get_by_role("checkbox", name="Row 1", exact=True).check()
    await page.get_by_role("checkbox", name="Row 3", exact=True).check()
    await expect(page.get_by_text("2 rows")).to_be_visible()
    bulk = page.get_by_role("group", name="All chosen rows at once")
    await bulk.get_by_label("set", exact=True).select_option("unit")
    await bulk.get_by_label("to", exact=True).fill("V")
    await bulk.get_by_role("button", name="Set", exact=True).click()
    assert [await cell(page, row, 6).inner_text() for row in range(3)] == ["V", "%", "V"]
    await bulk.get_by_label("set", exact=True).select_option("group")
    await bulk.get_by_label("to", exact=True).fill("slow")
    await bulk.get_by_role("button", name="Set", exact=True).click()
    await page.get_by_role("checkbox", name="Row 1", exact=True).uncheck()
    await page.get_by_role("checkbox", name="Row 3", exact=True).uncheck()
    await page.get_by_role("checkbox", name="Row 2", exact=True).check()
    await bulk.get_by_role("button", name="Take out").click()
    await page.get_by_text("0 new, 2 changed, 1 taken out").wait_for()
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.wait_for_url("**/changes")
    fast, slow = kept(plant)["group"]
    assert fast.get("tag", []) == []
    assert {tag["name"]: tag["unit"] for tag in slow["tag"]} == {"speed": "V", "energy": "V"}


async def test_cells_out_of_a_spreadsheet_are_pasted(plant: Plant, browser: Chromium) -> None:
    page = await opened(browser, plant)
    await page.evaluate("navigator.clipboard.writeText('a\\thr:10\\tint16\\nb\\thr:11\\tint16\\n')")
    await cell(page, 2, 1).click()
    await page.keyboard.press("Control+V")
    await expect(cell(page, 3, 1)).to_have_text("b")
    await page.keyboard.press("Control+Z")
    await expect(cell(page, 2, 1)).to_have_text("energy")
    header = "name\\tunit\\taddress\\ttype\\nspeed\\tm/s\\thr:1\\tuint16\\nnew\\tbar\\thr:20\\tfloat32\\n"
    await page.evaluate(f"navigator.clipboard.writeText('{header}')")
    await page.keyboard.press("Control+V")
    await expect(cell(page, 0, 6)).to_have_text("m/s")
    await expect(cell(page, 3, 2)).to_have_text("hr:20")
    await page.get_by_text("1 new, 1 changed, 0 taken out, 2 unchanged").wait_for()
    await page.keyboard.press("Control+A")
    await page.keyboard.press("Control+C")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert copied.splitlines()[0].split("\t")[:4] == ["fast", "speed", "hr:1", "uint16"]


async def test_groups_are_made_changed_and_taken_out(plant: Plant, browser: Chromium) -> None:
    page = await opened(browser, plant)
    await page.get_by_label("Interval of fast").fill("250")
    await page.get_by_role("button", name="Take out slow and its 1 tags").click()
    await page.get_by_role("button", name="Add a group").click()
    await page.keyboard.type("daily")
    await page.get_by_label("Interval of the new group").fill("soon")
    await page.get_by_text("soon is no number of milliseconds").wait_for()
    await page.get_by_label("Interval of the new group").fill("60000")
    await page.get_by_role("button", name="Add a tag").click()
    for text in ("count", "hr:9", "uint16"):
        await page.keyboard.type(text)
        await page.keyboard.press("Tab")
    await page.keyboard.press("Home")
    await page.keyboard.type("daily")
    await page.keyboard.press("Enter")
    await page.get_by_text("1 new, 0 changed, 1 taken out, 2 unchanged").wait_for()
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.wait_for_url("**/changes")
    assert [(group["name"], group["interval_ms"]) for group in kept(plant)["group"]] == [
        ("fast", 250),
        ("daily", 60000),
    ]
    assert kept(plant)["group"][1]["tag"] == [{"name": "count", "address": "hr:9", "type": "uint16"}]


async def test_what_somebody_else_added_meanwhile_is_not_lost(plant: Plant, browser: Chromium) -> None:
    page = await opened(browser, plant)
    tag = {"name": "theirs", "address": "hr:7", "type": "uint16"}
    edit = {"op": "add", "path": ["device", "press", "group", "fast", "tag"], "value": tag}
    plant.gateway.client.call("PATCH", "/v1/config/draft", body={"edits": [edit]})
    await cell(page, 0, 6).click()
    await page.keyboard.type("rpm")
    await page.keyboard.press("Enter")
    await page.get_by_text("Somebody else has added theirs meanwhile").wait_for()
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.get_by_text("Nothing was put into the draft").wait_for()
    assert kept(plant)["group"][0]["tag"][-1] == tag


async def test_a_thousand_rows_are_usable(plant: Plant, browser: Chromium) -> None:
    tags = [{"name": f"t{number}", "address": f"hr:{number}", "type": "uint16"} for number in range(10, 10 + MANY)]
    edit = {"op": "add", "path": ["device", "press", "group", "slow", "tag"], "value": tags}
    plant.gateway.client.call("PATCH", "/v1/config/draft", body={"edits": [edit]})
    page = await opened(browser, plant)
    await expect(page.locator("tbody tr", has_text="t1009")).to_be_attached()
    await cell(page, 0, 6).click()
    begun = time.monotonic()
    await page.keyboard.press("Control+End")
    await expect(cell(page, 2 + MANY, 11)).to_be_focused()
    await page.keyboard.press("ArrowLeft")
    await page.keyboard.type("1")
    await page.keyboard.press("Enter")
    await expect(cell(page, 2 + MANY, 10)).to_have_text("1")
    assert time.monotonic() - begun < USABLE_S
    await page.get_by_label("Show only rows with").fill("t100")
    await expect(page.locator("tbody:has(td) tr:visible").filter(has=page.get_by_role("gridcell"))).to_have_count(11)


async def test_it_is_accessible(plant: Plant, browser: Chromium) -> None:
    await accessible(browser, "/devices/named/press/tags", plant.admin, ready="[role=grid] td")
    await accessible(browser, PLACE, plant.admin, ready="[role=grid] td")
