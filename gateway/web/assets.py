"""Scripts, styles and icons as the build wrote them: names with hashes, so that browsers keep them for good."""

from __future__ import annotations

import gzip
import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from starlette.requests import Request
from starlette.responses import Response

DIRECTORY = Path(__file__).parent / "static"
PREFIX = "/static/"
_FOR_EVER = "public, max-age=31536000, immutable"
_TYPES = {".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    packed: bytes | None
    """The same under gzip, where that is smaller."""
    media_type: str


class Assets:
    """What ``make web-assets`` built. Files are read once, when they are first asked for."""

    def __init__(self, directory: Path = DIRECTORY) -> None:
        self._directory = directory
        names: Mapping[str, str] = orjson.loads((directory / "manifest.json").read_bytes())
        self._names = names
        self._files = {path.name for path in directory.iterdir() if path.name != "manifest.json"}
        self._read: dict[str, _Asset] = {}

    def url(self, name: str) -> str:
        """Where ``app.js`` is."""
        return PREFIX + self._names[name]

    async def serve(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self._files:
            return Response(status_code=404)
        asset = self._read.get(name)
        if asset is None:
            asset = self._read[name] = _load(self._directory / name)
        headers = {"cache-control": _FOR_EVER, "vary": "accept-encoding", "content-type": asset.media_type}
        if asset.packed is not None and "gzip" in request.headers.get("accept-encoding", ""):
            return Response(asset.packed, headers={**headers, "content-encoding": "gzip"})
        return Response(asset.body, headers=headers)


def _load(path: Path) -> _Asset:
    body = path.read_bytes()
    packed = gzip.compress(body, mtime=0)
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _Asset(body, packed if len(packed) < len(body) else None, kind)
