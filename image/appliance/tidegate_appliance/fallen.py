"""What is left of a start that a release on trial failed in: the end of the gateway's log, which is in memory alone.

It is written just before the machine restarts, and read by people.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

_MOST: Final = 200_000
"""Bytes: what is written to a card at each failed start is little, and its end tells why."""


def record(heading: str, entries: Sequence[Mapping[str, Any]]) -> bytes:
    """The newest of `entries`, as ``/v1/logs`` tells them, below `heading`. Each begins a line; the rest is set in."""
    body = "".join(f"{line}\n" for entry in entries for line in _lines(entry)).encode("utf-8", "replace")
    if len(body) > _MOST:
        body = body[-_MOST:].partition(b"\n")[2]
    return f"{heading}\n\n".encode() + body


def _lines(entry: Mapping[str, Any]) -> Iterator[str]:
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(entry["timestamp_ms"] / 1000))
    text = f"{at} {entry['level']:<7} {entry['logger']}: {entry['message']}\n{entry['traceback'] or ''}".rstrip()
    first, *rest = text.splitlines()
    yield _printable(first)
    for line in rest:
        yield f"    {_printable(line)}"


def _printable(line: str) -> str:
    """Texts come from devices, too: none of them steers the terminal that shows the file."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
