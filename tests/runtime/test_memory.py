"""What a hundred changes of configuration leave behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections import Counter

import psutil
import pytest

from gateway.southbound.link import FIRST_VALUE_S
from tests.runtime.test_apply import TAG, Site, running, site

pytestmark = pytest.mark.integration
__all__ = ["site"]

log = logging.getLogger(__name__)

APPLIES = 100
SPREAD_BYTES = 4 << 20
"""What memory goes up and down by anyway: threads come, arenas fill."""
OWN = ("Message", "LogRecord", "Happened", "DeviceChanged", "LinkChanged", "SinkChanged", "Struct")
"""What is remembered by itself: by the tests what the broker and the log said; a bounded number of events by the
gateway, and of formats by Python's struct module."""


def alive() -> Counter[str]:
    """Every object there is, those that a start has frozen too, by type."""
    gc.unfreeze()
    gc.collect()
    counts = Counter(type(each).__name__ for each in gc.get_objects())
    gc.freeze()
    return counts


async def settled(bound: Counter[str], slack: int) -> Counter[str]:
    """What is alive once there is little more of anything than `bound` says, or after some seconds: timers hold on."""
    for _ in range(20):
        await asyncio.sleep(0.2)
        now = alive()
        if all(count - bound[kind] <= slack for kind, count in now.items() if kind not in OWN):
            break
    return now


async def test_a_hundred_applies_leave_nothing_behind(site: Site) -> None:
    few = site.settings(1, sink=f"{TAG}\nwindow = 100")
    many = site.settings(4, sink=f"{TAG}\nwindow = 50")
    process = psutil.Process()
    async with running(site, few) as runtime:

        async def apply(times: int) -> None:
            for step in range(times):
                await runtime.apply(few if step % 2 else many)
            await site.until_value("dev0/count")

        await apply(20)  # what is made once is made now
        before = await settled(Counter(), 0)
        memory, heard = process.memory_info().rss, len(site.subscriber.messages)
        await apply(APPLIES)
        after = await settled(before, APPLIES // 2)
        own = len(site.subscriber.messages) - heard
        grown = process.memory_info().rss - memory
        log.info("%d applies and %d messages of the broker kept: %+d KiB", APPLIES, own, grown // 1024)
        more = {kind: count for kind, count in (after - before).items() if count > APPLIES // 2 and kind not in OWN}
        assert not more
        assert grown < SPREAD_BYTES + 1024 * own


async def test_what_was_made_by_a_start_goes_too_when_it_is_replaced(site: Site) -> None:
    """The collector never looks at it: nothing of it may hold on to itself."""
    start, then = site.settings(3), site.settings(1, sink=f"{TAG}\nwindow = 10")
    async with running(site, start) as runtime:
        await site.until_value("dev2/count")
        made = [
            weakref.ref(each)
            for each in (*runtime.southbound._links[1:], *(running.sink for running in runtime._sinks.values()))
        ]
        await runtime.apply(then)
        await site.until_value("dev0/count")
        await asyncio.sleep(2 * FIRST_VALUE_S)  # timers hold on for so long
        gc.collect()
        assert [each() for each in made] == [None, None, None]
