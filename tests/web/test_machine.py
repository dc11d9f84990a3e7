"""System → Machine: network and time that come back unless they are confirmed; the name; restart, reset, wipe."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from playwright.async_api import Page

from gateway.actors import Role
from tests.ops.machine import publish, told
from tests.support.browser import Chromium, accessible, axe, chromium, picture
from tests.support.configuration import configuration
from tests.support.gateway import GatewayProcess
from tests.support.https import Https
from tests.support.mosquitto import free_port
from tests.support.page import PageProcess
from tests.support.people import settle
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]


@dataclass(frozen=True, slots=True)
class Box:
    """A gateway that looks after its machine, which is a file."""

    gateway: GatewayProcess
    page: PageProcess
    environment: dict[str, str]
    admin: dict[str, str]
    engineer: dict[str, str]
    viewer: dict[str, str]


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    directory = tmp_path_factory.mktemp("box")
    environment = publish(directory)
    settle(directory / "data")
    text = configuration(directory / "data", [free_port()], free_port())
    with GatewayProcess(directory, text, **environment) as gateway:
        asyncio.run(gateway.until(lambda body: True, "it answers"))
        page = PageProcess(directory, gateway.socket)
        admin, viewer = page.sign_in(), page.sign_in("vera", Role.VIEWER)
        engineer = page.sign_in("eve", Role.ENGINEER)
        with page:
            yield Box(gateway, page, environment, admin, engineer, viewer)


@pytest.fixture
async def visitor(box: Box) -> AsyncIterator[Chromium]:
    async with chromium(box.page.url) as browser:
        yield browser


async def _fixed_address(page: Page, address: str) -> None:
    await page.get_by_role("button", name="Change eth0").click()
    dialog = page.get_by_role("dialog", name="Network: eth0")
    await dialog.get_by_label("is fixed").check()
    await dialog.get_by_label("Address with prefix").fill(address)
    await dialog.get_by_label("Gateway").fill("192.0.2.1")
    await dialog.get_by_label("Name servers").fill("192.0.2.5, 192.0.2.6")
    await dialog.get_by_role("button", name="Try it").click()


async def test_another_address_is_tried_and_confirmed(box: Box, visitor: Chromium) -> None:
    visitor.allow("422")
    page = await visitor.open("/system/machine", cookies=box.admin)
    await _fixed_address(page, "192.0.2.0/24")
    dialog = page.get_by_role("dialog", name="Network: eth0")
    await dialog.get_by_text("network's own address").wait_for()
    assert await dialog.get_by_label("Gateway").input_value() == "192.0.2.1", "what was typed stays"
    await dialog.get_by_label("Address with prefix").fill("192.0.2.20/24")
    await picture(page, "machine-network", of="dialog[open]")
    await dialog.get_by_role("button", name="Try it").click()
    banner = page.get_by_role("region", name="Change of the machine")
    await banner.get_by_text("Unconfirmed: the network of eth0.").wait_for()
    assert not await dialog.is_visible()
    assert re.search(r"Taken back in [12]:\d\d unless", await banner.inner_text())
    port = box.page.url.rpartition(":")[2]
    link = banner.get_by_role("link", name=f"https://192.0.2.20:{port}")
    assert await link.get_attribute("href") == f"https://192.0.2.20:{port}/system/machine"
    assert not await axe(page)
    await picture(page, "machine-confirm")
    assert told(box.environment)["network"]["dhcp"], "it isn't kept yet"
    await banner.get_by_role("button", name="Confirm").click()
    await page.get_by_text("The change of the network of eth0 is confirmed.").wait_for()
    await page.get_by_role("region", name="Network: eth0").get_by_text("192.0.2.20/24").wait_for()
    assert not await banner.is_visible()
    assert told(box.environment)["network"]["address"] == "192.0.2.20/24"


async def test_everybody_sees_it_and_admins_decide(box: Box, visitor: Chromium) -> None:
    page = await visitor.open("/system/machine", cookies=box.admin)
    theirs = await visitor.open("/tags", cookies=box.engineer)
    await page.get_by_role("button", name="Change the time").click()
    dialog = page.get_by_role("dialog", name="Time")
    await dialog.get_by_label("Time servers").fill("192.0.2.9")
    await dialog.get_by_label("Time zone").fill("Europe/Berlin")
    await dialog.get_by_role("button", name="Try it").click()
    await page.get_by_text("Unconfirmed: the machine's time.", exact=True).wait_for()
    banner = theirs.get_by_role("region", name="Change of the machine")
    await banner.get_by_text("An admin can confirm it or take it back.").wait_for()
    await page.reload()
    await page.get_by_role("region", name="Change of the machine").get_by_role("button", name="Take back").click()
    await page.get_by_text("The change of the machine's time was taken back.").wait_for()
    await theirs.get_by_text("The change of the machine's time was taken back.").wait_for()
    assert not await banner.is_visible()
    assert told(box.environment)["time"] == {"timezone": "UTC", "servers": []}


async def test_a_page_that_is_cut_off_says_where_to_go_and_what_became_of_it(box: Box, visitor: Chromium) -> None:
    visitor.allow("Failed to load|ERR_|net::")
    page = await visitor.open("/system/machine", cookies=box.admin)
    await _fixed_address(page, "192.0.2.30/24")
    banner = page.get_by_role("region", name="Change of the machine")
    await banner.get_by_role("button", name="Confirm").wait_for()
    await page.context.set_offline(True)
    await banner.get_by_text("This page is cut off from the machine").wait_for()
    await banner.get_by_text("Confirm it under its new address:").wait_for()
    await banner.get_by_text("Taken back in").wait_for()
    assert not await banner.get_by_role("button", name="Confirm").is_visible()
    await asyncio.to_thread(box.gateway.client.post, "/v1/machine/take-back")
    await page.context.set_offline(False)
    await page.get_by_text("The change of the network of eth0 was taken back.").wait_for()
    await page.get_by_role("region", name="Network: eth0").wait_for()
    assert not await banner.is_visible()


async def test_by_dhcp_it_is_looked_for_by_its_name(box: Box, visitor: Chromium) -> None:
    page = await visitor.open("/system/machine", cookies=box.admin)
    await page.get_by_role("button", name="Change eth0").click()
    dialog = page.get_by_role("dialog", name="Network: eth0")
    await dialog.get_by_label("comes from a DHCP server").check()
    assert not await dialog.get_by_label("Address with prefix").is_visible()
    await dialog.get_by_role("button", name="Try it").click()
    banner = page.get_by_role("region", name="Change of the machine")
    await banner.get_by_role("link", name="https://tidegate-0a1b2c.local").wait_for()
    await banner.get_by_role("button", name="Take back").click()
    await page.get_by_text("was taken back").wait_for()


async def test_erasing_needs_the_machines_name(box: Box, visitor: Chromium) -> None:
    visitor.allow("422")
    page = await visitor.open("/system/machine", cookies=box.admin)
    for how in ("Reset", "Wipe"):
        await page.get_by_role("button", name=how, exact=True).click()
        dialog = page.get_by_role("dialog", name=f"{how} the machine")
        await dialog.get_by_label("Type the host name").fill("tidegate-0")
        await dialog.get_by_role("button", name=f"{how} it").click()
        await dialog.get_by_text("isn't this machine's host name").wait_for()
        assert how.lower() not in told(box.environment)["begun"]
        await dialog.get_by_label("Type the host name").fill("tidegate-0a1b2c")
        await dialog.get_by_role("button", name=f"{how} it").click()
        await dialog.get_by_text("The machine restarts and is").wait_for()
        assert told(box.environment)["begun"][-1] == how.lower()
        await dialog.get_by_role("button", name="Cancel").click()
    await page.get_by_role("button", name="Restart", exact=True).click()
    await page.get_by_role("button", name="Restart it").click()
    await page.get_by_text("This page comes back by itself").wait_for()
    assert told(box.environment)["begun"] == ["reset", "wipe", "restart"]


async def test_a_new_name(box: Box, visitor: Chromium) -> None:
    visitor.allow("422")
    page = await visitor.open("/system/machine", cookies=box.admin)
    name = page.get_by_label("Host name", exact=True)
    await name.fill("Press_7")
    await page.get_by_role("button", name="Set the name").click()
    await page.get_by_text("isn't a host name").wait_for()
    await name.fill("tidegate-press7")
    await page.get_by_role("button", name="Set the name").click()
    await page.get_by_text("https://tidegate-press7.local/").wait_for()
    await asyncio.to_thread(
        box.gateway.client.call, "PUT", "/v1/machine/hostname", None, {"hostname": "tidegate-0a1b2c"}
    )


async def test_the_first_steps_lead_there(box: Box, visitor: Chromium) -> None:
    page = await visitor.open("/", cookies=box.admin)
    step = (
        page.get_by_role("region", name="First steps").get_by_role("listitem").filter(has_text="Set network and time")
    )
    await step.get_by_text("No server has said what time it is").wait_for()
    await step.get_by_role("link", name="Set network and time").click()
    await page.get_by_role("heading", name="Machine", level=1).wait_for()


async def test_who_may_look_may_not_change(box: Box, visitor: Chromium) -> None:
    page = await visitor.open("/system/machine", cookies=box.viewer)
    await page.get_by_role("region", name="Network: eth0").wait_for()
    await page.get_by_text("Admins change what is set of the machine.").wait_for()
    assert await page.locator("main form, [data-dialog]").count() == 0
    with Https(box.page.url, box.engineer) as engineer:
        assert engineer.post("/system/machine", {"action": "restart"}).status == 403


async def test_it_suits_every_screen_and_reader(box: Box, visitor: Chromium) -> None:
    await accessible(visitor, "/system/machine", box.admin)


async def test_where_tidegate_is_a_guest_it_says_so(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/system/machine", cookies=plant.admin)
    await page.get_by_text("Tidegate is a guest here").wait_for()
    assert await page.locator("main form").count() == 0
    assert not await axe(page)
