"""Updates from the page, of an image whose slots are files: an upload in parts, an address, and what became of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.actors import Role
from tests.support.browser import Chromium, accessible
from tests.support.configuration import configuration
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.https import Https
from tests.support.mosquitto import Mosquitto, free_port
from tests.support.page import PageProcess
from tests.support.people import settle
from tests.web.conftest import Plant

ROOT = Path(__file__).parents[2]


@pytest.fixture
def slots(plant: Plant) -> Path:
    """The image's state, as it was at first."""
    directory = plant.gateway.directory / "slots"
    for path in directory.iterdir():
        path.unlink()
    for name, text in (("A", "1.0"), ("good", "A"), ("next", "A")):
        (directory / name).write_text(text)
    return directory


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    """One whose gateway runs in an image."""
    directory = tmp_path_factory.mktemp("image")
    package = directory / "site" / "test_image-1.dist-info"
    package.mkdir(parents=True)
    package.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: test-image\nVersion: 1\n")
    package.joinpath("entry_points.txt").write_text("[tidegate.appliance]\nimage = tests.ops.appliance:appliance\n")
    (directory / "slots").mkdir()
    environment = {
        "PYTHONPATH": os.pathsep.join([str(directory / "site"), str(ROOT)]),
        "SLOTS": str(directory / "slots"),
    }
    with Mosquitto(directory) as broker, Field(1) as field:
        settle(directory / "data")
        text = configuration(directory / "data", [free_port()], broker.port)
        with GatewayProcess(directory, text, **environment) as gateway:
            gateway.wait_ready()
            page = PageProcess(directory, gateway.socket)
            admin, viewer = page.sign_in(), page.sign_in("vera", Role.VIEWER)
            with page:
                yield Plant(gateway, broker, field, page, admin, viewer, viewer, viewer)


async def test_a_bundle_from_this_computer_is_sent_in_parts_and_installed(
    plant: Plant, browser: Chromium, slots: Path, tmp_path: Path
) -> None:
    bundle = tmp_path / "tidegate-2.0.raucb"
    bundle.write_bytes(b"sound 2.0" + b" " * (9 << 20))
    page = await browser.open("/system/updates", cookies=plant.admin)
    await page.get_by_label("Bundle", exact=True).set_input_files(bundle)
    await page.get_by_role("button", name="Install it", exact=True).click()
    await page.get_by_text("It waits for a restart").wait_for()
    row = page.get_by_role("row").filter(has_text="B2.0")
    await row.get_by_text("runs after the next restart").wait_for()
    assert (slots / "B").read_text() == "2.0"
    assert not (slots / "upload.raucb").exists()


async def test_what_isnt_trusted_is_said_and_changes_nothing(
    plant: Plant, browser: Chromium, slots: Path, tmp_path: Path
) -> None:
    (tmp_path / "forged.raucb").write_text("forged")
    page = await browser.open("/system/updates", cookies=plant.admin)
    await page.get_by_label("Bundle", exact=True).set_input_files(tmp_path / "forged.raucb")
    await page.get_by_role("button", name="Install it", exact=True).click()
    await page.get_by_text("The bundle isn't signed by anybody who is trusted").wait_for()
    assert (slots / "next").read_text() == "A"


async def test_an_address_that_cant_be_downloaded_from_is_refused(plant: Plant, browser: Chromium, slots: Path) -> None:
    browser.allow("409")
    page = await browser.open("/system/updates", cookies=plant.admin)
    await page.get_by_role("textbox", name="Address").fill("https://me:secret@files.example/t.raucb")
    await page.get_by_role("button", name="Download and install it").click()
    await page.locator("#said-of-update").get_by_text("is no address to download from").wait_for()


async def test_a_release_that_fell_back_is_told_of_here_and_under_repairs(
    plant: Plant, browser: Chromium, slots: Path
) -> None:
    (slots / "fallen").write_text("2.0")
    page = await browser.open("/system/updates", cookies=plant.viewer)
    await page.get_by_text("2.0 didn't work: no device answered; 1.0 runs again").wait_for()
    assert not await page.get_by_role("button", name="Install it", exact=True).is_visible()
    page = await browser.open("/diagnostics", cookies=plant.viewer)
    await page.get_by_text("2.0 didn't work: no device answered; 1.0 runs again").wait_for()


async def test_it_suits_every_screen_and_reader(plant: Plant, browser: Chromium, slots: Path) -> None:
    (slots / "B").write_text("2.0")
    await accessible(browser, "/system/updates", plant.admin, every=False)


def test_the_address_that_was_set_is_offered(plant: Plant, slots: Path) -> None:
    (slots / "address").write_text("https://files.example/tidegate")
    with Https(plant.page.url, plant.admin) as admin:
        assert 'value="https://files.example/tidegate"' in admin.get("/system/updates").text
