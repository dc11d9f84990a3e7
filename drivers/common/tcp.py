"""TCP connections: how a far end is named, why there is no connection to it, and how it is noticed that it is gone."""

from __future__ import annotations

import os
import socket

USER_TIMEOUT_MS = 8000
"""How long sent data may stay unacknowledged by the far end's kernel: a half-open peer is noticed within 10 s."""
_PROBE_EVERY_S = 2
_PROBES = 2


def peer_name(host: str, port: int) -> str:
    """An endpoint as users write it."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def tune(sock: socket.socket, keepalive_s: int = 0) -> None:
    """No waiting for more to send, and a far end that is gone is noticed. Raises OSError if it hung up already.

    `keepalive_s`: idle time after which the kernel probes it; 0: never.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    if keepalive_s:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, keepalive_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _PROBE_EVERY_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, _PROBES)


def unanswered(peer: str, timeout_s: float) -> str:
    """The sentence for a connect that ran out of time."""
    return (
        f"{peer} didn't accept the connection within {1000 * timeout_s:.0f} ms: "
        "check the address, the cabling and any firewall between"
    )


def why_not(peer: str, host: str | None, error: OSError | UnicodeError, mend: str) -> str:
    """The sentence for a connect that failed. `mend`: what to check, beside the port, if it was refused."""
    if isinstance(error, socket.gaierror | UnicodeError):
        return f"the host name {host!r} can't be resolved: check it, and the DNS server"
    if isinstance(error, ConnectionRefusedError):
        return f"{peer} refused the connection: check the port, and {mend}"
    return f"{peer} can't be reached: {os.strerror(error.errno) if error.errno else error}"
