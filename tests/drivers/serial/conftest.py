from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path

import pytest

from tests.drivers.serial.bench import Bench
from tests.support.loops import LOOP_FACTORIES


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOP_FACTORIES


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """A null modem, not yet connected."""
    made = Bench(tmp_path)
    made.far.plug()
    yield made
    if made.opened is not None:
        await made.opened.close()
    made.far.unplug()
