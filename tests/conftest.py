"""Order: what is quick runs first, so that a mistake shows in seconds. And what chance may do to a run."""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# So that what fails in them shows its values, too.
pytest.register_assert_rewrite("tests.conformance.rig", "tests.support")

_LATER = ("integration", "fault", "e2e")

# Stands for hypothesis' own profile of this name. Where the variable CI is set it takes the one called "ci" instead,
# which tries the same examples each time. Neither looks at the clock: that would test how busy the machine is.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)


def in_time(test: Callable[..., Awaitable[None]], limit_s: float) -> Callable[..., Awaitable[None]]:
    """An asynchronous test that fails where it hangs. pytest-timeout can't do that: uvloop swallows what it raises."""

    @functools.wraps(test)
    async def bounded(*args: Any, **named: Any) -> None:
        async with asyncio.timeout(limit_s):
            await test(*args, **named)

    return bounded


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
            own = item.get_closest_marker("timeout")
            limit_s = float(own.args[0] if own else item.config.getini("timeout"))
            item.obj = in_time(item.obj, 0.9 * limit_s)
    items.sort(
        key=lambda item: max((_LATER.index(m.name) + 1 for m in item.iter_markers() if m.name in _LATER), default=0)
    )
