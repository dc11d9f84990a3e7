"""Event loops to run asynchronous tests on: the standard one, and the one the gateway uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import uvloop

LOOP_FACTORIES: Mapping[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.new_event_loop,
    "uvloop": uvloop.new_event_loop,
}
"""For the hook ``pytest_asyncio_loop_factories``."""
