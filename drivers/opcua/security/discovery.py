"""Asking a server what it tells anyone: its endpoints, and the servers it knows (OPC 10000-4 §5.5).

It is said over an unsecured connection, so nothing of it is believed until the server proves it. What takes it apart
is the driver's own reader: no message can keep it busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from drivers.opcua.binary import Reader, pack_array, pack_string
from drivers.opcua.channel import Channel, connect
from drivers.opcua.security import descriptions
from drivers.opcua.security.descriptions import Application, Endpoint
from drivers.opcua.security.endpoints import DEFAULT_PORT, split
from drivers.opcua.security.policies import Security
from drivers.opcua.services import Service

T = TypeVar("T")

MAX_MESSAGE_BYTES = 1 << 20
"""A list of endpoints repeats the server's certificate in each: some ten kilobytes."""


async def endpoints(url: str, timeout_s: float) -> list[Endpoint]:
    """GetEndpoints. Raises OSError, TimeoutError, ServiceFailed or Malformed."""
    return await _ask(url, timeout_s, Service.GET_ENDPOINTS, descriptions.endpoints)


async def servers(url: str, timeout_s: float) -> list[Application]:
    """FindServers. Raises OSError, TimeoutError, ServiceFailed or Malformed."""
    return await _ask(url, timeout_s, Service.FIND_SERVERS, descriptions.applications)


async def open_channel(url: str, timeout_s: float, security: Security) -> None:
    """Open a secure channel and close it again. Raises OSError, TimeoutError, ServiceFailed or Malformed."""

    async def nothing(channel: Channel) -> None:
        return None

    await _over_channel(url, timeout_s, security, nothing)


async def _ask(url: str, timeout_s: float, service: Service, parse: Callable[[Reader], T]) -> T:
    """A request that takes a URL and two lists, left empty."""

    async def question(channel: Channel) -> T:
        return parse(await channel.ask(service, pack_string(url) + pack_array([]) + pack_array([]), timeout_s))

    return await _over_channel(url, timeout_s, None, question)


async def _over_channel(
    url: str, timeout_s: float, security: Security | None, question: Callable[[Channel], Awaitable[T]]
) -> T:
    channels: list[Channel] = []

    def make_channel() -> Channel:
        channel = Channel(timeout_s, security, MAX_MESSAGE_BYTES, lambda why: None)
        channels.append(channel)
        return channel

    parts = split(url)
    try:
        await connect(parts.hostname or "", parts.port or DEFAULT_PORT, timeout_s, make_channel)
        channel = channels[-1]
        await channel.hello(url)
        await channel.open()
        answer = await question(channel)
        channel.close()
        return answer
    except ConnectionError:
        if channels:
            raise ConnectionError(channels[-1].why or "it closed the connection") from None
        raise
    finally:
        for channel in channels:
            if channel.transport is not None:
                channel.give_up("asked and answered")
                await asyncio.shield(channel.closed)
