"""How the harness talks to the bench's own processes: JSON lines on stdin and stdout.

A child says ``{"ready": …}`` once, then answers every command line with one line. It ends when stdin closes, so it
never outlives the harness.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import orjson

Message: TypeAlias = dict[str, Any]
Handler: TypeAlias = Callable[[Message], Mapping[str, Any]]


def _say(body: Mapping[str, Any]) -> None:
    sys.stdout.buffer.write(orjson.dumps(body) + b"\n")
    sys.stdout.buffer.flush()


async def serve(handlers: Mapping[str, Handler], ready: Mapping[str, Any]) -> None:
    """Answer commands until stdin closes. A command names its handler in ``cmd``."""
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _say({"ready": dict(ready)})
    while line := await reader.readline():
        request: Message = orjson.loads(line)
        _say(handlers[request.pop("cmd")](request))
