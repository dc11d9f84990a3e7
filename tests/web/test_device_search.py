"""Searching for devices from the page: what is found comes at once, and fills in the form of who chooses it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import NARROW, Chromium, accessible, axe, picture
from tests.support.libmodbus_peer import LibmodbusPeer
from tests.support.opcua_server import OpcUaServer
from tests.support.pty_port import PtyPort
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


@pytest.fixture(scope="module")
def peer() -> Iterator[LibmodbusPeer]:
    with LibmodbusPeer(sizes=(8, 8, 20, 8)) as running:
        running.set_holding(0, [4711])
        yield running


async def look_for(page: Page, peer: LibmodbusPeer, units: str = "1-3") -> None:
    await page.get_by_text("Search for devices").click()
    await page.locator("[id='search.host']").fill("127.0.0.1")
    await page.locator("[id='search.units']").fill(units)
    await page.get_by_text("More about the search").click()
    await page.locator("[id='search.port']").fill(str(peer.port))
    await page.locator("[id='search.rate']").fill("1000")
    await page.get_by_role("button", name="Search", exact=True).click()


async def test_a_modbus_unit_that_was_found_fills_in_the_form(
    plant: Plant, browser: Chromium, peer: LibmodbusPeer
) -> None:
    page = await browser.open("/devices/add/modbus", cookies=plant.admin)
    await look_for(page, peer)
    await page.get_by_text("Done: ").wait_for()
    await page.get_by_role("button", name="Use this: unit 2").click()
    await expect(page.locator("[id='link.host']")).to_have_value("127.0.0.1")
    await expect(page.locator("[id='link.port']")).to_have_value(str(peer.port))
    await expect(page.locator("[id='device.unit']")).to_have_value("2")
    await expect(page.locator("[id='device.name']")).to_be_focused()
    tag = page.get_by_role("row").filter(has=page.get_by_label("Take hr/0", exact=True))
    await expect(tag.get_by_label("Address", exact=True)).to_have_value("hr:0")
    await page.get_by_role("button", name="Use this: unit 3").click()
    await expect(page.locator("[id='device.unit']")).to_have_value("3")
    assert await tag.count() == 1, "what was taken before is replaced"
    assert await axe(page) == []
    await picture(page, "device-search", of="device-search")


async def test_live_values_stand_beside_the_topics_before_anything_is_kept(
    plant: Plant, browser: Chromium, peer: LibmodbusPeer
) -> None:
    page = await browser.open("/devices/add/modbus", cookies=plant.admin)
    await look_for(page, peer, "1")
    await page.get_by_role("button", name="Use this: unit 1").click()
    tag = page.get_by_role("row").filter(has=page.get_by_label("Take hr/0", exact=True))
    await page.get_by_role("button", name="Live values").click()
    await expect(tag.get_by_text("4711", exact=True)).to_be_visible()
    await expect(tag.get_by_text("uns/v1/acme/plant1/unit1/_values/main")).to_be_visible()
    peer.set_holding(0, [4712])
    await expect(tag.get_by_text("4712", exact=True)).to_be_visible()
    await page.get_by_role("button", name="Live values").click()
    await expect(page.get_by_role("button", name="Live values")).to_have_attribute("aria-pressed", "false")
    peer.set_holding(0, [4711])


async def test_a_search_is_stopped(plant: Plant, browser: Chromium, peer: LibmodbusPeer) -> None:
    page = await browser.open("/devices/add/modbus", cookies=plant.admin)
    await page.get_by_text("Search for devices").click()
    await page.get_by_text("More about the search").click()
    await page.locator("[id='search.host']").fill("127.0.0.1")
    await page.locator("[id='search.port']").fill(str(peer.port))
    await page.locator("[id='search.units']").fill("1-200")
    await page.locator("[id='search.rate']").fill("1")
    await page.get_by_role("button", name="Search", exact=True).click()
    await page.get_by_text("of 200: unit").wait_for()
    await page.locator("device-search").get_by_role("button", name="Stop").click()
    await page.get_by_text("Stopped: ").wait_for()


async def test_why_a_search_finds_nothing_is_said(plant: Plant, browser: Chromium) -> None:
    browser.allow("409|422")
    page = await browser.open("/devices/add/modbus", cookies=plant.admin, size=NARROW)
    await page.get_by_text("Search for devices").click()
    await page.get_by_role("button", name="Search", exact=True).click()
    said = page.locator("device-search [data-part=said]")
    await said.get_by_text("host").first.wait_for()
    await page.locator("[id='search.units']").fill("many")
    await page.locator("[id='search.host']").fill("127.0.0.1")
    await page.get_by_role("button", name="Search", exact=True).click()
    await page.get_by_text("units 'many' can't be understood").wait_for()
    await page.locator("[id='search.units']").fill("1")
    await page.get_by_text("More about the search").click()
    await page.locator("[id='search.port']").fill("9")
    await page.get_by_role("button", name="Search", exact=True).click()
    await said.locator(".mend").wait_for()
    await page.get_by_text("nothing was found").wait_for()
    assert "127.0.0.1:9" in await said.inner_text()
    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0


async def test_an_opc_ua_server_is_found(plant: Plant, browser: Chromium) -> None:
    with OpcUaServer() as server:
        page = await browser.open("/devices/add/opcua", cookies=plant.admin)
        await page.locator("[id='search.hosts']").fill("127.0.0.1")
        await page.get_by_text("More about the search").click()
        await page.locator("[id='search.ports']").fill(f"{server.port}, 9")
        await page.get_by_role("button", name="Search", exact=True).click()
        await page.get_by_text("Done: ").wait_for()
        await page.get_by_role("button", name="Use this").click()
        await expect(page.locator("[id='link.url']")).to_have_value(f"opc.tcp://127.0.0.1:{server.port}")
        await page.get_by_role("button", name="Live values").click()
        tag = page.get_by_role("row").filter(has=page.get_by_label("Take server/time", exact=True))
        await expect(tag.get_by_text("T", exact=False).first).to_be_visible()


async def test_what_talks_on_a_serial_line_is_found(plant: Plant, browser: Chromium, tmp_path: Path) -> None:
    with PtyPort(tmp_path) as port:
        page = await browser.open("/devices/add/serial", cookies=plant.admin)
        await page.locator("[id='search.listen']").fill(port.device)
        await page.get_by_text("More about the search").click()
        await page.locator("[id='search.bauds']").fill("9600")
        await page.locator("[id='search.seconds']").fill("1")
        await page.get_by_role("button", name="Search", exact=True).click()
        await page.get_by_text("listening at 9600 bit/s").wait_for()
        for _ in range(20):
            port.send(b"S S     12.50 kg\r\n")
            await asyncio.sleep(0.02)
        heard = page.get_by_role("row").filter(has_text="12.50 kg")
        await heard.get_by_role("button", name="Use this").click()
        await expect(page.locator("[id='device.preset']")).to_have_value("sics")
        await expect(page.locator("[id='link.device']")).to_have_value(port.device)


async def test_the_wizard_is_accessible(plant: Plant, browser: Chromium) -> None:
    for driver in ("modbus", "ble"):
        await accessible(browser, f"/devices/add/{driver}", plant.admin, ready="device-setup")
