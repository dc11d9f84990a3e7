from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
from _pytest.terminal import TerminalReporter

from tests.conformance.adapters import ADAPTERS, Adapter
from tests.conformance.rig import Rig
from tests.support.loops import LOOP_FACTORIES
from tests.support.site import SITE


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOP_FACTORIES


ROW = "conformance row"


def row_of(adapter: type[Adapter]) -> str:
    return str(getattr(adapter, "row", adapter.kind.name))


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """A row per driver, where this suite is run by itself."""
    if not all("conformance" in argument for argument in config.args):
        return
    counts: dict[str, Counter[str]] = {row_of(adapter): Counter() for adapter in ADAPTERS}
    for outcome in ("passed", "failed", "error", "skipped"):
        for report in terminalreporter.getreports(outcome):
            if (row := dict(report.user_properties).get(ROW)) in counts:
                counts[row]["failed" if outcome == "error" else outcome] += 1
    terminalreporter.section("drivers")
    terminalreporter.write_line(f"{'driver':<14}{'passed':>8}{'failed':>8}{'not its power':>15}")
    for row, count in counts.items():
        colour = {"red": True} if count["failed"] else {"green": True}
        line = f"{row:<14}{count['passed']:>8}{count['failed']:>8}{count['skipped']:>15}"
        terminalreporter.write_line(line, **colour)


@pytest.fixture(params=ADAPTERS, ids=row_of)
async def adapter(request: pytest.FixtureRequest) -> AsyncIterator[Adapter]:
    request.node.user_properties.append((ROW, row_of(request.param)))
    peer: Adapter = request.param()
    await peer.start()
    yield peer
    await peer.stop()


@pytest.fixture
async def rig(adapter: Adapter) -> AsyncIterator[Rig]:
    async with rig_of(adapter) as made:
        yield made


@pytest.fixture
async def patient_rig(adapter: Adapter) -> AsyncIterator[Rig]:
    """For a peer that answers, many times or slowly: a busy machine must not make it silent once."""
    adapter.timeout_s *= 4
    async with rig_of(adapter) as made:
        yield made


@contextlib.asynccontextmanager
async def rig_of(adapter: Adapter) -> AsyncIterator[Rig]:
    bus = adapter.kind.open_bus("link1", adapter.link_options(), SITE)
    driver = adapter.kind.open_device(bus, "device1", adapter.device_options())
    yield Rig(adapter, bus, driver)
    await bus.close()
