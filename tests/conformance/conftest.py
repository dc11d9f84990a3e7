from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest

from tests.conformance.adapters import ADAPTERS, Adapter
from tests.conformance.rig import Rig
from tests.support.loops import LOOP_FACTORIES
from tests.support.site import SITE


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOP_FACTORIES


@pytest.fixture(params=ADAPTERS, ids=lambda adapter: getattr(adapter, "row", adapter.kind.name))
async def adapter(request: pytest.FixtureRequest) -> AsyncIterator[Adapter]:
    peer: Adapter = request.param()
    await peer.start()
    yield peer
    await peer.stop()


@pytest.fixture
async def rig(adapter: Adapter) -> AsyncIterator[Rig]:
    bus = adapter.kind.open_bus("link1", adapter.link_options(), SITE)
    driver = adapter.kind.open_device(bus, "device1", adapter.device_options())
    yield Rig(adapter, bus, driver)
    await bus.close()
