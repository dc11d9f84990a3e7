"""A driver, its bus, and the peer at the other end; and one who listens to a subscription."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import uvloop

from gateway.driver import Bus, DeviceSilent, Driver, Plan, Point, Subscribes
from gateway.model import Batch, Value, is_bad
from tests.conformance.adapters import Adapter, Asked
from tests.support.groups import group_of
from tests.support.receiver import Ear


class Listener(Ear):
    """An ear that also remembers what was wrong with what it was told."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.latest: dict[int, tuple[Value, int]] = {}
        """Column → value and quality."""
        self.flaws: list[str] = []
        self._layout = plan.group.layout
        self._loop_thread = threading.get_ident()
        self._begun = time.time_ns(), time.monotonic_ns()

    def take(self, batch: Batch) -> None:
        columns = range(len(self._layout.tags)) if batch.columns is None else batch.columns
        codes = [0] * len(columns) if batch.qualities is None else batch.qualities
        if batch.layout is not self._layout:
            self._complain("a batch of another layout")
        if not len(batch.values) == len(columns) == len(codes) == len(set(columns)):
            self._complain(f"{len(batch.values)} values and {len(codes)} qualities for columns {[*columns]}")
        if any(value is None and not is_bad(code) for value, code in zip(batch.values, codes, strict=True)):
            self._complain("no value, and not bad")
        if not self._begun <= (batch.read_ns, batch.mono_ns) <= (time.time_ns(), time.monotonic_ns()):
            self._complain("a time stamp that isn't of now")
        if not batch.history:
            self.latest.update(zip(columns, zip(batch.values, codes, strict=True), strict=True))
        self._check_thread()
        super().take(batch)

    def confirm(self, columns: Sequence[int] | None = None) -> None:
        if not set(range(len(self._layout.tags)) if columns is None else columns) <= set(self.latest):
            self._complain("a column was confirmed before it was ever reported")
        self._check_thread()
        super().confirm(columns)

    def lost(self, count: int, reason: str) -> None:
        if count <= 0 or not reason:
            self._complain(f"lost {count} values: {reason!r}")
        self._check_thread()
        super().lost(count, reason)

    def silent(self, reason: str) -> None:
        self._check_end("silent", reason)
        super().silent(reason)

    def down(self, reason: str) -> None:
        self._check_end("down", reason)
        super().down(reason)

    @property
    def values(self) -> tuple[Value, ...]:
        """The latest value of every column; None where it is bad or nothing was said of it."""
        return tuple(self.latest.get(column, (None, 0))[0] for column in range(len(self._layout.tags)))

    async def until(self, condition: Callable[[], object], bound_s: float = 20.0) -> None:
        await super().until(condition, bound_s)
        assert self.flaws == []

    def _check_end(self, how: str, reason: str) -> None:
        if not reason or "\n" in reason:
            self._complain(f"{how} without one sentence why: {reason!r}")
        self._check_thread()

    def _complain(self, flaw: str) -> None:
        self.flaws.append(flaw)

    def _check_thread(self) -> None:
        if threading.get_ident() != self._loop_thread:
            self._complain("called on another thread than the loop's")


@dataclass
class Rig:
    adapter: Adapter
    bus: Bus
    driver: Driver

    @property
    def bound_s(self) -> float:
        """No call may take longer than this, whatever the peer does."""
        return max(2.0, 20 * self.adapter.timeout_s)

    @property
    def lives(self) -> int:
        """How many lives of a connection must leave nothing behind. A leak is hardly ever one of a single kind of loop,
        so that the one the gateway runs on bears the brunt where each takes long."""
        on_gateways_loop = isinstance(asyncio.get_running_loop(), uvloop.Loop)
        return 200 if on_gateways_loop or not self.adapter.connects_slowly else 30

    def plan(self, *points: Point) -> Plan:
        return self.driver.plan(group_of(*points))

    async def read_right(self, plan: Plan) -> None:
        batch = await self.driver.read(plan)
        assert tuple(batch.values) == tuple(self.adapter.values)
        assert batch.qualities is None

    def asked(self) -> int:
        return self.adapter.requests() if isinstance(self.adapter, Asked) else 0

    async def silence(self, plan: Plan) -> None:
        """Silence the peer, and read what one that talks unasked had said before."""
        self.adapter.silence()
        if not isinstance(self.adapter, Asked):
            async with asyncio.timeout(self.bound_s):
                with contextlib.suppress(DeviceSilent):
                    while True:
                        await self.driver.read(plan)

    async def until_waiting(self, requests: int = 1) -> None:
        """Until a read that was just begun waits for the answer to its request number `requests`.

        Raises TimeoutError: it may have ended before.
        """
        if isinstance(self.adapter, Asked):
            async with asyncio.timeout(self.bound_s):
                await self.adapter.asked(requests)
        else:
            await asyncio.sleep(self.adapter.timeout_s / 4)  # nothing shows from outside that somebody listens

    async def listen(self, *points: Point, name: str = "fast") -> Listener:
        """Subscribe to `points`."""
        assert isinstance(self.driver, Subscribes)
        plan = self.driver.plan(group_of(*points, name=name, subscribed=True))
        listener = Listener(plan)
        async with asyncio.timeout(self.bound_s):
            await self.driver.subscribe(plan, listener)
        return listener

    async def until_right(self, listener: Listener) -> None:
        """Until a listener to all of the adapter's points knows what the peer says."""
        await listener.until(lambda: listener.values == tuple(self.adapter.values), self.bound_s)
        assert not any(code for _, code in listener.latest.values())
