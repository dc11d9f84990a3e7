"""The generated parts of the drivers' README files: ``python -m drivers.common.readme --write``.

Between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` stands what the driver's own files say: its option tables
(``link``, ``device``, ``tag``) and its ``sample``.
"""

from __future__ import annotations

import json
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

DRIVERS = Path(__file__).parents[1]
SECTIONS = (
    "Parameters",
    "Data types",
    "Word order",
    "Addressing",
    "Limits",
    "Writes",
    "Qualities",
    "Tested devices",
    "Known problems",
    "Sample",
)
"""The second-level headings every driver's README has, in this order."""

_PART = re.compile(r"(<!-- begin (\w+) -->\n).*?(<!-- end \2 -->)", re.DOTALL)


def folders() -> list[Path]:
    """The folders of the built-in drivers."""
    return sorted(readme.parent for readme in DRIVERS.glob("*/README.md"))


def filled(folder: Path) -> str:
    """The README of a driver with its generated parts as they should be. Raises KeyError for an unknown part."""
    kind = import_module(f"drivers.{folder.name}").KIND
    parts = {
        "link": _options(kind.link_options),
        "device": _options(kind.device_options),
        "tag": _options(kind.tag_options),
        "sample": f"```toml\n{(folder / 'sample.toml').read_text()}```\n",
    }
    return _PART.sub(lambda match: f"{match[1]}{parts[match[2]]}{match[3]}", (folder / "README.md").read_text())


def _options(model: Any) -> str:
    schema = model.model_json_schema()
    required = schema.get("required", [])
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for name, option in schema["properties"].items():
        default = option.get("default")
        shown = "**required**" if name in required else "" if default is None else f"`{json.dumps(default)}`"
        lines.append(f"| `{name}` | {shown} | {option['description']} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """With ``--write`` bring every README up to date; without, say which aren't and return 1 if there are any."""
    stale = [folder / "README.md" for folder in folders() if filled(folder) != (folder / "README.md").read_text()]
    for readme in stale:
        if "--write" in sys.argv[1:]:
            readme.write_text(filled(readme.parent))
        else:
            sys.stdout.write(f"{readme.relative_to(DRIVERS.parent)} is out of date: make docs\n")
    return 1 if stale and "--write" not in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
