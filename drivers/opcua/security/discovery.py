"""What a server says of itself to anyone who asks: its endpoints, and the servers it knows (OPC 10000-4 §5.5).

It is said over an unsecured connection, so nothing of it is believed until the server proves it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicy, SecurityPolicyNone

T = TypeVar("T")


async def endpoints(url: str, timeout_s: float) -> list[ua.EndpointDescription]:
    """GetEndpoints. Raises OSError, TimeoutError or ua.UaError."""
    return await _ask(url, timeout_s, SecurityPolicyNone(), Client.get_endpoints)


async def servers(url: str, timeout_s: float) -> list[ua.ApplicationDescription]:
    """FindServers. Raises OSError, TimeoutError or ua.UaError."""
    return await _ask(url, timeout_s, SecurityPolicyNone(), Client.find_servers)


async def open_channel(url: str, timeout_s: float, policy: SecurityPolicy) -> None:
    """Open a secure channel and close it again. Raises OSError, TimeoutError or ua.UaError."""

    async def nothing(client: Client) -> None:
        return None

    await _ask(url, timeout_s, policy, nothing)


async def _ask(url: str, timeout_s: float, policy: SecurityPolicy, question: Callable[[Client], Awaitable[T]]) -> T:
    client = Client(url, timeout=timeout_s)
    client.uaclient.pre_request_hook = None
    client.security_policy = policy
    client.uaclient.set_security(policy)
    return await client._with_temp_channel(lambda: question(client))
