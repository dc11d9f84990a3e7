"""What ``tidegate provision`` left in the page's directory: each setting of a file, and what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson

REPORT = "provisioned.json"


def report(state: Path) -> dict[str, Any] | None:
    """``file`` and ``settings``; None: this gateway wasn't provisioned."""
    try:
        found: dict[str, Any] = orjson.loads((state / REPORT).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return None
    return found
