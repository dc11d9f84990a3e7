"""The page of every variable of the collection, from the roles' argument specifications.

``python ansible/reference.py --write`` writes docs/reference/fleet-variables.md; without, it is printed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
PAGE = HERE.parent / "docs" / "reference" / "fleet-variables.md"
HEAD = """# Variables of the fleet

<!-- Made by `make docs` from the roles' argument specifications. Don't edit. -->

For inventories, group and host variables of the collection `tidegate.fleet`: see [fleet](../how-to/fleet.md). Ansible
checks them before anything is done; a name that isn't here is refused. In **bold**: has to be set.
"""
_MARKUP = re.compile(r"\b[CVOIB]\(([^()]*)\)")


def page() -> str:
    parts = [HEAD]
    for file in sorted((HERE / "roles").glob("*/meta/argument_specs.yml"), key=_order):
        options = yaml.safe_load(file.read_text("utf-8"))["argument_specs"]["main"]
        if not options["options"]:
            continue
        name = file.parents[1].name.removeprefix("tidegate_")
        title = "All playbooks" if name == "common" else name.capitalize()
        rows = "\n".join(_rows(options["options"], ""))
        parts.append(f"## {title}\n\n{options['short_description']}.\n\n"
                     f"| variable | value | default | meaning |\n|---|---|---|---|\n{rows}\n")  # fmt: skip
    return "\n".join(parts)


def _order(file: Path) -> tuple[bool, str]:
    return file.parents[1].name != "tidegate_common", str(file)


def _rows(options: Mapping[str, Any], indent: str) -> Iterator[str]:
    for name, told in options.items():
        shown = f"`{name}`" if not told.get("required") else f"**`{name}`**"
        meaning = told["description"]
        text = " ".join(meaning if isinstance(meaning, list) else [meaning])
        cells = [f"{indent}{shown}", _kind(told), _default(told), _MARKUP.sub(r"`\1`", text)]
        yield f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |"
        if "options" in told:
            yield from _rows(told["options"], f"{indent}· ")


def _kind(told: Mapping[str, Any]) -> str:
    if "choices" in told:
        return " or ".join(f"`{choice}`" for choice in told["choices"])
    kinds = {"str": "text", "dict": "dictionary", "int": "whole number", "float": "number", "bool": "`true` or `false`",
             "path": "path", "raw": "number or text", "list": "list"}  # fmt: skip
    kind = kinds[told.get("type", "str")]
    return f"{kind} of {kinds[told['elements']]}" if "elements" in told else kind


def _default(told: Mapping[str, Any]) -> str:
    if "default" not in told:
        return ""
    value = told["default"]
    return f"`{str(value).lower() if isinstance(value, bool) else value}`" if value not in ([], {}, "") else "none"


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), "utf-8")
    else:
        sys.stdout.write(page())
