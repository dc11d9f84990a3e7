"""The provisioning file that the box is given."""

from __future__ import annotations

import re

from argon2 import PasswordHasher

from hil.benches.declaration import Part
from hil.tests.box import ADMIN, PASSWORD, Box, ssh_table

ENGINEER = "eve"
WRONG = "colour"
"""A table that no provisioning file has."""
_ROW = re.compile(r'<th scope="row">([^<]+)</th><td>.*?\b(Applied|Unchanged|Refused)\b', re.DOTALL)


def provisioning_file(box: Box) -> bytes:
    verifier = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1).hash(PASSWORD)
    lines = [f'[[user]]\nname = "{ENGINEER}"\nrole = "engineer"\npassword_hash = "{verifier}"']
    if box.can(Part.SYSTEM):
        lines.append('[machine]\ntimezone = "Europe/Berlin"')
        if box.bench.public_key is not None:
            lines.append(ssh_table(box.bench))
    lines.append(f'[{WRONG}]\nname = "blue"')
    return "\n\n".join(lines).encode()


def reported(box: Box) -> dict[str, str]:
    """Setting → outcome, as the page shows it to an admin."""
    visitor = box.bench.page
    assert visitor.sign_in(ADMIN, PASSWORD) == 303
    _, text = visitor.fetch("GET", "/provisioning")
    return {name: outcome.lower() for name, outcome in _ROW.findall(text)}
