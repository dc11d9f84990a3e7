"""Devices: the list, one device, tags from and for a spreadsheet, the library."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from openpyxl import load_workbook

from tests.support.browser import Chromium, accessible, picture
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


async def test_links_with_their_devices_and_one_device_with_its_values(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices", cookies=plant.admin)
    await page.get_by_role("row", name="dev0").get_by_text("Good").wait_for()
    await picture(page, "devices")
    await page.get_by_role("link", name="dev0").click()
    await page.get_by_role("heading", name="dev0").wait_for()
    row = page.get_by_role("region", name="Tags, table").get_by_role("row").nth(1)
    await row.get_by_text("Good").wait_for()
    assert "uns/v1/" in await row.inner_text()


async def test_the_library_is_searched_while_typing(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/templates", cookies=plant.admin)
    await page.get_by_role("link", name="Eastron SDM630").wait_for()
    await page.get_by_label("Search").press_sequentially("siemens drive")
    await page.get_by_role("link", name="Eastron SDM630").wait_for(state="detached")
    await page.get_by_role("link", name="Siemens SINAMICS V20").click()
    await page.get_by_text("A5E34559884").wait_for()
    await page.get_by_role("row", name="motor/speed").get_by_text("40025").wait_for()
    await picture(page, "template")


async def test_tags_go_out_as_a_workbook_and_come_back_with_a_dry_run(
    plant: Plant, browser: Chromium, tmp_path: Path
) -> None:
    page = await browser.open("/devices/named/dev0", cookies=plant.admin)
    await page.get_by_role("link", name="From a spreadsheet").click()
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Excel workbook").click()
    file = tmp_path / "tags.xlsx"
    await (await downloading.value).save_as(file)
    await page.get_by_label("File").set_input_files(file)
    await page.get_by_role("button", name="Try it").click()
    await page.get_by_text("says what the configuration says already: 5 tags unchanged").wait_for()

    book: Any = load_workbook(file)
    sheet = book["Tags"]
    header = [cell.value for cell in sheet[1]]
    sheet.cell(2, header.index("unit") + 1).value = "kWh"
    sheet.cell(3, header.index("scale") + 1).value = "0,1"
    changed = io.BytesIO()
    book.save(changed)
    await page.get_by_label("File").set_input_files(
        {"name": "tags.xlsx", "mimeType": "application/octet-stream", "buffer": changed.getvalue()}
    )
    await page.get_by_role("button", name="Try it").click()
    wrong = page.get_by_role("region", name="To mend, table")
    await wrong.get_by_role("row", name="3 scale").get_by_text("write 0.1").wait_for()
    await picture(page, "table-trial")


async def test_cells_are_pasted(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/named/dev0/table", cookies=plant.admin)
    await page.get_by_label("Or paste cells").fill("name\taddress\ttype\nfresh/one\thr:900\tuint16\n")
    await page.get_by_role("button", name="Try it").click()
    await page.get_by_role("row", name="fresh/one").wait_for()
    await page.get_by_role("button", name="Put it into the draft").wait_for()
    typed = await page.get_by_label("Or paste cells").input_value()
    assert typed.startswith("name\taddress"), "what was typed stays"


async def test_a_file_that_is_no_table_is_refused_in_one_sentence(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/named/dev0/table", cookies=plant.admin)
    await page.get_by_label("File").set_input_files(
        {"name": "tags.xlsx", "mimeType": "application/octet-stream", "buffer": b"PK\x03\x04 no"}
    )
    await page.get_by_role("button", name="Try it").click()
    await page.get_by_text("isn't an Excel workbook").wait_for()


@pytest.mark.parametrize(
    "path",
    [
        "/devices",
        "/devices/named/dev0",
        "/devices/named/dev0/table",
        "/devices/named/dev0/edit",
        "/devices/templates",
        "/devices/templates/modbus/abb-b23",
        "/devices/add",
        "/devices/add/modbus",
        "/devices/add/opcua",
    ],
)
async def test_every_page_suits_every_screen_and_reader(plant: Plant, browser: Chromium, path: str) -> None:
    await accessible(browser, path, plant.admin)


async def test_settings_are_changed_in_the_draft_and_only_what_differs(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/named/dev1/edit", cookies=plant.admin)
    assert await page.locator("[id='link.timeout_ms']").input_value() == "500"
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.get_by_text("Nothing was changed").wait_for()
    await page.locator("[id='device.unit']").fill("7")
    await page.locator("[id='link.port']").fill("x")
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.get_by_text("Port must be a whole number").wait_for()
    assert await page.locator("[id='device.unit']").input_value() == "7", "what was typed stays"
    await page.locator("[id='link.port']").fill(str(plant.field.slaves[1].port))
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.wait_for_url("**/changes")
    difference = plant.gateway.client.get("/v1/config/draft/diff")
    assert [line for line in difference["patch"].splitlines() if line[:1] in "+-" and line[1:2] not in "+-"] == [
        "+unit = 7"
    ]
    plant.gateway.client.call("DELETE", "/v1/config/draft")


async def test_a_device_is_taken_out_with_its_link(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/named/dev1/edit", cookies=plant.admin)
    await page.get_by_role("button", name="Take it out", exact=True).click()
    await page.get_by_role("button", name="Take it out of the draft").click()
    await page.wait_for_url("**/changes")
    difference = plant.gateway.client.get("/v1/config/draft/diff")["patch"].splitlines()
    gone = [line[1:] for line in difference if line.startswith("-") and not line.startswith("---")]
    assert not [line for line in difference if line.startswith("+") and not line.startswith("+++")]
    assert {'name = "dev1"', 'name = "link1"'} <= {*gone}
    plant.gateway.client.call("DELETE", "/v1/config/draft")
