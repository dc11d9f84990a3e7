"""The write dialog: value and reason, the exact frame, one confirmation, the read-back and its row in the audit log."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator

import pytest
from playwright.async_api import Locator, Page, expect

from gateway.actors import Role
from tests.support.browser import NARROW, Chromium, axe, chromium, picture
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.page import PageProcess
from tests.support.people import settle
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

CONFIGURATION = """
[gateway]
id = "gw1"
enterprise = "acme"
site = "plant1"
data_dir = "{data_dir}"
clock = "trusted"
[write]
enabled = true
min_interval_ms = 0
[[sink]]
name = "plant"
host = "127.0.0.1"
port = {broker}
[[link]]
name = "filler"
driver = "modbus"
host = "127.0.0.1"
port = {port}
[[device]]
name = "filler"
link = "filler"
[[device.group]]
name = "main"
interval_ms = 100
[[device.group.tag]]
name = "setpoint"
address = "hr:100"
type = "uint16"
scale = 0.1
unit = "Cel"
writable = true
write = {{min = 10, max = 90, require_reason = true}}
[[device.group.tag]]
name = "deaf"
address = "hr:200"
type = "uint16"
writable = true
[[device.group.tag]]
name = "fixed"
address = "hr:300"
type = "uint16"
"""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    directory = tmp_path_factory.mktemp("writes")
    with Mosquitto(directory) as broker, Field() as field:
        slave = field.slaves[0]
        slave.written |= {100: 215, 200: 7, 300: 9}
        slave.deaf.add(200)
        settle(directory / "data")
        text = CONFIGURATION.format(data_dir=directory / "data", broker=broker.port, port=slave.port)
        with GatewayProcess(directory, text) as gateway:
            page = PageProcess(directory, directory / "data" / "control.sock")
            admin, viewer = page.sign_in(), page.sign_in("vera", Role.VIEWER)
            engineer, operator = page.sign_in("eve", Role.ENGINEER), page.sign_in("otto", Role.OPERATOR)
            with page:
                yield Plant(gateway, broker, field, page, admin, viewer, engineer, operator)


@pytest.fixture
async def browser(plant: Plant) -> AsyncIterator[Chromium]:
    async with chromium(plant.page.url) as browser:
        yield browser


async def opened(
    browser: Chromium, plant: Plant, tag: str, size: tuple[int, int] = (1440, 900)
) -> tuple[Page, Locator]:
    page = await browser.open(f"/tags/{tag}", cookies=plant.admin, size=size)
    await page.get_by_role("button", name="Write").click()
    dialog = page.get_by_role("dialog", name=f"Write {tag}")
    await dialog.wait_for()
    return page, dialog


async def test_value_reason_frame_confirmation_and_read_back(plant: Plant, browser: Chromium) -> None:
    page, dialog = await opened(browser, plant, "filler/setpoint")
    await expect(dialog.locator("tag-now")).to_contain_text("21.5 Cel")
    await expect(dialog.get_by_text("10 to 90")).to_be_visible()
    await dialog.get_by_label("New value in Cel").fill("25.5")
    await dialog.get_by_label("Reason").fill("new recipe")
    await picture(page, "write")
    await dialog.get_by_role("button", name="Next: see what is sent").click()
    await expect(dialog.get_by_label("What is sent")).to_contain_text(re.compile(r"00 ?FF", re.IGNORECASE))
    assert plant.field.slaves[0].written[100] == 215, "nothing is sent before it is confirmed"
    assert not await axe(page)
    await picture(page, "write-confirm")
    await dialog.get_by_role("button", name="Write 25.5 Cel to filler/setpoint").click()
    await expect(dialog.get_by_text("Written")).to_be_visible()
    await expect(dialog.locator("dd", has_text="25.5 Cel").first).to_be_visible()
    assert plant.field.slaves[0].written[100] == 255
    await expect(dialog.get_by_text("new recipe")).to_be_visible()
    row = await dialog.locator("code").inner_text()
    rows = plant.gateway.client.get("/v1/audit", action="write.done")
    found = next(entry for entry in rows["rows"] if entry["details"]["id"] == row)
    assert (found["actor"], found["subject"], found["outcome"]) == ("ada", "filler/setpoint", "written")
    await dialog.get_by_role("button", name="Close").last.click()
    await expect(page.locator("section.now tag-now")).to_contain_text("25.5 Cel")


async def test_by_keyboard_alone_and_on_a_phone(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/tags/filler/setpoint", cookies=plant.admin, size=NARROW)
    await page.get_by_role("button", name="Write").focus()
    await page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog.get_by_label("New value in Cel")).to_be_focused()
    await page.keyboard.type("30")
    await page.keyboard.press("Tab")
    await page.keyboard.type("by keyboard")
    await page.keyboard.press("Enter")
    confirm = dialog.get_by_role("button", name="Write 30 Cel to filler/setpoint")
    await expect(confirm).to_be_focused()
    wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    await page.keyboard.press("Enter")
    await expect(dialog.get_by_text("Written")).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(dialog).not_to_be_visible()
    assert plant.field.slaves[0].written[100] == 300


async def test_what_is_typed_survives_values_that_come(plant: Plant, browser: Chromium) -> None:
    _, dialog = await opened(browser, plant, "filler/setpoint")
    field = dialog.get_by_label("New value in Cel")
    await field.fill("44")
    plant.field.slaves[0].written[100] = 111
    await expect(dialog.locator("tag-now")).to_contain_text("11.1 Cel")
    assert await field.input_value() == "44"


@pytest.mark.parametrize(
    ("value", "reason", "said"),
    [
        ("warm", "because", "write a number with a point, such as 71.3"),
        ("95", "because", "90"),
        ("50", "", "needs a reason"),
        ("50.05", "because", "50.05"),
    ],
)
async def test_what_may_not_be_is_said_at_its_field_and_nothing_is_sent(
    plant: Plant, browser: Chromium, value: str, reason: str, said: str
) -> None:
    before = dict(plant.field.slaves[0].written)
    _, dialog = await opened(browser, plant, "filler/setpoint")
    await dialog.get_by_label("New value in Cel").fill(value)
    if reason:
        await dialog.get_by_label("Reason").fill(reason)
    else:
        await dialog.get_by_label("Reason").evaluate("field => field.required = false")
    await dialog.get_by_role("button", name="Next: see what is sent").click()
    await expect(dialog.locator(".wrong")).to_contain_text(said)
    assert await dialog.get_by_label("New value in Cel").input_value() == value
    assert plant.field.slaves[0].written == before


async def test_a_device_that_reads_back_otherwise_is_said_so(plant: Plant, browser: Chromium) -> None:
    _, dialog = await opened(browser, plant, "filler/deaf")
    await dialog.get_by_label("New value").fill("8")
    await dialog.get_by_role("button", name="Next: see what is sent").click()
    await dialog.get_by_role("button", name="Write 8 to filler/deaf").click()
    await expect(dialog.get_by_text("Reads back otherwise")).to_be_visible()


async def test_a_form_that_is_sent_twice_is_one_write(plant: Plant, browser: Chromium) -> None:
    _, dialog = await opened(browser, plant, "filler/setpoint")
    await dialog.get_by_label("New value in Cel").fill("60")
    await dialog.get_by_label("Reason").fill("once")
    await dialog.get_by_role("button", name="Next: see what is sent").click()
    confirm = dialog.get_by_role("button", name=re.compile("^Write 60"))
    await confirm.wait_for()
    twice = """async (form) => {
      const send = () => fetch("/writes", {method: "POST", body: new URLSearchParams(new FormData(form)),
                                           headers: {"hx-request": "true"}}).then((answer) => answer.text());
      return await Promise.all([send(), send()]);
    }"""
    first, second = await dialog.locator("form").evaluate(twice)
    assert "Written" in first
    assert "Written" in second
    rows = plant.gateway.client.get("/v1/audit", action="write.intent")["rows"]
    assert len([row for row in rows if row["details"]["reason"] == "once"]) == 1


async def test_who_only_looks_and_what_isnt_writable_has_no_dialog(plant: Plant, browser: Chromium) -> None:
    browser.allow("403")
    page = await browser.open("/tags/filler/setpoint", cookies=plant.viewer)
    await page.get_by_role("heading", name="setpoint").wait_for()
    await expect(page.get_by_role("button", name="Write")).to_have_count(0)
    status = await page.evaluate("fetch('/writes/new?tag=filler/setpoint').then((answer) => answer.status)")
    assert status == 403
    page = await browser.open("/tags/filler/fixed", cookies=plant.admin)
    await page.get_by_role("heading", name="fixed").wait_for()
    await expect(page.get_by_role("button", name="Write")).to_have_count(0)
