"""The variables of the collection, from the specifications of its roles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from ansible.plugins.lookup import LookupBase

DOCUMENTATION = r"""
name: variables
short_description: List the variables of this collection
description: Names every variable that a role of this collection takes, from the roles' argument specifications.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options: {}
"""

EXAMPLES = r"""
unknown: "{{ query('ansible.builtin.varnames', '^tidegate_') | difference(query('tidegate.fleet.variables')) }}"
"""

RETURN = r"""
_raw:
  description: The names.
  type: list
  elements: str
"""

_ROLES = Path(__file__).parents[2] / "roles"


class LookupModule(LookupBase):
    def run(self, terms: list[Any], variables: Any = None, **kwargs: Any) -> list[str]:
        names: set[str] = set()
        for file in sorted(_ROLES.glob("*/meta/argument_specs.yml")):
            specification = yaml.safe_load(file.read_text(encoding="utf-8"))
            names.update(specification["argument_specs"]["main"].get("options", {}))
        return sorted(names)
