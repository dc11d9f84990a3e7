from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drivers.modbus import KIND
from drivers.modbus.device import ModbusDevice
from drivers.modbus.transport.wire import WireBus
from gateway.driver import Site
from tests.support.libmodbus_peer import LibmodbusPeer
from tests.support.loops import LOOP_FACTORIES
from tests.support.raw_modbus import RawSlave


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOP_FACTORIES


@dataclass
class Plant:
    """Connected buses and their devices, closed at the end of the test."""

    state: Path
    buses: list[WireBus[Any]] = field(default_factory=list)

    async def device(
        self, port: int, *, link: dict[str, Any] | None = None, state: str | None = None, **device: Any
    ) -> ModbusDevice[Any]:
        """Each device remembers in a directory of its own, unless the same `state` is named."""
        options = {"host": "127.0.0.1", "port": port, "timeout_ms": 100, **(link or {})}
        site = Site("gw1", self.state / (state or f"device{len(self.buses)}-{time.monotonic_ns()}"))
        bus = KIND.open_bus("link1", KIND.link_options(**options), site)
        assert isinstance(bus, WireBus)
        self.buses.append(bus)
        await bus.connect()
        opened = KIND.open_device(bus, "filler1", KIND.device_options(**device))
        assert isinstance(opened, ModbusDevice)
        return opened

    @property
    def counters(self) -> dict[str, int]:
        """Of the bus opened last."""
        return dict(KIND.counters(self.buses[-1]))


@pytest.fixture
async def plant(tmp_path: Path) -> AsyncIterator[Plant]:
    opened = Plant(tmp_path)
    yield opened
    for bus in opened.buses:
        await bus.close()


@pytest.fixture
async def slave() -> AsyncIterator[RawSlave]:
    async with RawSlave() as running:
        running.holding[:200] = range(1000, 1200)
        yield running


@pytest.fixture(scope="session")
def libmodbus() -> Iterator[LibmodbusPeer]:
    with LibmodbusPeer() as peer:
        yield peer
