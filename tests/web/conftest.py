"""A gateway with a broker and a device, its page, and a browser looking at it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.async_api import Page

from gateway.actors import Role
from tests.support.browser import Chromium, chromium, picture
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.page import PageProcess
from tests.support.people import settle


@dataclass(frozen=True, slots=True)
class Plant:
    """Everything that runs, the gateway connected on both sides."""

    gateway: GatewayProcess
    broker: Mosquitto
    field: Field
    page: PageProcess
    admin: dict[str, str]
    """Cookies of an admin who is signed in: ada."""
    viewer: dict[str, str]
    """Cookies of a viewer: vera."""
    engineer: dict[str, str]
    """Cookies of an engineer: eve."""
    operator: dict[str, str]
    """Cookies of an operator: otto."""


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """For all tests of a module: starting it takes a second or two. Who stops a part of it starts it again."""
    directory = tmp_path_factory.mktemp("plant")
    with Mosquitto(directory) as broker, Field(2) as field:
        settle(directory / "data")
        text = configuration(directory / "data", [slave.port for slave in field.slaves], broker.port)
        with GatewayProcess(directory, text) as gateway:
            asyncio.run(gateway.until(lambda status: status["sinks"]["plant"]["connected"], "connected"))
            page = PageProcess(directory, directory / "data" / "control.sock")
            admin, viewer = page.sign_in(), page.sign_in("vera", Role.VIEWER)
            engineer, operator = page.sign_in("eve", Role.ENGINEER), page.sign_in("otto", Role.OPERATOR)
            with page:
                yield Plant(gateway, broker, field, page, admin, viewer, engineer, operator)


@pytest.fixture
async def browser(plant: Plant) -> AsyncIterator[Chromium]:
    async with chromium(plant.page.url) as browser:
        yield browser


async def apply_and_confirm(page: Page, reason: str, seen: str = "") -> None:
    """From the page Changes with a draft on: apply it, and say that all is well. `seen`: a picture before that."""
    await page.get_by_role("button", name="Apply", exact=True).click()
    await page.get_by_label("Reason").fill(reason)
    await page.get_by_role("button", name="Apply it").click()
    await page.get_by_text("Unconfirmed: revision").wait_for()
    if seen:
        await picture(page, seen)
    await page.get_by_role("button", name="Confirm", exact=True).click()
    await page.get_by_text("is confirmed by").wait_for()


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A directory of a page's own."""
    path = tmp_path / "web"
    path.mkdir(mode=0o700)
    return path
