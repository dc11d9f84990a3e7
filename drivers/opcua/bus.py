"""The connection to one server, shared by the devices on its link."""

from __future__ import annotations

from collections import Counter

from drivers.opcua.options import LinkOptions
from drivers.opcua.session import Session, Ticket
from gateway.driver import LinkDown, Site


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
        self._session: Session | None = None
        self._ticket: Ticket | None = None

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
        ticket, self._ticket = self._ticket, None
        await session.open(ticket)
        self.counters["connects"] += 1
        self.counters["resumed_sessions"] += session.resumed
        self._session = session

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        if session.down:
            self._ticket = session.ticket()
            await session.abandon()
        else:
            await session.close()
