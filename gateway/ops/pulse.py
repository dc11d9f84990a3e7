"""The gateway's sign of life for the service manager: given only while everything that must turn does turn.

It comes from the event loop itself, so a loop that stands gives none. What else can stand still is asked each time: the
journal's thread by a job of its own, the links by what they should have done long ago. Nobody has to find a hang and
say so, then: it is the silence that counts, and the manager restarts what is silent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from gateway.ops.service import ServiceManager

_log = logging.getLogger(__name__)

_BEATS: Final = 4
"""Signs of life in the time that the manager waits for one: three may be late."""
THREAD_LIMIT_S: Final = 120.0
"""A worn memory card may well stand still for a minute, and a restart gives it no rest: values are delivered meanwhile,
and those that can't be are held in memory."""
_LOOK_S: Final = 10.0
"""How often the status is looked at where the manager wants no sign of life."""


class Living(Protocol):
    """What is watched."""

    async def answered(self) -> None:
        """Return once every thread that must answer has."""
        ...

    def stuck(self) -> str | None:
        """What stands still, in one sentence."""
        ...

    def summary(self) -> str:
        """How it is doing, in a line."""
        ...


class Pulse:
    """Beats until cancelled."""

    def __init__(
        self,
        manager: ServiceManager,
        living: Living,
        *,
        thread_limit_s: float = THREAD_LIMIT_S,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._manager = manager
        self._living = living
        self._thread_limit_s = thread_limit_s
        self._sleep = sleep
        self._every_s = _LOOK_S if manager.watchdog_s is None else manager.watchdog_s / _BEATS
        self._stuck: str | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        answer, asked = asyncio.ensure_future(self._living.answered()), loop.time()
        try:
            while True:
                await asyncio.wait({answer}, timeout=self._every_s)
                silent_s = loop.time() - asked
                if answer.done():
                    answer.result()
                    self._say(self._living.stuck())
                elif silent_s > self._thread_limit_s:
                    self._say(f"the journal's thread hasn't answered for {self._thread_limit_s:g} s")
                if self._stuck is None:
                    self._manager.alive()
                    self._manager.status(self._living.summary())
                if answer.done():
                    await self._sleep(self._every_s)
                    answer, asked = asyncio.ensure_future(self._living.answered()), loop.time()
        finally:
            answer.cancel()

    def _say(self, stuck: str | None) -> None:
        if stuck != self._stuck:
            self._stuck = stuck
            if stuck is None:
                _log.warning("everything goes on again")
            else:
                _log.error("something hangs: %s; the service manager gets no sign of life", stuck)
                self._manager.status(f"hangs: {stuck}")
