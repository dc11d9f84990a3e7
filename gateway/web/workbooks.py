"""Spreadsheet files for and from the control API's tables.

Workbooks are converted in a process of their own, which may take a gigabyte and a minute: one at a time.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any

import orjson

from gateway.grids import GridError, to_json
from gateway.grids.delimited import read_delimited, write_delimited
from gateway.web.control import who
from gateway.web.visit import Visit

TIMEOUT_S = 60.0
_WORKBOOK = b"PK\x03\x04"


async def table_of(visit: Visit, data: bytes | str) -> dict[str, Any]:
    """A file, or what was pasted, as the control API takes it. Raises GridError or Crowded."""
    if isinstance(data, str) or not data.startswith(_WORKBOOK):
        return to_json(await asyncio.to_thread(read_delimited, data))
    body: dict[str, Any] = orjson.loads(await _converted(visit, "read", data))
    if "error" in body:
        raise GridError(body["error"], body["hint"])
    return body


async def workbook_of(visit: Visit, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """A table as an Excel workbook. Raises Crowded."""
    return await _converted(visit, "write", orjson.dumps({"header": header, "rows": rows}))


def csv_of(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> bytes:
    """A table as CSV, with the byte order mark that Excel wants."""
    return write_delimited(header, rows).encode("utf-8-sig")


async def _converted(visit: Visit, way: str, data: bytes) -> bytes:
    async with visit.services.conversions.take(who(visit.actor)):
        return await _run(way, data)


async def _run(way: str, data: bytes) -> bytes:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.grids", way), stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            out, _ = await process.communicate(data)
    except TimeoutError:
        out = b""
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not out or process.returncode:
        raise GridError("the workbook takes too long or too much memory to convert", "send the table as CSV")
    return out
