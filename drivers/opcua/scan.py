"""``tidegate scan opcua``: which servers there are, and what endpoints they offer (OPC 10000-4 §5.5).

Asks only what a server tells anyone: FindServers and GetEndpoints. No session is opened, and nothing is trusted.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from drivers.opcua.binary import Malformed
from drivers.opcua.scan_options import DEFAULT_PORT, ScanOptions
from drivers.opcua.security import discovery, endpoints
from drivers.opcua.security.certificates import fingerprint, parse_chain
from drivers.opcua.security.descriptions import Endpoint, UserKind
from drivers.opcua.security.options import SecurityOptions
from drivers.opcua.security.policies import NONE_URI
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


async def search(options: ScanOptions, site: Site) -> AsyncIterator[Finding | Progress]:
    """See :attr:`gateway.driver.Scan.run`."""
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
    except (OSError, ServiceFailed, TimeoutError, Malformed):
        pass  # nobody there, or nobody who speaks OPC UA: what was said until then counts
    return answer


def _url(host: str, port: int) -> str:
    return f"opc.tcp://{f'[{host}]' if ':' in host else host}:{port}"


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


def _config(url: str, endpoint: Endpoint) -> str:
    """TOML ready to paste: the link, the device, and the one value that every server has."""
    parts = endpoints.split(url)
    name = re.sub(r"[^A-Za-z0-9-]+", "-", f"opcua-{parts.hostname}-{parts.port}").strip("-")[:64]
    users = {user.kind for user in endpoint.users}
    lines = ["[[link]]", f'name = "{name}"', 'driver = "opcua"', f"url = {json.dumps(url)}"]
    if endpoint.policy_uri == NONE_URI:
        lines.append('security_policy = "None"       # the server offers nothing better')
    if UserKind.ANONYMOUS not in users and UserKind.PASSWORD in users:
        lines += ['username = "operator"', f'password = {{ credential = "{name}" }}']
    lines += [
        "",
        "[[device]]",
        f'name = "{name}"',
        f'link = "{name}"',
        "",
        "  [[device.group]]",
        '  name = "found"',
        "  interval_ms = 1000",
        "",
        "    [[device.group.tag]]",
        '    name = "server/time"',
        '    node = "i=2258"',
        '    type = "datetime"',
    ]
    return "\n".join(lines) + "\n"
