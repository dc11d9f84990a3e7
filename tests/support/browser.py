"""Chromium under test: what every page must do, whatever the test is about, is checked for every test.

Nothing is asked of another origin, nothing is said on the console, the content security policy isn't broken. A test
that expects something of that kind says so: ``browser.allow(...)``.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, Request, async_playwright

from tests.support.page import find_chromium

TESTS = Path(__file__).parents[1] / "web"
IMAGES = Path(__file__).parents[2] / "docs" / "images"
NARROW, WIDE = (360, 780), (1440, 900)
TIMEOUT_MS = 30_000
_FLAGS = ("--no-sandbox", "--disable-dev-shm-usage", "--ignore-certificate-errors", "--force-color-profile=srgb")
_VIOLATIONS = """
document.addEventListener("securitypolicyviolation", (event) => console.error(
  `CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


def modules() -> Path:
    """Where the npm packages of the browser tests are installed. The Makefile's rule `packages-web` makes the same."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    digest = hashlib.sha256((TESTS / "package-lock.json").read_bytes()).hexdigest()[:16]
    return cache / "tidegate" / "web" / f"tests-{digest}" / "node_modules"


class Chromium:
    """One browser, and pages of it that are watched."""

    def __init__(self, browser: Browser, url: str) -> None:
        """`url`: the page's origin."""
        self._browser = browser
        self.url = url
        self._contexts: list[BrowserContext] = []
        self._faults: list[str] = []
        self._allowed: list[re.Pattern[str]] = []

    def allow(self, pattern: str) -> None:
        """What the console may say in this test, as a regular expression."""
        self._allowed.append(re.compile(pattern))

    async def open(
        self,
        path: str = "/",
        *,
        cookies: Mapping[str, str] | None = None,
        size: tuple[int, int] = WIDE,
        scheme: str = "light",
        context: BrowserContext | None = None,
    ) -> Page:
        """A new tab at `path`; in a browser profile of its own unless `context` is given."""
        context = context or await self.profile(cookies, size, scheme)
        page = await context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self._faults.append(f"error: {error}"))
        await page.goto(self.url + path)
        return page

    async def profile(
        self, cookies: Mapping[str, str] | None = None, size: tuple[int, int] = WIDE, scheme: str = "light"
    ) -> BrowserContext:
        context = await self._browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
            ignore_https_errors=True,
        )
        await context.grant_permissions(["clipboard-read", "clipboard-write"])
        await context.add_init_script(_VIOLATIONS)
        context.on("request", self._asked)
        if cookies:
            await context.add_cookies(
                [{"name": name, "value": value, "url": self.url, "secure": True} for name, value in cookies.items()]
            )
        self._contexts.append(context)
        return context

    async def check(self) -> None:
        """Raises AssertionError with every fault there was."""
        for context in self._contexts:
            await context.close()
        faults = [fault for fault in self._faults if not any(allowed.search(fault) for allowed in self._allowed)]
        assert not faults, "\n".join(faults)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self._faults.append(f"console {message.type}: {message.text} ({message.location.get('url')})")

    def _asked(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in {"data", "blob"} and f"{parts.scheme}://{parts.netloc}" != self.url:
            self._faults.append(f"a request off the origin: {request.url}")


@contextlib.asynccontextmanager
async def chromium(url: str) -> AsyncIterator[Chromium]:
    """A browser for the page at `url`; its faults fail the test."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=find_chromium(), args=list(_FLAGS))
        try:
            watched = Chromium(browser, url)
            yield watched
            await watched.check()
        finally:
            await browser.close()


async def until(page: Page, expression: str) -> Any:
    """The value of a JavaScript expression as soon as it is true. Playwright's own `wait_for_function` needs a page
    that lets text become code, which ours don't."""
    async with asyncio.timeout(TIMEOUT_MS / 1000):
        while True:
            if value := await page.evaluate(expression):
                return value
            await asyncio.sleep(0.05)


async def axe(page: Page) -> list[str]:
    """What axe-core finds wrong with a page as it is now: rule, element, why."""
    source = (modules() / "axe-core" / "axe.min.js").read_text()
    # Through the debugger: a script element would be against the page's policy, which stays in force.
    await page.evaluate(source + "\n;undefined")
    found: dict[str, Any] = await page.evaluate(
        """async () => await axe.run(document, {resultTypes: ["violations"],
             runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]})"""
    )
    return [
        f"{violation['id']}: {node['target']}: {node['failureSummary']}"
        for violation in found["violations"]
        for node in violation["nodes"]
    ]


async def accessible(
    browser: Chromium, path: str, cookies: Mapping[str, str], ready: str = "main h1", *, every: bool = True
) -> None:
    """A page at 360 and 1,440 px, light and dark: axe-core finds nothing, and nothing is wider than the window.

    `ready`: a selector of what must be there before the page is looked at; scripts that are still to come are waited
    for besides. `every`: False leaves it at narrow and dark, wide and light, for pages of many that are made alike.
    """
    for size in (NARROW, WIDE):
        for scheme in ("light", "dark") if every else ("dark",) if size == NARROW else ("light",):
            page = await browser.open(path, cookies=cookies, size=size, scheme=scheme)
            await page.wait_for_selector(ready)
            await until(page, "!document.querySelector('[data-early]:disabled')")
            found = await axe(page)
            assert not found, f"{path} at {size[0]} px, {scheme}:\n" + "\n".join(found)
            wide = await page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 0, f"{path} at {size[0]} px is {wide} px wider than the window"
            await page.close()


async def picture(page: Page, name: str, *, of: str | None = None) -> None:
    """Write ``docs/images/NAME.png``, only when asked: with TIDEGATE_PICTURES=1.

    `of`: a selector of the part that is to be seen, which may be higher than the window.
    """
    if not os.environ.get("TIDEGATE_PICTURES"):
        return
    IMAGES.mkdir(parents=True, exist_ok=True)
    path, size = IMAGES / f"{name}.png", page.viewport_size
    if of is None:
        await page.evaluate("scrollTo(0, 0)")
        await page.screenshot(path=path, animations="disabled", scale="css")
        return
    assert size is not None
    # In a window that is high enough nothing that sticks to its edge lies across.
    await page.set_viewport_size({"width": size["width"], "height": 4 * size["height"]})
    await page.locator(of).first.screenshot(path=path, animations="disabled", scale="css")
    await page.set_viewport_size(size)
