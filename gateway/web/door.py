"""The page's way in: TLS, and bounds on connections that hold from their first packet on.

uvicorn knows a connection only once its TLS handshake is done, and limits nothing before. Here every connection is
counted as soon as it is there. Where there are too many, those that have shown least go first: the oldest that has no
complete request under way. So an attacker's hundreds make way for whoever speaks, even from one address.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Sequence

from gateway.control.http import BoundedHead

log = logging.getLogger(__name__)

MOST = 256
MOST_PER_ADDRESS = 64
HANDSHAKE_S = 5.0
BODY_S = 60.0
"""Within this a request's body must be here."""
UNREAD_MS = 30_000
"""A client that takes no byte of an answer for so long is gone."""
LONGEST_HEAD = 16384
_GOODBYE_S = 1.0
_BREATH_S = 0.1


class Request(BoundedHead):
    """One connection's HTTP, which knows how far its request is, and ends one whose body doesn't come."""

    _body_deadline: asyncio.TimerHandle | None = None
    _ended: asyncio.Event | None = None

    @property
    def busy(self) -> bool:
        """Whether a complete request is being answered."""
        cycle = self.cycle
        return cycle is not None and not cycle.response_complete and not cycle.more_body

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        cycle = self.cycle
        unfinished = cycle is not None and cycle.more_body and not cycle.response_complete
        if unfinished and self._body_deadline is None:
            self._body_deadline = self.loop.call_later(BODY_S, self.transport.abort)
        elif not unfinished and self._body_deadline is not None:
            self._body_deadline.cancel()
            self._body_deadline = None

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if self._body_deadline is not None:
            self._body_deadline.cancel()
        self.ended.set()

    @property
    def ended(self) -> asyncio.Event:
        """Set when the connection is gone."""
        if self._ended is None:
            self._ended = asyncio.Event()
        return self._ended


class _Guest:
    """One connection, from its first packet to its end."""

    def __init__(self, connection: socket.socket, address: str) -> None:
        self.connection = connection
        self.address = address
        self.request: Request | None = None
        """None during the TLS handshake."""

    @property
    def busy(self) -> bool:
        return self.request is not None and self.request.busy

    def show_out(self) -> None:
        """End it, however far it is: whoever holds the socket sees it end."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


class Door:
    """Every connection there is, in the order they came."""

    def __init__(self, listeners: Sequence[socket.socket], make: Callable[[], Request], tls: ssl.SSLContext) -> None:
        self.idle_since: float | None = asyncio.get_running_loop().time()
        """The loop's time since when nobody is here; None while somebody is."""
        self._make = make
        self._tls = tls
        self._guests: dict[_Guest, asyncio.Task[None]] = {}
        self._by_address: Counter[str] = Counter()
        self._listening = [asyncio.create_task(self._listen(listener), name="door") for listener in listeners]

    def __len__(self) -> int:
        return len(self._guests)

    async def close(self) -> None:
        """Let nobody in any more. Whoever is here stays."""
        for task in self._listening:
            task.cancel()
        await asyncio.gather(*self._listening, return_exceptions=True)

    async def empty(self) -> None:
        """Whoever is still here goes."""
        guests = dict(self._guests)
        for guest in guests:
            guest.show_out()
        if guests:
            await asyncio.wait(guests.values(), timeout=_GOODBYE_S)

    async def _listen(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        listener.setblocking(False)
        while True:
            try:
                connection, peer = await loop.sock_accept(listener)
            except OSError as error:
                # Too many open files, or a connection that was gone before it was here.
                log.debug("a connection can't be taken: %s", error)
                await asyncio.sleep(_BREATH_S)
                continue
            self._take(_Guest(connection, network(peer[0])))

    def _take(self, guest: _Guest) -> None:
        self.idle_since = None
        if self._by_address[guest.address] >= MOST_PER_ADDRESS:
            self._make_room(guest.address)
        elif len(self._guests) >= MOST:
            self._make_room()
        self._by_address[guest.address] += 1
        self._guests[guest] = asyncio.create_task(self._serve(guest))

    def _make_room(self, address: str | None = None) -> None:
        """One goes. Where all are being answered, the newest of them does: it has lost least."""
        among = [guest for guest in self._guests if address is None or guest.address == address]
        leaving = next((guest for guest in among if not guest.busy), among[-1])
        leaving.show_out()
        self._forget(leaving)

    async def _serve(self, guest: _Guest) -> None:
        request = self._make()
        try:
            guest.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: request,
                guest.connection,
                ssl=self._tls,
                ssl_handshake_timeout=HANDSHAKE_S,
                ssl_shutdown_timeout=_GOODBYE_S,
            )
            guest.request = request
            await request.ended.wait()
        except OSError:
            guest.connection.close()  # no TLS, or not in time
        finally:
            self._forget(guest)

    def _forget(self, guest: _Guest) -> None:
        if self._guests.pop(guest, None) is None:
            return
        self._by_address[guest.address] -= 1
        if not self._by_address[guest.address]:
            del self._by_address[guest.address]
        if not self._guests:
            self.idle_since = asyncio.get_running_loop().time()


def network(address: str) -> str:
    """An address as one client: of IPv6 the /64 that a site has, since it can take any address within."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, 64), strict=False).network_address)
