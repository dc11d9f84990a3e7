"""System: people and roles, tokens, sessions, audit log, certificates, backup and restore, updates."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest

from gateway.ops.fingerprints import fingerprint
from gateway.web.certificate import Pair
from tests.support.browser import NARROW, Chromium, accessible, axe, picture, until
from tests.support.https import Https
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

PASSPHRASE = "seven sleepy seagulls"


async def test_it_says_what_it_is_and_of_what_it_is_made(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/system", cookies=plant.engineer)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Download the bundle").click()
    assert (await downloading.value).suggested_filename.endswith(".zip")
    await page.get_by_role("link", name="What it is made of").click()
    licences = page.get_by_role("region", name="Packages, table")
    assert "MIT" in await licences.get_by_role("row", name="CodeMirror").inner_text()
    assert "BSD-3-Clause" in await licences.get_by_role("row", name="starlette").inner_text()


async def test_a_user_from_the_first_day_to_the_last(plant: Plant, browser: Chromium) -> None:
    browser.allow("422")
    page = await browser.open("/system/users", cookies=plant.admin)
    await page.get_by_role("button", name="Add a user").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("mia")
    await dialog.get_by_label("operator").check()
    await dialog.get_by_label("Password").fill("password12345")
    await dialog.get_by_role("button", name="Add").click()
    await dialog.get_by_text("tried first").wait_for()
    assert await dialog.get_by_label("Name").input_value() == "mia", "what was typed stays"
    await dialog.get_by_label("Password").fill("four quiet otters")
    await dialog.get_by_role("button", name="Add").click()
    await page.get_by_text("mia can sign in now").wait_for()
    row = page.get_by_role("row").filter(has_text="mia")
    await row.get_by_text("Has to choose a password").wait_for()
    await picture(page, "users")
    await row.get_by_role("link").click()
    await page.get_by_label("engineer").check()
    await page.get_by_role("button", name="Set the role").click()
    await page.get_by_text("mia is engineer from now on").wait_for()
    await page.get_by_role("button", name="Keep out").click()
    await page.get_by_role("button", name="Let in again").wait_for()
    await page.get_by_label("New password").fill("five quiet otters")
    await page.get_by_role("button", name="Set the password").click()
    await page.get_by_text("mia signs in with it once").wait_for()
    await page.get_by_role("button", name="Remove", exact=True).click()
    await page.get_by_role("button", name="Remove mia").click()
    await page.wait_for_url(re.compile("/system/users$"))
    assert not await page.get_by_role("row").filter(has_text="mia").is_visible()


async def test_nobody_locks_themselves_out(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/system/users/ada", cookies=plant.admin)
    await page.get_by_text("another admin can change your role").wait_for()
    for name in ("Set the role", "Keep out", "Remove"):
        assert not await page.get_by_role("button", name=name).is_visible()
    with Https(plant.page.url, plant.admin) as admin:
        answer = admin.post("/system/users/ada", {"action": "role", "role": "viewer"})
    assert answer.status == 422
    assert "admin" in answer.text


async def test_a_token_is_shown_once_and_opens_what_it_is_good_for(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/system/tokens", cookies=plant.admin)
    await page.get_by_role("button", name="Make a token").first.click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Name").fill("historian")
    await dialog.get_by_label("values", exact=True).check()
    await dialog.get_by_role("button", name="Make it").click()
    await page.get_by_role("button", name="Copy the token").click()
    await page.get_by_text("Copied").wait_for()
    token = await page.evaluate("navigator.clipboard.readText()")
    assert token == await page.locator("code.secret").inner_text()
    bearer = {"authorization": f"Bearer {token}"}
    with Https(plant.page.url) as program:
        assert program.call("GET", "/api/v1/values", headers=bearer).status == 200
        assert program.call("GET", "/api/v1/status", headers=bearer).status == 403
    await page.reload()
    assert token not in await page.content()
    await page.get_by_role("button", name="Revoke historian").click()
    await page.get_by_text("It opens nothing any more").wait_for()
    assert not await page.get_by_text("historian").is_visible()


async def test_a_browser_is_signed_out_from_elsewhere(plant: Plant, browser: Chromium) -> None:
    theirs = await browser.open("/tags", cookies=plant.operator)
    page = await browser.open("/system/sessions", cookies=plant.admin)
    await page.get_by_role("button", name="Sign out otto everywhere").click()
    await page.get_by_text("Signed out 1 browser").wait_for()
    browser.allow("401|303|Failed to load")
    await theirs.reload()
    await theirs.get_by_role("button", name="Sign in").wait_for()


async def test_the_audit_log_is_filtered_paged_and_proved(plant: Plant, browser: Chromium) -> None:
    for _ in range(105):
        await asyncio.to_thread(plant.gateway.client.call, "PUT", "/v1/config/owner", None, {"name": "page"})
    page = await browser.open("/system/audit", cookies=plant.engineer)
    table = page.get_by_role("region", name="Audit log, table")
    first = await table.get_by_role("row").nth(1).inner_text()
    await page.get_by_role("link", name="Older").click()
    await page.get_by_role("link", name="Newest").wait_for()
    assert await table.get_by_role("row").nth(1).inner_text() != first
    await page.get_by_label("What", exact=False).first.fill("config.owner")
    await page.keyboard.press("Enter")
    await page.wait_for_url(re.compile("action=config.owner"))
    actions = await table.locator("td.mono").all_inner_texts()
    assert set(actions) == {"config.owner"}
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="CSV").click()
    lines = (await (await downloading.value).path()).read_text("utf-8-sig").splitlines()
    assert len(lines) >= 211, "all rows, not one page of them"
    await page.get_by_role("button", name="Is it whole?").click()
    await page.get_by_text("It is whole").wait_for()
    await page.get_by_label("Who").fill("nobody")
    await page.keyboard.press("Enter")
    await page.get_by_text("No row fits the filter.").wait_for()


def made(directory: Path, name: str) -> tuple[Path, Path]:
    """A certificate and its key, as an authority would give them."""
    certificate, key = directory / f"{name}.pem", directory / f"{name}.key"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-days", "20", "-keyout", str(key), "-out", str(certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return certificate, key


async def test_the_pages_certificate_is_replaced(plant: Plant, browser: Chromium, tmp_path: Path) -> None:
    browser.allow("422")
    own, (certificate, key) = Pair.of(plant.page.state).certificate, made(tmp_path, "gw1.example")
    before = fingerprint(own)
    page = await browser.open("/system/certificates", cookies=plant.admin)
    await page.get_by_text(before).wait_for()
    await page.get_by_role("button", name="Replace it").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("Certificate").set_input_files(certificate)
    await dialog.get_by_label("Its key").set_input_files(made(tmp_path, "another")[1])
    await dialog.get_by_role("button", name="Replace it").click()
    await dialog.get_by_text("they don't belong together").wait_for()
    assert fingerprint(own) == before
    await dialog.get_by_label("Its key").set_input_files(key)
    await dialog.get_by_role("button", name="Replace it").click()
    await page.get_by_text(fingerprint(certificate)).wait_for()
    await page.get_by_text(re.compile("in (19|20) d")).wait_for()


async def test_a_backup_is_made_looked_at_and_restored(plant: Plant, browser: Chromium, tmp_path: Path) -> None:
    browser.allow("422")
    page = await browser.open("/system/backup", cookies=plant.admin)
    await page.get_by_label("Passphrase", exact=False).first.fill(PASSPHRASE)
    await page.get_by_label("Passphrase again").fill(PASSPHRASE)
    async with page.expect_download() as downloading:
        await page.get_by_role("button", name="Download the backup").click()
    path = tmp_path / (await downloading.value).suggested_filename
    await (await downloading.value).save_as(path)
    main = plant.gateway.config.read_text()
    edit = [{"op": "set", "path": ["template", "counter", "group", "main", "interval_ms"], "value": 900}]
    call = plant.gateway.client.call
    await asyncio.to_thread(call, "PATCH", "/v1/config/draft", None, {"edits": edit})
    await asyncio.to_thread(call, "POST", "/v1/config/apply", None, {"confirm_within_s": 0})
    await page.get_by_label("Backup", exact=True).set_input_files(path)
    await page.get_by_role("button", name="Look at it").click()
    await page.get_by_text("type the passphrase it was made with").wait_for()
    await page.get_by_label("Its passphrase").fill("another passphrase")
    await page.get_by_role("button", name="Look at it").click()
    await page.get_by_text("backup-refused").wait_for()
    await page.get_by_label("Its passphrase").fill(PASSPHRASE)
    await page.get_by_label("Audit log").uncheck()
    await page.get_by_role("button", name="Look at it").click()
    row = page.get_by_role("row").filter(has_text="tidegate.toml")
    await row.get_by_text("Would be restored").wait_for()
    assert plant.gateway.config.read_text() != main, "nothing is changed yet"
    await page.get_by_role("button", name="Restore it").click()
    await page.get_by_text("The backup is restored").wait_for()
    assert plant.gateway.config.read_text() == main


async def test_garbage_is_no_backup(plant: Plant, browser: Chromium) -> None:
    browser.allow("422")
    page = await browser.open("/system/backup", cookies=plant.admin)
    await page.get_by_label("Backup", exact=True).set_input_files(
        {"name": "cat.backup", "mimeType": "application/octet-stream", "buffer": b"meow" * 1000}
    )
    await page.get_by_role("button", name="Look at it").click()
    said = page.locator("#restored").get_by_role("alert")
    await said.wait_for()
    assert (await said.locator("strong").inner_text()).startswith("The backup can't be used")


async def test_without_slots_the_package_manager_updates(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/system/updates", cookies=plant.viewer)
    await page.get_by_text("Updated by the package manager").wait_for()


async def test_what_somebody_may_not_see_isnt_shown_but_said(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/system", cookies=plant.viewer)
    tabs = page.get_by_role("navigation", name="System")
    assert await tabs.get_by_role("link").all_inner_texts() == ["About", "Certificates", "Machine", "Updates"]
    await page.get_by_text("Admins see users, tokens, sessions and backup.").wait_for()
    await page.get_by_text("Engineers and admins may download it.").wait_for()
    with Https(plant.page.url, plant.engineer) as engineer:
        assert engineer.get("/system/audit").status == 200
        for path in ("users", "users/ada", "tokens", "sessions", "backup"):
            assert engineer.get(f"/system/{path}").status == 403, path
    page = await browser.open("/system/certificates", cookies=plant.viewer)
    await page.get_by_text("Of this page").wait_for()
    assert not await page.get_by_role("button", name="Replace it").is_visible()


@pytest.mark.parametrize(
    "path", ["", "/users", "/users/eve", "/tokens", "/sessions", "/audit", "/certificates", "/backup", "/updates"]
)
async def test_it_suits_every_screen_and_reader(plant: Plant, browser: Chromium, path: str) -> None:
    await accessible(browser, f"/system{path}", plant.admin, every=False)


async def test_by_keyboard_alone(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/system/users", cookies=plant.admin, size=NARROW)
    await page.get_by_role("button", name="Add a user").focus()
    await page.keyboard.press("Enter")
    await until(page, "document.activeElement.id === 'name'")
    assert not await axe(page)
    await page.keyboard.type("kim")
    await page.keyboard.press("Tab")
    await page.keyboard.press("Tab")
    await page.keyboard.type("six quiet otters")
    await page.keyboard.press("Enter")
    await page.get_by_text("kim can sign in now").wait_for()
