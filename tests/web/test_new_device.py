"""From nothing to a new device's value at the broker, by the page alone."""

from __future__ import annotations

import time

import pytest

from tests.support.browser import Chromium, picture
from tests.support.libmodbus_peer import LibmodbusPeer
from tests.support.subscriber import Subscriber
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

WHOLE_S = 180.0


async def test_a_new_devices_value_is_at_the_broker_within_three_minutes(plant: Plant, browser: Chromium) -> None:
    browser.allow("404")  # the section Changes may not be there
    begun = time.monotonic()
    with LibmodbusPeer() as peer, Subscriber(plant.broker.port, "uns/v1/acme/plant1/press1/#") as subscriber:
        peer.set_holding(100, [0x7AE1, 0x41F4])  # 30.56, low word first
        page = await browser.open("/", cookies=plant.admin)
        await page.get_by_role("link", name="Devices").first.click()
        await page.get_by_role("link", name="Add a device").first.click()
        await page.get_by_role("link", name="Modbus").click()
        await page.locator("[id='link.name']").fill("press")
        await page.locator("[id='link.host']").fill("127.0.0.1")
        await page.locator("[id='link.port']").fill(str(peer.port))
        await page.locator("[id='device.name']").fill("press1")
        await page.get_by_text("What stands at an address?").click()
        await page.locator("#place").fill("hr:100")
        await page.get_by_role("button", name="Show every way").click()
        await picture(page, "decode-matrix", full=True)
        await page.get_by_role("button", name="Take hr:100 as float32 CDAB").click()
        await page.keyboard.type("air/humidity")
        await page.get_by_role("button", name="Test the connection").click()
        await page.locator(".ladder li[data-rung=read][data-state=passed]").wait_for()
        await picture(page, "device-setup", full=True)
        await page.get_by_role("button", name="Put it into the draft").click()
        await page.wait_for_url("**/changes")
        # Applied by the API: what the section Changes does.
        await page.evaluate(
            """async () => {
              const token = document.querySelector('meta[name="csrf-token"]').content;
              const answer = await fetch("/api/v1/config/apply", {
                method: "POST",
                headers: {"content-type": "application/json", "x-csrf-token": token},
                body: JSON.stringify({reason: "a new press", confirm_within_s: 0}),
              });
              if (!answer.ok) throw new Error(await answer.text());
            }"""
        )
        await subscriber.until(lambda messages: any(b"30.55999" in each.payload for each in messages), "the value")
    assert time.monotonic() - begun < WHOLE_S
