"""The connection to one server, shared by the devices on its link."""

from __future__ import annotations

from collections import Counter

from drivers.opcua.options import LinkOptions
from drivers.opcua.publisher import Publisher
from drivers.opcua.security.login import Ticket
from drivers.opcua.session import Session
from drivers.opcua.subscription import Subscription
from drivers.opcua.tracing import Tracer
from gateway.driver import LinkDown, Site
from gateway.wire import Take


class OpcUaBus:
    """Implements :class:`gateway.driver.Bus`.

    A session that was lost without being closed is taken up again by the next connect, if the server still has it: with
    it come back its subscriptions and what they have queued.
    """

    def __init__(self, name: str, options: LinkOptions, site: Site) -> None:
        self.name = name
        self.options = options
        self.site = site
        self.peer = options.peer
        self.counters: Counter[str] = Counter()
        self.publisher: Publisher | None = None
        self.subscriptions: dict[tuple[str, str], Subscription] = {}
        """By device and group: those that are open."""
        self.kept: dict[tuple[str, str], Subscription] = {}
        """Those that the resumed session may still have, until they are asked for again."""
        self._session: Session | None = None
        self._ticket: Ticket | None = None
        self._tracer: Tracer | None = None

    @property
    def session(self) -> Session:
        """Raises LinkDown if there is none."""
        session = self._session
        if session is None:
            raise LinkDown(f"there is no connection to {self.peer}")
        if session.down:
            raise LinkDown(session.down)
        return session

    async def connect(self) -> None:
        await self.close()
        session = Session(self.options, self.site, self.counters)
        session.trace(self._tracer)
        ticket, self._ticket = self._ticket, None
        try:
            await session.open(ticket)
        except BaseException:
            self._ticket = session.ticket()
            raise
        self.counters["connects"] += 1
        self.counters["resumed_sessions"] += session.resumed
        if not session.resumed:
            self.kept.clear()
        self._session = session
        self.publisher = Publisher(session)

    def trace(self, take: Take | None) -> None:
        """See :meth:`gateway.driver.Traces.trace`."""
        self._tracer = None if take is None else Tracer(take)
        if self._session is not None:
            self._session.trace(self._tracer)

    async def close(self) -> None:
        session, self._session = self._session, None
        publisher, self.publisher = self.publisher, None
        if session is None or publisher is None:
            return
        publisher.close()
        for subscription in self.subscriptions.values():
            subscription.stop()
        if session.down:
            self._ticket = session.ticket()
            self.kept = self.subscriptions
            await session.abandon()
        else:
            self.kept = {}
            await session.close()
        self.subscriptions = {}
