"""The operations of the control API and who may call them, read from its own description (OpenAPI)."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from starlette.exceptions import HTTPException

from gateway.actors import Role
from gateway.web.control import OPEN_ENDED, PAGE, ControlGateway

_FRESH_S = 300.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One operation, as the API's own description tells of it."""

    method: str
    exact: re.Pattern[str]
    """The path, a name one segment long."""
    wide: re.Pattern[str]
    """The path, a name of any length: some names hold slashes."""
    role: Role
    internal: bool
    max_body: int
    """Bytes a body may have; 0: there is none."""
    open_ended: bool
    """Whether its answer goes on until somebody leaves."""


class Directory:
    """The control API's operations, read from its OpenAPI document."""

    def __init__(self, control: ControlGateway) -> None:
        self._control = control
        self._entries: tuple[Entry, ...] = ()
        self._read_s: float | None = None

    async def find(self, method: str, path: str) -> Entry:
        """The operation that `path` (decoded) is. Raises HTTPException (404, 405) or what a call raises."""
        if self._read_s is None or time.monotonic() - self._read_s > _FRESH_S:
            await self._read()
        found = [entry for entry in self._entries if entry.exact.fullmatch(path)]
        found = found or [entry for entry in self._entries if entry.wide.fullmatch(path)]
        mine = [entry for entry in found if entry.method == method]
        if not found or any(entry.internal for entry in mine):
            raise HTTPException(404, f"the control API has no {path}")
        if not mine:
            raise HTTPException(405, f"{path} doesn't take {method}")
        # Where the description leaves more than one, the one that asks for most; the API itself checks again.
        return max(mine, key=lambda entry: entry.role.rank)

    async def _read(self) -> None:
        document = await self._control.get(PAGE, "/v1/openapi.json")
        self._entries = tuple(
            Entry(
                method.upper(),
                re.compile(_pattern(path, "[^/]+")),
                re.compile(_pattern(path, ".+")),
                Role(told["x-tidegate-role"]),
                bool(told.get("x-tidegate-internal", False)),
                told.get("x-tidegate-max-body", 0),
                not OPEN_ENDED.isdisjoint(
                    kind for answer in told["responses"].values() for kind in answer.get("content", ())
                ),
            )
            for path, methods in document["paths"].items()
            for method, told in methods.items()
        )
        self._read_s = time.monotonic()


def _pattern(path: str, name: str) -> str:
    return "".join(name if part.startswith("{") else re.escape(part) for part in re.split(r"(\{\w+\})", path))
