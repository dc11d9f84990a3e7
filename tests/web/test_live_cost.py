"""What a thousand live tags cost: the gateway, the page's process, and a browser with eight tabs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from playwright.async_api import CDPSession, expect

from gateway.actors import Role
from tests.support.browser import chromium
from tests.support.configuration import configuration
from tests.support.effort import times
from tests.support.field import Field
from tests.support.gateway import GatewayProcess
from tests.support.mosquitto import Mosquitto
from tests.support.page import PageProcess
from tests.support.people import settle
from tests.web.conftest import Plant

pytestmark = [pytest.mark.e2e, pytest.mark.integration]

DEVICES, TAGS, TABS = 10, 100, 8
WINDOW_S = 10.0
SERVER_SHARE = 0.02
"""Of one core, of what the page adds: the gateway's part of it and the page's own process."""
BROWSER_MS_PER_S = 100.0


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Plant]:
    directory = tmp_path_factory.mktemp("large")
    with Mosquitto(directory) as broker, Field(DEVICES) as field:
        settle(directory / "data")
        ports = [slave.port for slave in field.slaves]
        text = configuration(directory / "data", ports, broker.port, registers=TAGS + 3, interval_ms=1000)
        with GatewayProcess(directory, text) as gateway:
            page = PageProcess(directory, directory / "data" / "control.sock")
            admin, viewer = page.sign_in(), page.sign_in("vera", Role.VIEWER)
            engineer, operator = page.sign_in("eve", Role.ENGINEER), page.sign_in("otto", Role.OPERATOR)
            with page:
                yield Plant(gateway, broker, field, page, admin, viewer, engineer, operator)


def used_s(*pids: int) -> float:
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in pids)


async def share(seconds: float, *pids: int) -> float:
    """Of one core, over so many seconds."""
    before, began = used_s(*pids), time.monotonic()
    await asyncio.sleep(seconds)
    return (used_s(*pids) - before) / (time.monotonic() - began)


async def metric(session: CDPSession, name: str) -> float:
    found = await session.send("Performance.getMetrics")
    return next(float(entry["value"]) for entry in found["metrics"] if entry["name"] == name)


@pytest.mark.timeout(300)
async def test_a_thousand_tags_in_eight_tabs(large: Plant, record_property: Callable[[str, object], None]) -> None:
    window_s = WINDOW_S * times(1)
    gateway, page = large.gateway.pid, large.page.pid
    await large.gateway.until(lambda status: status["sinks"]["plant"]["connected"], "connected")
    await asyncio.sleep(3)
    alone = await share(window_s, gateway, page)
    async with chromium(large.page.url) as browser:
        context = await browser.profile(large.admin)
        tabs = [await browser.open("/tags", context=context) for _ in range(TABS)]
        sessions = []
        for tab in tabs:
            await expect(tab.locator("[data-count]")).to_have_text("1000 tags, all good")
            session = await context.new_cdp_session(tab)
            # Time that the tab's thread ran: on a busy machine it also waits, which is no work of the page's.
            await session.send("Performance.enable", {"timeDomain": "threadTicks"})
            sessions.append(session)
        await asyncio.sleep(3)
        before = [await metric(session, "TaskDuration") for session in sessions]
        first = [await tab.locator("live-table td.value").first.inner_text() for tab in tabs]
        began = time.monotonic()
        watched = await share(window_s, gateway, page)
        after = [await metric(session, "TaskDuration") for session in sessions]
        took = time.monotonic() - began
        last = [await tab.locator("live-table td.value").first.inner_text() for tab in tabs]
        tasks = [(late - early) * 1000 / took for early, late in zip(before, after, strict=True)]
        heap = await metric(sessions[0], "JSHeapUsedSize")
        memory = {"page": large.page.pss_mb(), "gateway": _pss_mb(gateway)}
    figures = {
        "server alone, % of a core": round(100 * alone, 2),
        "server with 8 tabs, % of a core": round(100 * watched, 2),
        "browser, ms/s in the busiest tab": round(max(tasks), 1),
        "browser, ms/s in all tabs": round(sum(tasks), 1),
        "heap of a tab, MB": round(heap / 1e6, 1),
        "page PSS, MB": round(memory["page"], 1),
        "gateway PSS, MB": round(memory["gateway"], 1),
    }
    for name, value in figures.items():
        record_property(name, value)
    assert all(new != old for new, old in zip(last, first, strict=True)), "every tab is live"
    assert watched - alone <= SERVER_SHARE
    assert max(tasks) <= BROWSER_MS_PER_S


def _pss_mb(pid: int) -> float:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no Pss")
