"""Calls that somebody wants of a driver now, between two polls of its link: reads on demand, browsing, a trial.

Each is made once, in its turn, and only while somebody waits for it. Between two of them the link does what is due, so
that they delay its polls, but never starve them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from gateway.driver import LinkDown
from gateway.southbound.unit import Device

MAX_WAITING = 64


class AskFailed(Exception):
    """A call wasn't made, or was cut short. The message is one sentence for a user."""


@dataclass(slots=True, eq=False)
class Ask:
    """One call on its way."""

    device: Device | None
    """None: `call` takes the bus, else the device's driver."""
    call: Callable[[Any], Awaitable[Any]]
    done: asyncio.Future[Any]

    def succeed(self, result: Any) -> None:
        if not self.done.done():
            self.done.set_result(result)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class AskQueue:
    """Those of one link, first come first served."""

    def __init__(self, link: str) -> None:
        self._link = link
        self._waiting: deque[Ask] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(
        self, device: Device | None, call: Callable[[Any], Awaitable[Any]], *, connected: bool, why: str
    ) -> asyncio.Future[Any]:
        """Raises LinkDown, saying `why`, or AskFailed; nothing was asked then."""
        if not connected:
            raise LinkDown(f"link {self._link} is down{why and f': {why}'}")
        if len(self._waiting) >= MAX_WAITING:
            raise AskFailed(f"{MAX_WAITING} requests are waiting on link {self._link}: try again later")
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append(Ask(device, call, done))
        return done

    def take(self) -> Ask | None:
        """The next one, or None if nobody waits for it any more."""
        ask = self._waiting.popleft()
        return None if ask.done.done() else ask

    def fail_all(self, sentence: str) -> None:
        while self._waiting:
            self._waiting.popleft().fail(LinkDown(f"link {self._link}{sentence}"))

    def fail_device(self, device: Device, sentence: str) -> None:
        """Those of one device, which is called no more."""
        for ask in self._waiting:
            if ask.device is device:
                ask.fail(AskFailed(f"device {device.name} {sentence}"))
