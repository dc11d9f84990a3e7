"""What a server says of itself to anyone who asks: its endpoints, and the servers it knows (OPC 10000-4 §5.5).

It is said over an unsecured connection, so nothing of it is believed until the server proves it. What takes it apart
is the driver's own reader: no message can keep it busy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.ua.uaerrors import UaStatusCodeError

from drivers.opcua import services
from drivers.opcua.binary import Malformed, Reader, Type, pack_array, pack_string
from drivers.opcua.channel import Channel
from drivers.opcua.security.endpoints import no_security

T = TypeVar("T")

MAX_MESSAGE_BYTES = 1 << 20
"""A list of endpoints repeats the server's certificate in each: some ten kilobytes."""
_FIND_SERVERS, _GET_ENDPOINTS = 422, 428
"""Encoding ids of the requests; the responses' are three more (OPC 10000-6 annex A.3)."""


async def endpoints(url: str, timeout_s: float) -> list[ua.EndpointDescription]:
    """GetEndpoints. Raises OSError, TimeoutError, ua.UaError or Malformed."""
    return await _ask(url, timeout_s, _GET_ENDPOINTS, _endpoint, least_size=60)


async def servers(url: str, timeout_s: float) -> list[ua.ApplicationDescription]:
    """FindServers. Raises OSError, TimeoutError, ua.UaError or Malformed."""
    return await _ask(url, timeout_s, _FIND_SERVERS, _application, least_size=25)


async def open_channel(url: str, timeout_s: float, policy: SecurityPolicy) -> None:
    """Open a secure channel and close it again. Raises OSError, TimeoutError or ua.UaError."""

    async def nothing(channel: Channel) -> None:
        return None

    await _over_channel(url, timeout_s, policy, nothing)


async def _ask(url: str, timeout_s: float, service: int, parse: Callable[[Reader], T], least_size: int) -> list[T]:
    """A request that takes a URL and two lists, left empty, and the list of `least_size` bytes or more that answers."""

    async def question(channel: Channel) -> list[T]:
        request = pack_string(url) + pack_array([]) + pack_array([])
        async with asyncio.timeout(timeout_s):
            reader = Reader(bytes(await channel.request(service, request, timeout_s)))
        try:
            kind, result = services.response_header(reader)
            if result >= 0x8000_0000:
                raise UaStatusCodeError(result)  # type: ignore[no-untyped-call]
            if kind != service + 3:
                raise Malformed(f"a response of type {kind}")
            return [parse(reader) for _ in range(reader.count(least_size))]
        except RecursionError:
            raise Malformed("too deep") from None

    return await _over_channel(url, timeout_s, no_security(), question)


async def _over_channel(
    url: str, timeout_s: float, policy: SecurityPolicy, question: Callable[[Channel], Awaitable[T]]
) -> T:
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
        answer = await question(channels[-1])
        await client.close_secure_channel()
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


# -- the structures (OPC 10000-4 §7.2, §7.14, §7.41)


def _application(reader: Reader) -> ua.ApplicationDescription:
    uri, product, name = reader.string(), reader.string(), reader.localized_text()
    kind = reader.uint32()
    gateway, profile, urls = reader.string(), reader.string(), reader.array(Type.STRING)
    return ua.ApplicationDescription(
        ApplicationUri=uri,
        ProductUri=product,
        ApplicationName=ua.LocalizedText(name.text),
        ApplicationType=_known(ua.ApplicationType, kind),
        GatewayServerUri=gateway,
        DiscoveryProfileUri=profile,
        DiscoveryUrls=urls,
    )


def _endpoint(reader: Reader) -> ua.EndpointDescription:
    url, server, certificate = reader.string(), _application(reader), reader.byte_string()
    mode, policy = reader.uint32(), reader.string()
    tokens = [_token(reader) for _ in range(reader.count(20))]
    return ua.EndpointDescription(
        EndpointUrl=url,
        Server=server,
        ServerCertificate=certificate,
        SecurityMode=_known(ua.MessageSecurityMode, mode),
        SecurityPolicyUri=policy,
        UserIdentityTokens=tokens,
        TransportProfileUri=reader.string(),
        SecurityLevel=reader.byte(),
    )


def _token(reader: Reader) -> ua.UserTokenPolicy:
    policy_id, kind = reader.string(), reader.uint32()
    issued, issuer, policy = reader.string(), reader.string(), reader.string()
    return ua.UserTokenPolicy(
        PolicyId=policy_id,
        TokenType=_known(ua.UserTokenType, kind),
        IssuedTokenType=issued,
        IssuerEndpointUrl=issuer,
        SecurityPolicyUri=policy,
    )


def _known(kind: Callable[[int], T], number: int) -> T:
    """Raises Malformed for a number that the standard doesn't have."""
    try:
        return kind(number)
    except ValueError:
        raise Malformed(f"{number} where there is no such kind") from None
