"""The publish side of a session: keeps requests waiting at the server and hands what they bring to its subscription.

No task and no queue: the answer to a publish request is taken apart in the callback of its future, in the order of
arrival, and the next request goes out from there.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Protocol

from drivers.opcua import services, status
from drivers.opcua.binary import Malformed, NodeId, Reader, pack_node_id
from drivers.opcua.services import Notification, Service
from drivers.opcua.session import Garbled, Session
from drivers.opcua.status import ServiceFailed
from gateway.driver import LinkDown

_log = logging.getLogger(__name__)

MAX_WAITING = 10
"""Publish requests waiting at the server at most."""
_TICK_S = 1.0
PROBE_AFTER_S = 5.0
PROBE_LIMIT_S = 8.0
"""Silence of a session that is looked into, and how long the answer may take: together less than 15 s."""
_SERVER_STATE = pack_node_id(NodeId(0, 2259))
_PAUSE_S = 1.0
"""Before publishing again after a failure that says nothing about how to go on."""


class Listener(Protocol):
    """A subscription as the publisher sees it."""

    @property
    def patience_s(self) -> float:
        """How long it may stay silent, keep-alives included."""
        ...

    def notified(self, head: Notification, reader: Reader) -> None:
        """A message of its own. Raises nothing."""
        ...

    def died(self, reason: str) -> None:
        """The server no longer has it, or no longer serves it, though the session lives."""
        ...

    def down(self, reason: str) -> None:
        """The session ended."""
        ...


class Publisher:
    """Belongs to one session, whose end it passes on."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._listeners: dict[int, Listener] = {}
        self._heard: dict[int, float] = {}
        self._acknowledgements: list[tuple[int, int]] = []
        self._waiting: set[asyncio.Future[bytes]] = set()
        self._most = MAX_WAITING
        self._timer: asyncio.TimerHandle | None = None
        self._resume: asyncio.TimerHandle | None = None
        self._strays: set[int] = set()
        self._asked_at = 0.0
        session.on_down = self._down

    def add(self, subscription: int, listener: Listener) -> None:
        self._listeners[subscription] = listener
        self._heard[subscription] = time.monotonic()
        self._strays.discard(subscription)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._watch)
        self._pump()

    def remove(self, subscription: int) -> None:
        self._listeners.pop(subscription, None)
        self._heard.pop(subscription, None)

    def close(self) -> None:
        self._listeners.clear()
        for timer in (self._timer, self._resume):
            if timer is not None:
                timer.cancel()
        self._timer = self._resume = None
        self._waiting = set()  # what they still bring is ignored

    def _down(self, reason: str) -> None:
        listeners = list(self._listeners.values())
        self.close()
        for listener in listeners:
            listener.down(reason)

    # -- publishing

    def _pump(self) -> None:
        """One more request than there are subscriptions, so that none has to wait for another's answer."""
        self._resume = None
        if not self._listeners:
            return
        try:
            while len(self._waiting) < min(len(self._listeners) + 1, self._most):
                acknowledgements, self._acknowledgements = self._acknowledgements, []
                future = self._session.send(Service.PUBLISH, services.publish_request(acknowledgements))
                self._waiting.add(future)
                future.add_done_callback(self._published)
        except LinkDown:
            pass  # told by `_down`

    def _published(self, future: asyncio.Future[bytes]) -> None:
        if future not in self._waiting:
            future.exception()
            return
        self._waiting.discard(future)
        failure = future.exception()
        if isinstance(failure, ServiceFailed):
            self._refused(failure.code & status.MASK)  # the answer was broken off
            return
        if failure is not None:
            return  # the connection broke: told by `_down`
        self._session.counters["publishes"] += 1
        try:
            self._take(self._session.answer(Service.PUBLISH, future.result()))
        except ServiceFailed as error:
            self._refused(error.code & status.MASK)
            return
        except LinkDown:
            return
        except (Garbled, Malformed, RecursionError) as error:
            self._garbled(str(error))
        self._pump()

    def _take(self, reader: Reader) -> None:
        head = services.publish_response(reader)
        listener = self._listeners.get(head.subscription)
        if head.parts:
            self._acknowledgements.append((head.subscription, head.sequence))
        if listener is None:
            self._stray(head.subscription)
            return
        self._heard[head.subscription] = time.monotonic()
        listener.notified(head, reader)

    def _refused(self, code: int) -> None:
        if code == status.BAD_NO_SUBSCRIPTION:
            for listener in list(self._listeners.values()):
                listener.died("the server has dropped it")
            return
        if code == status.BAD_TOO_MANY_PUBLISH_REQUESTS:
            self._most = max(1, len(self._waiting))
            self._pump()
        elif code == status.BAD_TIMEOUT:
            self._pump()
        elif self._resume is None:
            self._session.counters["publish_failures"] += 1
            self._resume = asyncio.get_running_loop().call_later(_PAUSE_S, self._pump)

    def _garbled(self, what: str) -> None:
        """A message whose head can't be understood: any subscription's values may have been in it."""
        self._session.counters["malformed"] += 1
        for listener in list(self._listeners.values()):
            listener.died(f"a message could not be understood: {what}")

    def _stray(self, subscription: int) -> None:
        """A subscription nobody here knows: left over from a call that was cut short. Have the server drop it."""
        if subscription in self._strays or not subscription:
            return
        self._strays.add(subscription)
        try:
            request = services.delete_subscriptions_request([subscription])
            self._session.send(Service.DELETE_SUBSCRIPTIONS, request).add_done_callback(_forget)
        except LinkDown:
            pass

    # -- watching

    def _watch(self) -> None:
        """Notice a session or a subscription that has gone silent."""
        now = time.monotonic()
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._watch)
        self._probe(now)
        for subscription, listener in list(self._listeners.items()):
            silent_s = now - self._heard.get(subscription, now)
            if silent_s > listener.patience_s:
                self._heard[subscription] = now
                listener.died(f"nothing came for {silent_s:.0f} s")

    def _probe(self, now: float) -> None:
        """Ask for something small when nothing was heard for a while: keep-alives may be as rare as a server likes."""
        heard_at = self._session.heard_at
        if self._asked_at > heard_at:
            if now - self._asked_at > PROBE_LIMIT_S:
                self._session.give_up(f"{self._session.peer} has said nothing for {now - heard_at:.0f} s")
        elif now - heard_at > PROBE_AFTER_S:
            self._asked_at = now
            try:
                request = services.read_request([_SERVER_STATE], services.SERVER_TIME)
                self._session.send(Service.READ, request).add_done_callback(self._probed)
            except LinkDown:
                pass  # told by `_down`

    def _probed(self, future: asyncio.Future[bytes]) -> None:
        if future.exception() is None:
            self._session.heard_at = time.monotonic()


def _forget(future: asyncio.Future[bytes]) -> None:
    future.exception()
