"""Workbooks in a process of their own: ``python -m gateway.grids read|write``, from stdin to stdout.

The page's process converts here what people send it: the library is large, and a file from elsewhere is parsed where it
can take neither memory nor time from anybody else.
"""

from __future__ import annotations

import json
import resource
import sys

from gateway.grids import GridError, to_json
from gateway.grids.workbook import read_workbook, write_workbook

_MEMORY = 1 << 30
_CPU_S = 60


def main() -> int:
    """``read``: a workbook becomes a grid as JSON, or ``{"error", "hint"}``; ``write``: ``{"header", "rows"}`` becomes
    a workbook."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (_CPU_S, _CPU_S))
    data = sys.stdin.buffer.read()
    match sys.argv[1:]:
        case ["read"]:
            sys.stdout.write(json.dumps(_read(data)))
        case ["write"]:
            body = json.loads(data)
            sys.stdout.buffer.write(write_workbook(body["header"], body["rows"]))
        case _:
            sys.stderr.write("usage: python -m gateway.grids read|write\n")
            return 2
    return 0


def _read(data: bytes) -> object:
    try:
        return to_json(read_workbook(data))
    except GridError as error:
        return {"error": str(error), "hint": error.hint}
    except MemoryError:
        return {"error": "the workbook needs too much memory", "hint": "save a copy with the table alone"}


if __name__ == "__main__":
    sys.exit(main())
