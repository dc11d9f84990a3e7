"""The way to a far end over the network: its name, and whether anything answers at its port. Each failure has its own
sentence, because each has its own mend."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
from collections.abc import Sequence

from gateway.diagnostics.rungs import Failed, Outcome

NAME_LIMIT_S = 5.0
REACH_LIMIT_S = 5.0


def is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def look_up(host: str) -> Outcome:
    """The addresses of a host name. Raises Failed."""
    if is_address(host):
        return Outcome(f"{host} is an address: there is no name to look up", skipped=True)
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(NAME_LIMIT_S):
            found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except TimeoutError:
        raise Failed(
            f"no DNS server answered within {NAME_LIMIT_S:g} s about {host!r}",
            "check this gateway's DNS server and its way there, or write the address instead of the name",
        ) from None
    except socket.gaierror as error:
        raise Failed(*_unknown(host, error)) from None
    except UnicodeError:
        raise Failed(f"{host!r} can't be a host name", "mend it") from None
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return Outcome(f"{host} is {', '.join(addresses)}", {"addresses": addresses})


def _unknown(host: str, error: socket.gaierror) -> tuple[str, str]:
    if error.errno == socket.EAI_AGAIN:
        return (
            f"the DNS server gave no answer about {host!r}",
            "check this gateway's DNS server and its way there, or write the address instead of the name",
        )
    if host.endswith(".local"):
        return (
            f"nobody in this network calls itself {host!r}",
            "check that it is on and in the same network segment (mDNS doesn't cross routers), or write its address",
        )
    return f"the DNS server knows no {host!r}", "check the name for a slip, or write the address instead of the name"


async def reach(host: str, port: int, usual_port: int = 0, limit_s: float = REACH_LIMIT_S) -> None:
    """Connect once and hang up. `usual_port`: the protocol's own; 0: it has none. Raises Failed."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        async with asyncio.timeout(limit_s):
            _, writer = await asyncio.open_connection(host, port)
    except TimeoutError:
        raise Failed(
            f"nothing answered at {where} within {limit_s:g} s, not even a refusal",
            f"check that it is on and that {host} is its address, and any firewall on the way",
        ) from None
    except OSError as error:
        raise Failed(*_unreached(host, port, where, usual_port, error)) from None
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return  # it hung up first: it was reached


def _unreached(host: str, port: int, where: str, usual_port: int, error: OSError) -> tuple[str, str]:
    # asyncio joins the errors of several addresses into one without a number.
    numbers = (
        {error.errno}
        if error.errno
        else {
            n
            for n in (errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.ENETUNREACH)
            if os.strerror(n) in str(error) or f"Errno {n}" in str(error)
        }
    )
    if errno.ECONNREFUSED in numbers:
        usual = f" ({usual_port} is usual)" if usual_port and usual_port != port else ""
        return (
            f"{host} is there, but nothing listens at its port {port}",
            f"check the port{usual}, and that the service is switched on in the device and not in use by others",
        )
    if errno.EHOSTUNREACH in numbers:
        return (
            f"{host} doesn't answer in its network, or a router on the way knows no way to it",
            f"check that it is on and connected, and that {host} is its address",
        )
    if errno.ENETUNREACH in numbers:
        own = ", ".join(own_addresses()) or "none"
        return (
            f"this gateway has no way to {host}; its own addresses: {own}",
            "check this gateway's address, network mask and router, or put both in the same network",
        )
    if errno.ECONNRESET in numbers or errno.ECONNABORTED in numbers:
        return f"{where} hung up at once", "it may allow too few connections: end others, or restart it"
    if errno.EACCES in numbers or errno.EPERM in numbers:
        return f"this gateway may not connect to {where}", "look at this machine's own firewall"
    cause = os.strerror(error.errno) if error.errno else str(error)
    return f"{where} can't be reached: {cause}", "check the address, the cabling and any firewall between"


def own_addresses() -> Sequence[str]:
    """The IPv4 addresses of this machine, as far as routing tells: none is asked."""
    found: list[str] = []
    try:
        with open("/proc/net/fib_trie", encoding="ascii") as table:
            last = ""
            for line in table:
                text = line.strip()
                if text.startswith("|-- "):
                    last = text[4:]
                elif "/32 host LOCAL" in text and last not in found and not last.startswith("127."):
                    found.append(last)
    except OSError:
        return ()
    return found
