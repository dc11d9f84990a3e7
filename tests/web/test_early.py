"""Buttons that only a script answers can't be pressed before it is there."""

from __future__ import annotations

import asyncio
import re

import pytest
from playwright.async_api import Route, expect

from tests.support.browser import Chromium
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


@pytest.mark.parametrize(
    "path",
    [
        "/devices/add/modbus",
        "/devices/add/ble",
        "/delivery/add",
        "/diagnostics/trace",
        "/diagnostics/test",
        "/diagnostics/logs",
    ],
)
async def test_a_button_waits_for_its_script(plant: Plant, browser: Chromium, path: str) -> None:
    """The scripts of elements are held back, as a slow line does."""
    arrived = asyncio.Event()

    async def hold(route: Route) -> None:
        await arrived.wait()
        await route.continue_()

    profile = await browser.profile(plant.admin)
    page = await browser.open("/account", context=profile)
    await page.route(re.compile(r"/static/(?!app-|chunk-).*\.js$"), hold)
    await page.goto(browser.url + path, wait_until="domcontentloaded")
    early, pressable = page.locator("button[data-early]"), page.locator("button[data-early]:enabled")
    count = await early.count()
    assert count > 0
    assert await pressable.count() == 0
    arrived.set()
    await expect(pressable).to_have_count(count)
