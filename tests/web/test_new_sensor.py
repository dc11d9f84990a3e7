"""A Bluetooth sensor by the page alone: found by the radio that ships, read live, and put into the draft."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.support.bluetoothd import Bluetoothd, system_bus
from tests.support.browser import chromium, picture
from tests.support.configuration import configuration
from tests.support.gateway import GatewayProcess
from tests.support.page import PageProcess
from tests.support.people import settle

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

SENSOR, OTHER = "CB:B8:33:4C:88:4F", "CB:B8:33:4C:88:50"
RUUVI = bytes.fromhex("0512FC5394C37C0004FFFC040CAC364200CDCBB8334C884F")
_PERIOD_S = 0.1


@contextlib.asynccontextmanager
async def sensors() -> AsyncIterator[None]:
    """A Ruuvi tag at 24.3 °C, and something nobody knows; both speak whenever they are listened for."""
    daemon = Bluetoothd()
    await daemon.start()

    async def speak() -> None:
        while True:
            daemon.advertise(SENSOR, 0x0499, RUUVI, -61)
            daemon.advertise(OTHER, 0x1234, b"\1\2", -88)
            await asyncio.sleep(_PERIOD_S)

    speaking = asyncio.create_task(speak())
    try:
        yield
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
        await daemon.stop()


async def test_a_sensor_is_found_read_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settle(tmp_path / "data")
    text = configuration(tmp_path / "data", [], 1)
    async with system_bus(tmp_path) as address:
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", address)
        with GatewayProcess(tmp_path, text) as gateway:
            await gateway.until(lambda _: True, "an answer")
            page_process = PageProcess(tmp_path, gateway.socket)
            admin = page_process.sign_in()
            with page_process:
                async with sensors(), chromium(page_process.url) as browser:
                    page = await browser.open("/devices/add/ble", cookies=admin)
                    await page.locator("[id='search.seconds']").fill("2")
                    await page.get_by_role("button", name="Search", exact=True).click()
                    found = page.get_by_role("row").filter(has_text=SENSOR)
                    await expect(found).to_contain_text("-61")
                    await expect(found).to_contain_text("ruuvi")
                    await expect(found).to_contain_text("temperature 24.3")
                    await expect(page.get_by_role("row").filter(has_text=OTHER)).to_contain_text("-88")
                    await found.get_by_role("button", name="Use this").click()
                    await expect(page.locator("[id='device.address']")).to_have_value(SENSOR)
                    await expect(page.locator("[id='device.format']")).to_have_value("ruuvi")
                    await page.locator("[id='device.name']").fill("cellar")
                    tag = page.get_by_role("row").filter(has=page.get_by_label("Take temperature", exact=True))
                    await expect(tag.get_by_label("Field", exact=True)).to_have_value("temperature")
                    await page.get_by_role("button", name="Live values").click()
                    await expect(tag.get_by_text("24.3", exact=True)).to_be_visible()
                    await expect(tag.get_by_text("uns/v1/acme/plant1/cellar/_values/main")).to_be_visible()
                    await picture(page, "device-search-ble", of="device-search")
                    await page.get_by_role("button", name="Put it into the draft").click()
                    await page.wait_for_url("**/changes")
                patch = gateway.client.get("/v1/config/draft/diff")["patch"]
                assert f'address = "{SENSOR}"' in patch
                assert 'field = "temperature"' in patch
                assert gateway.client.get("/v1/config/draft/validate")["valid"]
