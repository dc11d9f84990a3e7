"""The wire trace: frames as they come, bytes and fields leading to each other, off by itself."""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator

import pytest
from playwright.async_api import Page, expect

from tests.support.browser import NARROW, Chromium, accessible, picture, until
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


@pytest.fixture(autouse=True)
def ended(plant: Plant) -> Iterator[None]:
    """No trace outlives its test."""
    yield
    for trace in plant.gateway.client.get("/v1/traces"):
        plant.gateway.client.call("DELETE", f"/v1/traces/{trace['id']}")


async def started(plant: Plant, browser: Chromium, seconds: str = "60", size: tuple[int, int] = (1440, 900)) -> Page:
    page = await browser.open("/devices/named/dev0", cookies=plant.admin, size=size)
    await page.get_by_role("link", name="Wire trace", exact=True).last.click()
    await expect(page.get_by_label("Device", exact=True)).to_have_value("dev0")
    await page.get_by_label("For", exact=True).select_option(seconds)
    await page.get_by_role("button", name="Start").click()
    await page.get_by_role("row", name=re.compile("read holding registers")).first.wait_for()
    return page


async def test_frames_come_live_and_one_is_bytes_and_fields(plant: Plant, browser: Chromium) -> None:
    page = await started(plant, browser)
    assert re.fullmatch(r"Off by itself in [01]:\d\d", await page.get_by_role("timer").inner_text())
    sent = page.get_by_role("row", name=re.compile("sent.*read holding registers hr:0")).first
    await sent.click()
    await page.get_by_role("heading", name=re.compile(r"^Frame \d+: .*read holding registers")).wait_for()
    cells = page.locator("hex-trace [role=gridcell]")
    assert await cells.count() == 12
    assert await cells.nth(7).inner_text() == "03"
    field = page.get_by_role("option", name=re.compile("function", re.IGNORECASE)).first
    await field.hover()
    assert await lit(page) == ["03"]
    await cells.nth(7).hover()
    await expect(field).to_have_attribute("aria-selected", "true")
    before = await page.locator("wire-trace tbody tr").count()
    await until(page, f"document.querySelectorAll('wire-trace tbody tr').length > {before}")
    assert await page.locator("tr[aria-selected=true]").count() == 1, "what was chosen stays chosen"
    await picture(page, "wire-trace")


async def lit(page: Page) -> list[str]:
    marked: list[str] = await page.locator("hex-trace [role=gridcell][data-lit]").all_inner_texts()
    return marked


async def test_by_keyboard_alone(plant: Plant, browser: Chromium) -> None:
    page = await started(plant, browser)
    await page.get_by_role("button", name="Pause").click()
    await page.locator("wire-trace tbody tr").first.focus()
    for key, number in (("ArrowDown", "2"), ("ArrowUp", "1"), ("End", None), ("Home", "1")):
        await page.keyboard.press(key)
        chosen = await page.evaluate("document.activeElement.dataset.frame")
        assert chosen == await page.locator("tr[aria-selected=true]").get_attribute("data-frame")
        assert number in (None, chosen)
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.dataset.byte") == "0"
    for _ in range(7):
        await page.keyboard.press("ArrowRight")
    assert await lit(page) == ["03"]
    label = await page.evaluate("document.activeElement.ariaLabel")
    assert label.startswith("03, "), "a screen reader hears what the byte is"
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.role || document.activeElement.getAttribute('role')") == "option"
    assert await page.evaluate("document.activeElement.ariaSelected") == "true"
    await page.keyboard.press("End")
    assert await lit(page)
    await page.keyboard.press("Enter")
    assert await page.evaluate("document.activeElement.hasAttribute('data-lit')")
    stops = await page.locator("hex-trace [role=gridcell][tabindex='0'], hex-trace [role=option][tabindex='0']").count()
    assert stops == 2, "Tab comes to the bytes once and to the fields once"


async def test_frames_are_sifted_and_held(plant: Plant, browser: Chromium) -> None:
    page = await started(plant, browser)
    rows = page.locator("wire-trace tbody tr")
    await page.get_by_role("searchbox", name="Filter frames").fill("answer")
    await expect(rows.filter(has_text="→ sent")).to_have_count(0)
    await expect(rows.filter(has_text="← received").first).to_be_visible()
    await page.get_by_role("searchbox", name="Filter frames").fill("00 06 01 03")
    await expect(rows.filter(has_text="← received")).to_have_count(0)
    await page.get_by_role("button", name="Pause").click()
    held = await rows.count()
    await page.get_by_role("button", name=re.compile(r"Go on \(\d+ new\)")).wait_for()
    assert await rows.count() == held
    await page.get_by_role("button", name=re.compile("Go on")).click()
    await until(page, f"document.querySelectorAll('wire-trace tbody tr').length > {held}")
    await page.get_by_label("Faults only").check()
    await expect(rows).to_have_count(0)


async def test_it_is_kept_as_a_capture_and_as_json(plant: Plant, browser: Chromium) -> None:
    page = await started(plant, browser)
    await page.get_by_role("button", name="Stop now").click()
    await expect(page.get_by_role("timer")).to_have_text("It ended: it was stopped")
    async with page.expect_download() as download:
        await page.get_by_role("link", name="pcap").click()
    capture = (await (await download.value).path()).read_bytes()
    assert struct.unpack_from("<I", capture) == (0xA1B23C4D,)
    async with page.expect_download() as download:
        await page.get_by_role("link", name="JSON").click()
    frames = json.loads((await (await download.value).path()).read_bytes())
    assert frames[0]["summary"]
    numbers = await page.locator("wire-trace tbody tr").count()
    await page.reload()
    await expect(page.locator("wire-trace tbody tr")).to_have_count(numbers)
    await expect(page.get_by_role("button", name="Start")).to_be_visible()


async def test_it_is_off_by_itself(plant: Plant, browser: Chromium) -> None:
    trace = plant.gateway.client.post("/v1/traces", {"device": "dev0", "seconds": 2.0})
    page = await browser.open(f"/diagnostics/trace?trace={trace['id']}", cookies=plant.admin)
    await expect(page.get_by_role("timer")).to_have_text("It ended: its time is over")
    await expect(page.get_by_role("button", name="Stop now")).to_be_hidden()
    assert plant.gateway.client.get(f"/v1/traces/{trace['id']}")["ended"]
    page = await browser.open("/diagnostics/trace", context=page.context)
    await page.get_by_role("region", name="Traces that are kept, table").get_by_role("link", name="Show").click()
    await expect(page.locator("wire-trace tbody tr").first).to_be_visible()


async def test_more_than_may_run_is_refused_in_place(plant: Plant, browser: Chromium) -> None:
    browser.allow("409")
    for _ in range(4):
        plant.gateway.client.post("/v1/traces", {"device": "dev1", "seconds": 60.0})
    page = await browser.open("/diagnostics/trace?device=dev0", cookies=plant.admin)
    await page.get_by_role("button", name="Start").click()
    said = page.locator("wire-trace [data-part=said]")
    await expect(said).to_contain_text("traces run already")
    await expect(said).to_contain_text("Stop one of them")
    await expect(said).to_contain_text("untraceable")


async def test_one_that_is_gone_is_said_to_be(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/diagnostics/trace?trace=99", cookies=plant.admin)
    await page.get_by_text("This trace isn't kept any more").wait_for()


async def test_it_suits_every_screen_and_reader(plant: Plant, browser: Chromium) -> None:
    page = await started(plant, browser, size=NARROW)
    trace = re.search(r"trace=(\d+)", page.url)
    assert trace is not None
    await page.locator("wire-trace tbody tr").first.click()
    await page.locator("hex-trace [role=gridcell]").first.wait_for()
    assert await page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    await page.get_by_role("button", name="Stop now").click()
    path = f"/diagnostics/trace?trace={trace[1]}"
    await accessible(browser, path, plant.admin, ready="wire-trace tbody tr")
