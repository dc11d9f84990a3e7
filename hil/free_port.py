"""A TCP port that nobody has."""

from __future__ import annotations

import socket


def free_port(host: str) -> int:
    """The system's choice, which it doesn't soon make again. Raises OSError if `host` isn't this machine's."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
