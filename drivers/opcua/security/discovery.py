"""What a server says of itself to anyone who asks: its endpoints, and the servers it knows (OPC 10000-4 §5.5).

It is said over an unsecured connection, so nothing of it is believed until the server proves it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.security_policies import SecurityPolicy

from drivers.opcua.channel import Channel
from drivers.opcua.security.endpoints import no_security

T = TypeVar("T")

MAX_MESSAGE_BYTES = 1 << 20
"""A list of endpoints repeats the server's certificate in each: some ten kilobytes."""


async def endpoints(url: str, timeout_s: float) -> list[ua.EndpointDescription]:
    """GetEndpoints. Raises OSError, TimeoutError or ua.UaError."""
    return await _ask(url, timeout_s, no_security(), Client.get_endpoints)


async def servers(url: str, timeout_s: float) -> list[ua.ApplicationDescription]:
    """FindServers. Raises OSError, TimeoutError or ua.UaError."""
    return await _ask(url, timeout_s, no_security(), Client.find_servers)


async def open_channel(url: str, timeout_s: float, policy: SecurityPolicy) -> None:
    """Open a secure channel and close it again. Raises OSError, TimeoutError or ua.UaError."""

    async def nothing(client: Client) -> None:
        return None

    await _ask(url, timeout_s, policy, nothing)


async def _ask(url: str, timeout_s: float, policy: SecurityPolicy, question: Callable[[Client], Awaitable[T]]) -> T:
    client = Client(url, timeout=timeout_s)
    client.security_policy = client.uaclient.security_policy = policy  # type: ignore[assignment]
    channels: list[Channel] = []

    def make_channel() -> Channel:
        channel = Channel(timeout_s, policy, MAX_MESSAGE_BYTES, lambda why: None)
        client.uaclient.protocol = channel
        channels.append(channel)
        return channel

    client.uaclient.pre_request_hook = None
    client.uaclient._make_protocol = make_channel  # type: ignore[method-assign]
    try:
        await client.connect_socket()
        await client.send_hello()
        await client.open_secure_channel()
        answer = await question(client)
        await client.close_secure_channel()
        return answer
    finally:
        for channel in channels:
            if channel.transport is not None:
                channel.give_up("asked and answered")
                await asyncio.shield(channel.closed)
