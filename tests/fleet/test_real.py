"""A real machine, or an image under emulation, from an inventory to its first delivered value by one command.

``TIDEGATE_FLEET_INVENTORY`` names the inventory, with everything in it; ``TIDEGATE_FLEET_VAULT_PASSWORD`` a file with
the password of its vault, if it has one. Run it where the machine is reached, which isn't within ``make fleet``:
``pytest -m fleet tests/fleet/test_real.py``.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fleet.conftest import BIN
from tests.fleet.machine import ROOT

INVENTORY = os.environ.get("TIDEGATE_FLEET_INVENTORY")
_LIMIT_S = 1800


@pytest.mark.skipif(INVENTORY is None, reason="TIDEGATE_FLEET_INVENTORY names no inventory of a real machine")
@pytest.mark.timeout(2 * _LIMIT_S)
def test_from_the_inventory_to_the_first_value_by_one_command(tmp_path: Path) -> None:
    collections = tmp_path / "ansible_collections" / "tidegate"
    collections.mkdir(parents=True)
    (collections / "fleet").symlink_to(ROOT / "ansible")
    vault = os.environ.get("TIDEGATE_FLEET_VAULT_PASSWORD")
    line = [str(BIN / "ansible-playbook"), "-i", str(Path(str(INVENTORY)).resolve()), "tidegate.fleet.provision"]
    more = ["--vault-password-file", str(Path(vault).resolve())] if vault else []
    environment = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_COLLECTIONS_PATH": str(tmp_path),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_NOCOLOR": "1",
    }

    def provision() -> str:
        done = subprocess.run([*line, *more], capture_output=True, text=True, timeout=_LIMIT_S, env=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout.partition("PLAY RECAP")[2]

    assert "changed=0" not in provision()
    assert "changed=0" in provision()
