"""How much a browser that was never here loads, and how long that takes, until a page stands there whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from gateway.web.assets import DIRECTORY
from tests.support.browser import Chromium, until
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

MOST_BYTES = 150_000
"""As they go over the wire: compressed, with their headers."""
LONGEST_MS = 1000.0
TRIES = 5
"""The quickest counts: what else this machine does isn't the page's fault."""
_LOADED = "performance.getEntriesByType('navigation')[0].loadEventEnd"

_ALIVE = "document.querySelectorAll(':not(:defined)').length === 0"
"""Every element's script has come, those too that only this page needs."""


async def load(browser: Chromium, path: str, cookies: dict[str, str] | None) -> tuple[int, float]:
    """(bytes, ms until everything is loaded) in a profile that is new."""
    context = await browser.profile(cookies)
    page = await context.new_page()
    session = await context.new_cdp_session(page)
    sizes: list[float] = []

    def finished(event: dict[str, Any]) -> None:
        sizes.append(event["encodedDataLength"])

    session.on("Network.loadingFinished", finished)
    await session.send("Network.enable")
    await page.goto(browser.url + path)
    ms = await until(page, _LOADED)
    await until(page, _ALIVE)
    await context.close()
    return int(sum(sizes)), float(ms)


@pytest.mark.parametrize("path", ["/login", "/"])
async def test_a_first_visit_is_small_and_quick(
    plant: Plant, browser: Chromium, path: str, record_property: Callable[[str, object], None]
) -> None:
    cookies = None if path == "/login" else plant.admin
    visits = [await load(browser, path, cookies) for _ in range(TRIES)]
    # A worker's script is loaded apart from the page that shares it.
    name = json.loads((DIRECTORY / "manifest.json").read_text())["live-worker.js"]
    worker = len(gzip.compress((DIRECTORY / name).read_bytes())) if cookies else 0
    size, ms = max(size for size, _ in visits) + worker, min(ms for _, ms in visits)
    record_property("bytes", size)
    record_property("ms", ms)
    assert 1000 < size < MOST_BYTES
    assert 0 < ms < LONGEST_MS
