"""The first ten minutes of somebody who has never seen the page, by the page alone: from a claim code to a value that
an independent subscriber gets."""

from __future__ import annotations

import asyncio
import logging
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Locator, Page

from tests.support.browser import Chromium, axe, chromium, picture
from tests.support.gateway import GatewayProcess
from tests.support.libmodbus_peer import LibmodbusPeer
from tests.support.mosquitto import Mosquitto, find_mosquitto
from tests.support.page import PageProcess
from tests.support.people import PASSWORD
from tests.support.subscriber import Subscriber
from tests.web.conftest import Plant, apply_and_confirm

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

log = logging.getLogger(__name__)

WHOLE_S = 180.0
"""A script has no thoughts; what is left of ten minutes is for reading."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """A gateway as it is unpacked: no configuration, no users. Beside it a broker that it doesn't know yet."""

    gateway: GatewayProcess
    broker: Mosquitto
    page: PageProcess

    @property
    def code(self) -> str:
        return (self.gateway.directory / "data" / "claim-code").read_text("ascii").strip()


class Laps:
    """What every step took: shown by ``pytest -o log_cli_level=INFO``, judged as a whole."""

    def __init__(self) -> None:
        self._begun = self._last = time.monotonic()

    def lap(self, step: str) -> None:
        now = time.monotonic()
        log.info("%.1f s: %s", now - self._last, step)
        self._last = now

    @property
    def whole_s(self) -> float:
        return time.monotonic() - self._begun


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Fresh]:
    (tmp_path / "data").mkdir()
    environment = {"STATE_DIRECTORY": str(tmp_path / "data")}
    with Mosquitto(tmp_path) as broker, GatewayProcess(tmp_path, None, "--unattended", **environment) as gateway:
        gateway.wait_ready()
        with PageProcess(tmp_path, gateway.socket) as page:
            yield Fresh(gateway, broker, page)


@pytest.fixture
async def visitor(fresh: Fresh) -> AsyncIterator[Chromium]:
    async with chromium(fresh.page.url) as browser:
        yield browser


async def test_from_an_empty_gateway_to_the_first_message(fresh: Fresh, visitor: Chromium) -> None:
    laps = Laps()
    with LibmodbusPeer() as peer, Subscriber(fresh.broker.port, "uns/v1/acme/plant1/press1/#") as subscriber:
        peer.set_holding(100, [0x7AE1, 0x41F4])  # 30.56, low word first
        page = await visitor.open("/")
        await page.get_by_role("heading", name="Claim this gateway").wait_for()
        await _claimed(page, fresh.code.lower().replace("-", " "))
        await page.get_by_role("heading", name="First steps").wait_for()
        assert not await axe(page)
        await picture(page, "first-steps")
        laps.lap("claimed")

        await page.get_by_role("link", name="Say where").click()
        await page.get_by_label("Enterprise").fill("acme")
        await page.get_by_label("Site", exact=True).fill("plant1")
        await page.get_by_role("button", name="Put it into the draft").click()
        await _step(page, "Say where it stands").get_by_text("(done)").wait_for()
        laps.lap("its place")

        await _step(page, "Add a device").get_by_role("link").click()
        await _modbus(page, peer.port)
        await page.get_by_role("button", name="Put it into the draft").click()
        await page.get_by_text("device press1 added").wait_for()
        laps.lap("device tested, its tag found, drafted")

        await _section(page, "Overview")
        await _step(page, "Add a device").get_by_text("In the draft: press1.").wait_for()
        await _step(page, "Name a broker").get_by_role("link").click()
        await page.locator("[id='sink.name']").fill("plant")
        await page.locator("[id='sink.host']").fill("127.0.0.1")
        await page.locator("[id='sink.port']").fill(str(fresh.broker.port))
        await page.get_by_role("button", name="Test the broker").click()
        ladder = page.get_by_role("list", name="Test of the broker")
        await ladder.locator("li[data-rung=return][data-state=passed]").wait_for()
        await page.get_by_role("button", name="Put it into the draft").click()
        await page.get_by_text("sink plant added").wait_for()
        laps.lap("broker tested, drafted")

        await _section(page, "Overview")
        await page.get_by_role("link", name="Look at it and apply it").click()
        await page.get_by_role("button", name="Try it on the wire").click()
        await page.get_by_role("region", name="Values of press1, table").get_by_text("30.55999").wait_for()
        await picture(page, "changes", of="#draft")
        await apply_and_confirm(page, "the first device", seen="confirm")
        laps.lap("tried, applied, confirmed")

        await _section(page, "Overview")
        await page.get_by_text("First message delivered").wait_for()
        assert not await axe(page)
        await picture(page, "first-message")
        await subscriber.until(lambda messages: any(b"30.55999" in each.payload for each in messages), "the value")
        await page.get_by_role("button", name="Don't show this again").click()
        await page.get_by_role("region", name="Delivery, table").get_by_text("Connected").wait_for()
        assert not await page.get_by_text("First message delivered").is_visible()
        laps.lap("first message delivered")
    assert laps.whole_s < WHOLE_S


@pytest.mark.skipif(find_mosquitto() is None, reason="mosquitto isn't installed")
async def test_in_the_demo_a_second_way_to_a_tank_is_at_the_broker_within_three_minutes() -> None:
    laps = Laps()
    command = [sys.executable, "-m", "gateway", "demo", "--plain"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as demo:
        try:
            url, code, port = await asyncio.to_thread(_invitation, demo)
            laps.lap("the demo says where its page is")
            with Subscriber(port, "uns/v1/tidewater/bottling/tank9/#") as subscriber:
                async with chromium(url.rstrip("/")) as browser:
                    page = await browser.open("/")
                    await _claimed(page, code)
                    await page.get_by_role("region", name="Devices, table").get_by_role("row", name="tank1").wait_for()
                    await _section(page, "Devices")
                    row = page.get_by_role("row").filter(has=page.get_by_role("link", name="tank1", exact=True))
                    far_end = re.search(r"127\.0\.0\.1:(\d+)", await row.inner_text())
                    assert far_end is not None, "the list says where a device is"
                    laps.lap("claimed, and found where tank1 is")
                    await page.get_by_role("link", name="Add a device").first.click()
                    await page.get_by_role("link", name="Modbus").click()
                    await page.locator("[id='link.host']").fill("127.0.0.1")
                    await page.locator("[id='link.port']").fill(far_end[1])
                    await page.locator("[id='device.name']").fill("tank9")
                    await page.get_by_role("button", name="Look what it has").click()
                    await page.get_by_role("button", name="What stands at ir:0?").click()
                    await page.get_by_role("button", name="Take ir:0 as float32 ABCD").click()
                    await page.keyboard.type("level/percent")
                    await page.get_by_role("button", name="Test the connection").click()
                    await page.locator(".ladder li[data-rung=read][data-state=passed]").wait_for()
                    await page.get_by_role("button", name="Put it into the draft").click()
                    laps.lap("looked at, decoded, tested")
                    await apply_and_confirm(page, "a second way to the tank")
                    laps.lap("applied and confirmed")
                    await subscriber.until(
                        lambda messages: any("level" in each.topic for each in messages), "the value"
                    )
                    await page.goto(f"{browser.url}/tags/tank9/level/percent")
                    await page.get_by_text("Good", exact=True).first.wait_for()
                    laps.lap("its value is at the broker and on the page")
                    await _section(page, "Overview")
                    await page.get_by_role("row", name="tank9").wait_for()
                    await picture(page, "overview")
        finally:
            demo.send_signal(signal.SIGTERM)
            said = await asyncio.to_thread(demo.communicate)
    assert demo.returncode == 0, said[0]
    assert laps.whole_s < WHOLE_S


def _invitation(demo: subprocess.Popen[str]) -> tuple[str, str, int]:
    """(the page's address, the claim code, the broker's port), as the demo says them."""
    assert demo.stdout is not None
    url, code = "", ""
    for line in demo.stdout:
        if page := re.match(r"Page (\S+) claim code (\S+)", line):
            url, code = page[1], page[2]
        if broker := re.match(r"MQTT mosquitto_sub -p (\d+)", line):
            return url, code, int(broker[1])
    raise AssertionError("the demo ended before it said where its page is")


async def test_a_new_devices_value_is_at_the_broker_by_keyboard_alone(plant: Plant, browser: Chromium) -> None:
    laps = Laps()
    with LibmodbusPeer() as peer, Subscriber(plant.broker.port, "uns/v1/acme/plant1/press2/#") as subscriber:
        peer.set_holding(100, [0x7AE1, 0x41F4])
        page = await browser.open("/")
        await _type(page, ("Name", "ada"), ("Password", PASSWORD))
        await page.keyboard.press("Enter")
        await page.get_by_role("heading", name="gw1").wait_for()
        for link, heading in (
            ("Devices", "Devices"),
            ("Add a device", "Add a device"),
            ("Modbus", "Add a device: Modbus"),
        ):
            await _press(page, link)
            await page.get_by_role("heading", name=heading, exact=True, level=1).wait_for()
        await _type(page, ("Host", "127.0.0.1"), ("Port", str(peer.port)), ("Name", "press2"))
        await _press(page, "Test the connection")
        await page.locator(".ladder li[data-rung=identity][data-state=passed]").wait_for()
        await _press(page, "What stands at an address?")
        await _type(page, ("Address", "hr:100"))
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Take hr:100 as float32 CDAB").wait_for()
        await _press(page, "Take hr:100 as float32 CDAB")
        await page.keyboard.type("air/humidity")
        await page.keyboard.press("Enter")
        await page.get_by_text("device press2 added").wait_for()
        await _press(page, "Apply")
        await page.keyboard.type("a second press")
        await page.keyboard.press("Enter")
        await page.get_by_text("Unconfirmed: revision").wait_for()
        await _press(page, "Confirm")
        await page.get_by_text("is confirmed by ada").wait_for()
        await subscriber.until(lambda messages: any(b"30.55999" in each.payload for each in messages), "the value")
        laps.lap("a new device's value, by keyboard alone")
    assert laps.whole_s < WHOLE_S


async def _claimed(page: Page, code: str) -> None:
    await page.get_by_label("Claim code").fill(code)
    await page.get_by_label("Your name").fill("ada")
    await page.get_by_label("Password", exact=True).fill(PASSWORD)
    await page.get_by_label("Password again").fill(PASSWORD)
    await page.get_by_role("button", name="Claim it").click()


async def _section(page: Page, name: str) -> None:
    await page.get_by_role("navigation", name="Sections").get_by_role("link", name=name).click()


def _step(page: Page, title: str) -> Locator:
    return page.get_by_role("region", name="First steps").get_by_role("listitem").filter(has_text=title)


async def _modbus(page: Page, port: int) -> None:
    """Fill in a Modbus device and find its tag, with what is refused on the way."""
    await page.get_by_role("link", name="Modbus").click()
    await page.get_by_role("button", name="Test the connection").click()
    await page.get_by_text("Host is needed").wait_for()
    await page.locator("[id='link.host']").fill("127.0.0.1")
    await page.locator("[id='link.port']").fill(str(port))
    await page.locator("[id='device.name']").fill("press1")
    await page.get_by_text("What stands at an address?").click()
    await page.locator("#place").fill("hr:100")
    await page.get_by_role("button", name="Show every way").click()
    take = page.get_by_role("button", name="Take hr:100 as float32 CDAB")
    await take.wait_for()
    await picture(page, "decode-matrix", of="[data-part=decoding]")
    await take.click()
    await page.keyboard.type("air/humidity")
    await page.get_by_role("button", name="Test the connection").click()
    await page.locator(".ladder li[data-rung=read][data-state=passed]").wait_for()
    await page.get_by_text("What stands at an address?").click()
    await picture(page, "device-setup", of="device-setup")


_NAMED = """(name) => {
  const element = document.activeElement;
  const named = element.getAttribute("aria-label") ?? element.labels?.[0]?.innerText ?? element.innerText ?? "";
  return named.trim().split(/\\s(?:optional)?$|\\n/)[0].trim() === name;
}"""


async def _tab_to(page: Page, name: str) -> None:
    """Tab until what is called `name` has the focus."""
    for _ in range(150):
        await page.keyboard.press("Tab")
        if await page.evaluate(_NAMED, name):
            return
    raise AssertionError(f"the tab key doesn't lead to {name}")


async def _type(page: Page, *fields: tuple[str, str]) -> None:
    for name, text in fields:
        if not await page.evaluate(_NAMED, name):
            await _tab_to(page, name)
        await page.keyboard.type(text)


async def _press(page: Page, name: str) -> None:
    await _tab_to(page, name)
    await page.keyboard.press("Enter")
