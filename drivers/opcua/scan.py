"""``tidegate scan opcua``: which servers there are, and what endpoints they offer (OPC 10000-4 §5.5).

Asks only what a server tells anyone: FindServers and GetEndpoints. No session is opened, and nothing is trusted.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from drivers.common.proposal import name_from, proposal
from drivers.common.tcp import peer_name
from drivers.opcua.binary import Malformed
from drivers.opcua.scan_options import DEFAULT_PORT, ScanOptions
from drivers.opcua.security import discovery, endpoints
from drivers.opcua.security.certificates import fingerprint, parse_chain
from drivers.opcua.security.descriptions import Endpoint, UserKind
from drivers.opcua.security.options import SecurityOptions
from drivers.opcua.security.policies import NONE_URI
from drivers.opcua.security.validation import other_host
from drivers.opcua.status import ServiceFailed
from gateway.driver import Finding, LinkDown, Progress, Site

PARALLEL = 8
MAX_FOLLOWED = 100
"""Servers that other servers told of."""
_TOKENS = {
    UserKind.ANONYMOUS: "anonymous",
    UserKind.PASSWORD: "password",
    UserKind.CERTIFICATE: "certificate",
    UserKind.ISSUED_TOKEN: "token",
}


@dataclass(slots=True)
class _Answer:
    """What one address said."""

    url: str
    endpoints: Sequence[Endpoint] = ()
    others: list[str] = field(default_factory=list)
    """Where further servers are that it knows of."""
    trouble: str = ""
    """Why it said nothing, in one sentence."""


async def search(options: ScanOptions, site: Site) -> AsyncIterator[Finding | Progress]:
    """See :attr:`gateway.driver.Scan.run`. LinkDown if the one place that was asked gives no answer."""
    waiting = deque(_url(host, port) for host, port in options.targets)
    seen = set(waiting)
    total, done, followed = len(waiting), 0, 0
    asking: set[asyncio.Task[_Answer]] = set()
    try:
        while waiting or asking:
            if waiting and len(asking) < PARALLEL:
                url = waiting.popleft()
                yield Progress(done, total, url)
                asking.add(asyncio.create_task(_ask(url, options.timeout_ms / 1000)))
                await asyncio.sleep(1 / options.rate)
            full = len(asking) == PARALLEL or not waiting
            finished, asking = await asyncio.wait(
                asking, timeout=None if full else 0, return_when=asyncio.FIRST_COMPLETED
            )
            for task in finished:
                answer = task.result()
                done += 1
                if answer.trouble and len(options.targets) == 1:
                    raise LinkDown(answer.trouble)
                for finding in _findings(answer):
                    yield finding
                for other in answer.others:
                    if other not in seen and followed < MAX_FOLLOWED:
                        followed += 1
                        total += 1
                        seen.add(other)
                        waiting.append(other)
        yield Progress(done, total, "done")
    finally:
        for task in asking:
            task.cancel()
        await asyncio.gather(*asking, return_exceptions=True)


async def _ask(url: str, timeout_s: float) -> _Answer:
    answer = _Answer(url)
    try:
        async with asyncio.timeout(2 * timeout_s):
            answer.endpoints = await discovery.endpoints(url, timeout_s)
            for server in await discovery.servers(url, timeout_s):
                answer.others += [_normal(other) for other in server.urls if _normal(other)]
    except (OSError, ServiceFailed, TimeoutError, Malformed) as error:
        if not answer.endpoints:  # what was said until then counts
            answer.trouble = _why_not(url, error)
    return answer


def _why_not(url: str, error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return f"nothing listens at {url}: check the port, and that the server is running"
        case socket.gaierror():
            return f"the host name in {url} can't be resolved: check it, and the DNS server"
        case TimeoutError():
            return f"{url} doesn't answer: check the address and the network, or give it a longer --timeout-ms"
        case OSError(errno=int(number)):
            return f"{url} can't be reached: {os.strerror(number)}"
        case _:
            return f"what listens at {url} doesn't speak OPC UA: check the port"


def _url(host: str, port: int) -> str:
    return f"opc.tcp://{peer_name(host, port)}"


def _normal(url: str | None) -> str:
    """An opc.tcp URL with its port and without its path; empty for any other."""
    parts = endpoints.split(url)
    try:
        return _url(parts.hostname, parts.port or DEFAULT_PORT) if parts.scheme == "opc.tcp" and parts.hostname else ""
    except ValueError:
        return ""


def _findings(answer: _Answer) -> list[Finding]:
    best = _best(answer)
    return [
        Finding(_row(answer.url, endpoint), _config(answer.url, endpoint) if endpoint is best else "")
        for endpoint in sorted(answer.endpoints, key=endpoints.strength, reverse=True)
    ]


def _best(answer: _Answer) -> Endpoint | None:
    """The endpoint that `best` would choose; the open one if there is no other."""
    for policy in ("best", "None"):
        try:
            options = SecurityOptions.model_validate({"security_policy": policy})
            return endpoints.choose(answer.endpoints, options, endpoints.split(answer.url))
        except LinkDown:
            continue
    return None


def _row(url: str, endpoint: Endpoint) -> dict[str, Any]:
    server = endpoint.server
    tokens = {user.kind for user in endpoint.users}
    return {
        "url": url,
        "server": server.name or "",
        "application": server.uri or "",
        "policy": endpoints.policy_name(endpoint.policy_uri),
        "mode": endpoints.mode_name(endpoint.mode),
        "users": " ".join(name for kind, name in _TOKENS.items() if kind in tokens),
        "certificate": _fingerprint(endpoint.certificate),
        "calls itself": endpoint.url or "",
    }


def _fingerprint(certificate: bytes | None) -> str:
    try:
        return fingerprint(parse_chain(certificate)[0]) if certificate else ""
    except ValueError:
        return "unreadable"


def _other_host(endpoint: Endpoint, host: str) -> list[str]:
    """What the link will say of the certificate's names, if it is to be connected to like this."""
    try:
        return [*other_host(parse_chain(endpoint.certificate or b"")[0], host)]
    except ValueError:
        return []


def _config(url: str, endpoint: Endpoint) -> str:
    """TOML ready to paste: the link, the device, and the one value that every server has."""
    parts = endpoints.split(url)
    name = name_from(f"opcua-{parts.hostname}-{parts.port}")
    users = {user.kind for user in endpoint.users}
    link: dict[str, Any] = {"name": name, "url": url}
    if endpoint.policy_uri == NONE_URI:
        link["security_policy"] = "None"
        remark = "The server offers no better security policy than None."
    else:
        remark = " ".join(
            f"The server's certificate{clause}." for clause in _other_host(endpoint, parts.hostname or "")
        )
    if UserKind.ANONYMOUS not in users and UserKind.PASSWORD in users:
        link |= {"username": "operator", "password": {"credential": name}}
    tag = {"name": "server/time", "node": "i=2258", "type": "datetime"}
    return proposal("opcua", link, {"name": name}, [tag], remark=remark)
