"""What speaks to the transport itself runs on both event loops; the rest on the one the gateway uses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.support.loops import LOOP_FACTORIES

_BOTH = ("test_session.py", "test_tls.py", "test_support.py")


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return LOOP_FACTORIES if item.path.name in _BOTH else {"uvloop": LOOP_FACTORIES["uvloop"]}
