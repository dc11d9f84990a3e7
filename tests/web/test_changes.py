"""Changing the configuration by the page: draft, differences, trial, apply, confirm or not, history, conflicts."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
from playwright.async_api import Page

from tests.support.browser import NARROW, Chromium, accessible, axe, picture, until
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

INTERVAL = ["template", "counter", "group", "main", "interval_ms"]


async def api(plant: Plant, method: str, path: str, body: Any = None) -> Any:
    """The control API, as the command line calls it."""
    return await asyncio.to_thread(plant.gateway.client.call, method, path, None, body)


async def drafted(plant: Plant, interval_ms: int = 250) -> None:
    edits = [{"op": "set", "path": INTERVAL, "value": interval_ms}]
    await api(plant, "PATCH", "/v1/config/draft", {"edits": edits})


async def outcome(plant: Plant) -> str:
    """Of the newest revision."""
    return str((await api(plant, "GET", "/v1/config/history"))[0]["outcome"])


@pytest.fixture(autouse=True)
async def clean(plant: Plant) -> AsyncIterator[None]:
    """Every test begins and ends without a draft and without a change under way."""
    yield
    if (await api(plant, "GET", "/v1/config"))["pending"] is not None:
        await api(plant, "POST", "/v1/config/rollback", {})
    await api(plant, "DELETE", "/v1/config/draft")


async def applied(page: Page, within: str = "1 min", reason: str = "slower") -> None:
    await page.get_by_role("button", name="Apply", exact=True).click()
    await page.get_by_label("Reason").fill(reason)
    await page.get_by_label("To be confirmed within").select_option(within)
    await page.get_by_role("button", name="Apply it").click()
    await page.get_by_text("Unconfirmed: revision").wait_for()


async def test_from_nothing_to_the_first_change(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/changes", cookies=plant.admin)
    await page.get_by_text("No draft").wait_for()
    assert await page.get_by_role("link", name="Add a device").is_visible()
    await drafted(plant)
    await page.get_by_text("Somebody changed something since").wait_for()
    await page.get_by_role("button", name="Show it as it is now").click()
    draft = page.get_by_role("region", name="Draft", exact=True)
    await draft.get_by_text("interval_ms 100 → 250").wait_for()
    assert await draft.locator("del").inner_text() == "interval_ms = 100"
    assert await draft.locator("ins").inner_text() == "interval_ms = 250"
    await draft.get_by_text("Group dev0/main is planned anew").wait_for()
    await page.get_by_role("navigation", name="Sections").get_by_text("Draft").wait_for()


async def test_a_draft_is_tried_on_the_wire_and_nothing_is_applied(plant: Plant, browser: Chromium) -> None:
    await drafted(plant)
    page = await browser.open("/changes", cookies=plant.engineer)
    await page.get_by_role("button", name="Try it on the wire").click()
    values = page.get_by_role("region", name="Values of dev0, table")
    await values.get_by_role("row", name=re.compile("count .* Good")).wait_for()
    await page.get_by_text("Nothing was applied.").wait_for()
    assert (await api(plant, "GET", "/v1/config"))["pending"] is None


async def test_it_is_applied_confirmed_and_can_be_gone_back_from(plant: Plant, browser: Chromium) -> None:
    await drafted(plant, 300)
    page = await browser.open("/changes", cookies=plant.engineer)
    await applied(page, reason="less traffic")
    await page.goto(f"{browser.url}/tags")
    await page.get_by_text("Unconfirmed: revision").wait_for()
    await page.get_by_text(re.compile(r"Taken back in 0:\d\d")).wait_for()
    await page.get_by_text("less traffic").wait_for()
    await page.get_by_role("button", name="Confirm").click()
    await page.get_by_text(re.compile(r"Revision \d+ is confirmed by eve")).wait_for()
    assert await outcome(plant) == "confirmed"
    await page.goto(f"{browser.url}/changes")
    row = page.get_by_role("row").filter(has_text="less traffic")
    await row.get_by_text("Confirmed").wait_for()
    await page.get_by_role("row").filter(has_text="found").get_by_role("link").click()
    await page.get_by_role("link", name="What runs now").click()
    await page.get_by_text("Against what runs now").wait_for()
    await page.get_by_role("button", name="Go back to it").click()
    dialog = page.get_by_role("dialog")
    await dialog.get_by_label("To be confirmed within").select_option("Needs no confirmation")
    await dialog.get_by_role("button", name="Go back to it").click()
    await page.wait_for_url(re.compile("/changes$"))
    newest = (await api(plant, "GET", "/v1/config/history"))[0]
    assert (newest["kind"], newest["outcome"], newest["author"]) == ("rollback", "confirmed", "eve")


async def test_by_keyboard_alone(plant: Plant, browser: Chromium) -> None:
    await drafted(plant, 350)
    page = await browser.open("/changes", cookies=plant.engineer)
    await page.get_by_role("button", name="Apply", exact=True).focus()
    await page.keyboard.press("Enter")
    await page.keyboard.type("by keyboard")
    await page.keyboard.press("Enter")
    await page.get_by_text("Unconfirmed: revision").wait_for()
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")  # skip to the content: the banner is the first thing there
    await page.keyboard.press("Tab")
    assert await page.evaluate("document.activeElement.textContent") == "Confirm"
    await page.keyboard.press("Tab")
    await page.keyboard.press("Enter")
    await page.get_by_text(re.compile("was taken back by eve")).wait_for()
    assert await outcome(plant) == "rolled back"


async def test_what_cuts_off_the_broker_comes_back_and_the_page_says_so(plant: Plant, browser: Chromium) -> None:
    await api(
        plant, "PATCH", "/v1/config/draft", {"edits": [{"op": "set", "path": ["sink", "plant", "port"], "value": 9}]}
    )
    await api(plant, "POST", "/v1/config/apply", {"reason": "another broker", "confirm_within_s": 4})
    page = await browser.open("/tags", cookies=plant.engineer)
    await page.get_by_text("Not well again yet: sink plant.").wait_for()
    await page.reload()
    await page.get_by_text("Unconfirmed: revision").wait_for()
    await page.get_by_text("was taken back by itself: nobody confirmed it within 4 s; sink plant isn't back").wait_for()
    assert not await page.get_by_text("Unconfirmed: revision").is_visible()
    await plant.gateway.until(lambda status: status["sinks"]["plant"]["connected"], "connected again")


async def test_a_page_that_is_cut_off_goes_on_counting(plant: Plant, browser: Chromium) -> None:
    browser.allow("ERR_|503")
    await drafted(plant, 400)
    await api(plant, "POST", "/v1/config/apply", {"confirm_within_s": 60})
    page = await browser.open("/tags", cookies=plant.engineer)
    await page.get_by_role("button", name="Confirm").wait_for()
    await page.context.set_offline(True)
    await page.get_by_text("This page is cut off from the gateway").wait_for()
    before = await page.locator("change-banner .clock").inner_text()
    await until(page, f"document.querySelector('change-banner .clock').textContent !== {before!r}")
    assert not await page.get_by_role("button", name="Confirm").is_visible()
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Confirm").wait_for()


async def test_problems_are_told_at_their_lines_and_mended_as_text(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/changes/edit", cookies=plant.engineer)
    await page.locator("toml-editor .cm-content").wait_for()
    text = await page.locator("textarea").input_value()
    bad = text.replace("interval_ms = 100", 'interval_ms = "fast"')
    line = bad[: bad.index('"fast"')].count("\n") + 1
    await page.locator("toml-editor .cm-content").click()
    await page.keyboard.press("Control+a")
    await page.keyboard.insert_text(bad)
    await page.keyboard.press("Control+s")
    problem = page.get_by_role("region", name="Problems").get_by_role("link", name=f"tidegate.toml:{line}")
    await problem.wait_for()
    await page.locator("toml-editor .cm-lint-marker-error").wait_for()
    await page.goto(f"{browser.url}/changes")
    await page.get_by_text("to be mended before it can be applied").wait_for()
    assert not await page.get_by_role("button", name="Apply", exact=True).is_visible()
    await page.get_by_role("link", name=f"tidegate.toml:{line}").click()
    await page.locator("toml-editor .cm-content").wait_for()
    assert await page.evaluate("document.activeElement.tagName") == "TOML-EDITOR", "the cursor stands at the line"


async def test_the_editor_is_a_plain_field_without_scripts(plant: Plant, browser: Chromium) -> None:
    context = await browser.profile(plant.engineer)
    await context.route("**/*.js", lambda route: route.abort())
    browser.allow("ERR_FAILED")
    page = await browser.open("/changes/edit", context=context)
    field = page.get_by_label("Text of tidegate.toml")
    await field.fill(await field.input_value() + "# noted\n")
    await page.get_by_role("button", name="Save in the draft").click()
    await page.get_by_text("The draft can be applied.").wait_for()
    files = (await api(plant, "GET", "/v1/config/draft"))["files"]
    assert files[0]["text"].endswith("# noted\n")
    assert "\r" not in files[0]["text"], "line ends stay as they were"


async def test_files_are_added_and_taken_out(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/changes/edit?new=1", cookies=plant.engineer)
    await page.locator("toml-editor .cm-content").wait_for()
    await page.get_by_label("Name", exact=True).fill("conf.d/more.toml")
    await page.get_by_role("button", name="Save in the draft").click()
    await page.get_by_role("heading", name="conf.d/more.toml").wait_for()
    await page.get_by_role("button", name="Take this file out").click()
    await page.get_by_role("heading", name="tidegate.toml").wait_for()
    assert not await page.get_by_role("link", name="conf.d/more.toml").is_visible()


async def test_two_who_edit_one_file_get_both_changes(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/changes/edit", cookies=plant.engineer)
    await page.locator("toml-editor .cm-content").wait_for()
    await drafted(plant, 450)
    await page.locator("toml-editor .cm-content").click()
    await page.keyboard.press("Control+End")
    await page.keyboard.insert_text("# by eve\n")
    await page.get_by_role("button", name="Save in the draft").click()
    await page.get_by_text("below stands the file with both changes", exact=False).wait_for()
    await page.get_by_role("button", name="Save in the draft").click()
    await page.get_by_text("The draft can be applied.").wait_for()
    text = (await api(plant, "GET", "/v1/config/draft"))["files"][0]["text"]
    assert "interval_ms = 450" in text
    assert text.endswith("# by eve\n")


async def test_two_who_change_the_same_line_see_both_and_choose(plant: Plant, browser: Chromium) -> None:
    await drafted(plant, 500)
    main = plant.gateway.config
    before = main.read_text()
    page = await browser.open("/changes", cookies=plant.engineer)
    try:
        main.write_text(before.replace("interval_ms = 100", "interval_ms = 700"))
        await page.get_by_role("button", name="Apply", exact=True).click()
        browser.allow("409")
        await page.get_by_role("button", name="Apply it").click()
        await page.get_by_text("The files were changed by somebody else").wait_for()
        conflict = page.locator("#conflict")
        assert "500" in await conflict.get_by_role("region", name="tidegate.toml, by the draft").inner_text()
        assert "700" in await conflict.get_by_role("region", name="tidegate.toml, in place").inner_text()
        assert not await axe(page)
        await picture(page, "conflict", of="#conflict")
        await conflict.get_by_role("radio", name="Theirs;").last.check()
        await conflict.get_by_role("button", name="Take their changes into the draft").click()
        await page.get_by_text("Nothing is changed in it").wait_for()
    finally:
        main.write_text(before)


async def test_garbage_is_refused_in_one_sentence(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/changes", cookies=plant.engineer)
    await page.get_by_role("button", name="Import").click()
    await page.get_by_label("Archive").set_input_files(
        {"name": "holiday.tar", "mimeType": "application/x-tar", "buffer": b"\x89PNG garbage" * 50}
    )
    browser.allow("409")
    await page.get_by_role("button", name="Put it into the draft").click()
    said = page.get_by_role("dialog").get_by_role("alert")
    await said.wait_for()
    assert "archive" in (await said.inner_text()).lower()
    assert (await api(plant, "GET", "/v1/config"))["draft"] is None


async def test_what_is_exported_can_be_imported(plant: Plant, browser: Chromium) -> None:
    page = await browser.open("/changes", cookies=plant.engineer)
    async with page.expect_download() as downloading:
        await page.get_by_role("link", name="Export").click()
    path = await (await downloading.value).path()
    await page.get_by_role("button", name="Import").click()
    await page.get_by_label("Archive").set_input_files(path)
    await page.get_by_role("button", name="Put it into the draft").click()
    await page.get_by_text("Nothing is changed in it").wait_for()


async def test_a_draft_is_discarded_only_as_it_was_seen(plant: Plant, browser: Chromium) -> None:
    await drafted(plant, 550)
    page = await browser.open("/changes", cookies=plant.engineer)
    await page.get_by_role("button", name="Discard").click()
    await drafted(plant, 600)
    browser.allow("409")
    await page.get_by_role("button", name="Discard it").click()
    await page.get_by_text("changed the draft in the meantime").wait_for()
    await page.reload()
    await page.get_by_role("button", name="Discard").click()
    await page.get_by_role("button", name="Discard it").click()
    await page.get_by_text("No draft").wait_for()


async def test_a_tools_configuration_is_read_only_and_exported_as_a_patch(plant: Plant, browser: Chromium) -> None:
    await drafted(plant, 650)
    await api(plant, "PUT", "/v1/config/owner", {"name": "ansible"})
    try:
        page = await browser.open("/changes", cookies=plant.engineer)
        await page.get_by_text("The configuration belongs to ansible").wait_for()
        assert not await page.get_by_role("button", name="Apply", exact=True).is_visible()
        assert not await page.get_by_role("button", name="Take it over").is_visible()
        async with page.expect_download() as downloading:
            await page.get_by_role("link", name="Export as patch").click()
        assert "+interval_ms = 650" in (await (await downloading.value).path()).read_text()
        page = await browser.open("/changes", cookies=plant.admin)
        await page.get_by_role("button", name="Take it over for people").click()
        await page.get_by_role("button", name="Apply", exact=True).wait_for()
    finally:
        await api(plant, "PUT", "/v1/config/owner", {"name": "page"})


async def test_who_may_not_change_it_sees_that_there_is_a_draft(plant: Plant, browser: Chromium) -> None:
    await drafted(plant, 750)
    for cookies in (plant.viewer, plant.operator):
        page = await browser.open("/changes", cookies=cookies)
        await page.get_by_text("Engineers and admins may look into it.").wait_for()
        for name in ("Apply", "Import", "Discard"):
            assert not await page.get_by_role("button", name=name, exact=True).is_visible()
    await api(plant, "POST", "/v1/config/apply", {"confirm_within_s": 60})
    await page.get_by_text("An engineer or admin can confirm it or take it back.").wait_for()
    assert not await page.get_by_role("button", name="Confirm").is_visible()


async def test_it_suits_every_screen_and_reader(plant: Plant, browser: Chromium) -> None:
    await drafted(plant, 800)
    await accessible(browser, "/changes", plant.engineer, ready="#draft .diff")
    await accessible(browser, "/changes/edit", plant.engineer, ready="toml-editor .cm-content", every=False)
    await accessible(browser, "/changes/history/1", plant.admin, every=False)
    page = await browser.open("/changes", cookies=plant.engineer, size=NARROW)
    await page.get_by_role("button", name="Apply", exact=True).click()
    assert not await axe(page)
