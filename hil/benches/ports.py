"""Which TCP ports of a machine are open."""

from __future__ import annotations

import resource
import select
import socket
import time

_SECONDS_TO_ANSWER = 2.0
_AT_ONCE = 8192
_OTHER_FILES = 256


def open_ports(address: str) -> list[int]:
    """Every TCP port that takes a connection. All are tried; takes half a minute where a firewall says nothing."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    at_once = min(_AT_ONCE, hard - _OTHER_FILES) if hard > 0 else _AT_ONCE
    found: list[int] = []
    try:
        for first in range(1, 1 << 16, at_once):
            found += _open_of(address, range(first, min(first + at_once, 1 << 16)))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return found


def _open_of(address: str, ports: range) -> list[int]:
    waiting: dict[int, tuple[socket.socket, int]] = {}
    poll = select.poll()
    for port in ports:
        attempt = socket.socket()
        attempt.setblocking(False)
        attempt.connect_ex((address, port))
        waiting[attempt.fileno()] = (attempt, port)
        poll.register(attempt, select.POLLOUT)
    found = []
    end = time.monotonic() + _SECONDS_TO_ANSWER
    while waiting and (left := end - time.monotonic()) > 0:
        for number, _ in poll.poll(left * 1000):
            attempt, port = waiting.pop(number)
            poll.unregister(number)
            if attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                found.append(port)
            attempt.close()
    for attempt, _ in waiting.values():
        attempt.close()
    return found
