"""The generated parts of the drivers' README files: ``python -m drivers.common.readme --write``.

Between ``<!-- begin NAME -->`` and ``<!-- end NAME -->`` stands what the driver's own files say: its option tables
(``link``, ``device``, ``tag``) and its ``sample``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
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
    parts = [_table(schema)]
    for path, table in _nested(schema, schema.get("$defs", {}), ""):
        parts.append(f"\nIn `{path}`:\n\n{_table(table)}")
    return "".join(parts)


def _table(schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    lines = ["| key | default | meaning |", "|---|---|---|"]
    for name, option in schema["properties"].items():
        default = option.get("default")
        plain = default not in (None, "", [], {}) and not isinstance(default, dict)
        shown = "**required**" if name in required else f"`{json.dumps(default)}`" if plain else ""
        lines.append(f"| `{name}` | {shown} | {option['description']} |")
    return "\n".join(lines) + "\n"


def _nested(schema: dict[str, Any], defs: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The tables inside a table, each by its path; NAME stands for one that the user gives."""
    for name, option in schema["properties"].items():
        for choice in (option, *option.get("anyOf", ())):
            named = choice.get("additionalProperties")
            reference = (named if isinstance(named, dict) else choice).get("$ref", "")
            table = defs.get(reference.rpartition("/")[2], {})
            if "properties" in table:
                spot = f"{path}{name}.NAME" if isinstance(named, dict) else f"{path}{name}"
                yield spot, table
                yield from _nested(table, defs, f"{spot}.")


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
