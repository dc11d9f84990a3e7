"""The control machine of a fleet: an inventory with one gateway, and ansible-playbook."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv-fleet" / "bin"
"""``make hil`` brings it."""
_CONFIGURATION = """\
[defaults]
collections_path = {directory}/collections
inventory = inventory.json
gathering = explicit
interpreter_python = /usr/bin/python3
retry_files_enabled = false
[ssh_connection]
pipelining = true
control_path_dir = {directory}/cp
ssh_args = -F /dev/null -o ControlMaster=auto -o ControlPersist=60s -o IdentitiesOnly=yes -o ConnectTimeout=30 \
-o UserKnownHostsFile={directory}/known_hosts -o StrictHostKeyChecking=accept-new
"""


class Control:
    """In `directory`, which is short, since the paths of sockets are in it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        collections = directory / "collections" / "ansible_collections" / "tidegate"
        collections.mkdir(parents=True)
        (collections / "fleet").symlink_to(ROOT / "ansible")
        (directory / "ansible.cfg").write_text(_CONFIGURATION.format(directory=directory))

    def inventory(self, name: str, address: str, key: Path, **variables: Any) -> None:
        """One gateway, in which `key` lets in."""
        host = {"ansible_host": address, "ansible_user": "root", "ansible_ssh_private_key_file": str(key), **variables}
        body = {"all": {"children": {"tidegate": {"hosts": {name: host}}}}}
        (self._directory / "inventory.json").write_text(json.dumps(body, indent=1))

    def play(self, name: str, timeout_s: float) -> str:
        """Run a playbook of the collection. Returns its recap; raises AssertionError with all it said."""
        ran = subprocess.run(
            [str(BIN / "ansible-playbook"), f"tidegate.fleet.{name}"],
            cwd=self._directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={
                **os.environ,
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "ANSIBLE_CONFIG": str(self._directory / "ansible.cfg"),
                "ANSIBLE_HOME": str(self._directory / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
            },
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout.partition("PLAY RECAP")[2]
