"""Adding a device by the page alone: form, test ladder, what it has, names."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import NARROW, Chromium
from tests.support.libmodbus_peer import LibmodbusPeer
from tests.support.opcua_server import OpcUaServer
from tests.support.pty_port import PtyPort
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


async def filled(page: Page, plant: Plant) -> None:
    await page.locator("[id='link.name']").fill("press")
    await page.locator("[id='link.host']").fill("127.0.0.1")
    await page.locator("[id='link.port']").fill(str(plant.field.slaves[0].port))
    await page.locator("[id='device.name']").fill("press1")


async def test_a_device_is_tested_before_it_is_kept(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/add", cookies=plant.admin)
    await page.get_by_role("link", name="Modbus").click()
    await filled(page, plant)
    await page.get_by_role("button", name="Add a tag by its address").click()
    await page.get_by_label("Name", exact=True).last.fill("count")
    await page.get_by_label("Address", exact=True).last.fill("hr:0")
    await page.get_by_label("Type", exact=True).last.fill("uint64")
    await page.get_by_role("button", name="Test the connection").click()
    ladder = page.get_by_role("list", name="Test of the connection")
    await ladder.locator("li[data-rung=read][data-state=passed]").wait_for()
    await page.get_by_text("uns/v1/acme/plant1/press1/_values/main").wait_for()
    assert await page.locator("[id='link.host']").input_value() == "127.0.0.1", "what was typed stays"


async def test_a_rung_that_fails_says_what_to_do(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/add/modbus", cookies=plant.admin)
    await filled(page, plant)
    await page.locator("[id='link.port']").fill("9")
    await page.get_by_role("button", name="Test the connection").click()
    failed = page.locator(".ladder li[data-state=failed]")
    await failed.wait_for()
    assert await failed.locator(".mend").inner_text()


async def test_what_is_wrong_is_said_at_its_field(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/add/modbus", cookies=plant.admin, size=NARROW)
    await filled(page, plant)
    await page.locator("[id='link.port']").fill("many")
    await page.get_by_role("button", name="Test the connection").click()
    await page.get_by_text("Port must be a whole number").wait_for()
    assert await page.evaluate("document.activeElement.id") == "link.port"
    browser.allow("409|422")
    await page.locator("[id='link.port']").fill("502")
    await page.locator("[id='link.name']").fill("no name")
    await page.get_by_role("button", name="Test the connection").click()
    await page.get_by_text("can't stand in a topic level").wait_for()


async def test_a_template_fills_in_what_such_devices_need(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/add/modbus?template=vaisala-hmp", cookies=plant.admin)
    await page.get_by_text("7 tags come with the template").wait_for()
    assert await page.locator("[id='device.unit']").input_value() == "240"
    assert await page.locator("[id='device.word_order']").input_value() == "CDAB"
    assert await page.locator("[id='link.stop_bits']").input_value() == "2"
    assert not await page.get_by_role("button", name="Look what it has").is_visible()


async def test_what_was_found_is_picked_and_named_by_a_pattern(plant: Plant, browser: Chromium) -> None:
    with LibmodbusPeer(sizes=(8, 8, 20, 8)) as peer:
        page = await browser.open("/devices/add/modbus", cookies=plant.admin)
        await filled(page, plant)
        await page.locator("[id='link.port']").fill(str(peer.port))
        await page.get_by_role("button", name="Look what it has").click()
        await page.get_by_role("status").get_by_text("4 found").wait_for()
        await page.get_by_label("All", exact=True).check()
        await page.get_by_label("Names by a pattern").fill("table/{n:3}")
        await expect(page.get_by_label("Name", exact=True).last).to_have_value("table/004")
        browser.allow("422")
        await page.get_by_label("Names by a pattern").fill("{nam}")
        await page.get_by_text("has the placeholder {nam}").wait_for()


async def test_what_stands_at_an_address_is_taken_by_a_click(plant: Plant, browser: Chromium) -> None:
    with LibmodbusPeer() as peer:
        peer.set_holding(100, [0x7AE1, 0x41F4])  # 30.56, low word first
        page = await browser.open("/devices/add/modbus", cookies=plant.admin)
        await filled(page, plant)
        await page.locator("[id='link.port']").fill(str(peer.port))
        await page.get_by_text("What stands at an address?").click()
        await page.locator("#place").fill("hr:100")
        await page.get_by_role("button", name="Show every way").click()
        take = page.get_by_role("button", name="Take hr:100 as float32 CDAB")
        assert "30.55999" in await page.get_by_role("row").filter(has=take).inner_text()
        await take.click()
        await page.keyboard.type("humidity")
        await page.get_by_role("button", name="Test the connection").click()
        await page.locator(".ladder li[data-rung=read][data-state=passed]").wait_for()


async def test_only_what_the_transport_needs_is_asked_for(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/devices/add/modbus", cookies=plant.admin)
    await page.locator("[id='link.host']").wait_for()
    assert not await page.locator("[id='link.baud']").is_visible()
    await page.locator("[id='link.transport']").select_option("rtu")
    await page.locator("[id='link.baud']").wait_for()
    assert not await page.locator("[id='link.host']").is_visible()


async def test_an_opc_ua_server_is_browsed_and_its_nodes_are_tested(plant: Plant, browser: Chromium) -> None:
    with OpcUaServer() as server:
        page = await browser.open("/devices/add", cookies=plant.admin)
        await page.get_by_role("link", name="OPC UA").click()
        await page.locator("[id='link.name']").fill("line")
        await page.locator("[id='link.url']").fill(server.url)
        await page.locator("[id='link.security_policy']").select_option("None")
        await page.locator("[id='device.name']").fill("filler")
        await page.get_by_role("button", name="Look what it has").click()
        speed = page.get_by_role("row").filter(has=page.get_by_label("Take Line/Speed", exact=True))
        await speed.get_by_role("checkbox").check()
        await page.get_by_label("Names by a pattern").fill("{name|lower}")
        await expect(speed.get_by_label("Name", exact=True)).to_have_value("speed")
        await page.get_by_role("button", name="Test the connection").click()
        await page.locator(".ladder li[data-rung=read][data-state=passed]").wait_for()
        await expect(speed.get_by_text("1450")).to_be_visible()
        await page.get_by_role("button", name="Put it into the draft").click()
        await page.wait_for_url("**/changes")
    added = plant.gateway.client.get("/v1/config/draft/diff")["patch"]
    plant.gateway.client.call("DELETE", "/v1/config/draft")
    assert '+name = "speed"' in added.replace("    ", "").replace("  ", "")


async def test_a_scale_that_only_answers_has_to_be_asked(plant: Plant, browser: Chromium, tmp_path: Path) -> None:
    with PtyPort(tmp_path) as port:
        port.answer = lambda data: port.send(b"TA A      12.50 kg\r\n") if data.startswith(b"TA") else None
        page = await browser.open("/devices/add", cookies=plant.admin)
        await page.get_by_role("link", name="Serial instruments").click()
        await page.locator("[id='link.name']").fill("bench")
        await page.locator("[id='link.device']").fill(port.device)
        await page.locator("[id='device.name']").fill("scale1")
        await page.locator("[id='device.preset']").fill("sics")
        await page.get_by_role("button", name="Look what it has").click()
        tare = page.get_by_role("row").filter(has=page.get_by_label("Take tare/tare", exact=True))
        await tare.get_by_role("checkbox").check()
        browser.allow("409")
        await page.get_by_role("button", name="Test the connection").click()
        await page.get_by_text("comes on request only").wait_for()
        assert "mode" in await page.locator("[data-part=said] .mend").inner_text()
        await page.get_by_label("How values come").select_option("poll")
        await page.get_by_role("button", name="Test the connection").click()
        await page.locator(".ladder li[data-rung=read][data-state=passed]").wait_for()
        await expect(tare.get_by_text("12.5", exact=True)).to_be_visible()
