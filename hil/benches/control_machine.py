"""The control machine of a fleet: the collection, an inventory and ansible-playbook, as a plant's people have them."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[2]
BIN = ROOT / ".venv-fleet" / "bin"
"""``make fleet`` and ``make hil`` bring it."""
_CONFIGURATION = """\
[defaults]
collections_path = {directory}/collections
inventory = inventory.json
gathering = explicit
interpreter_python = {interpreter}
forks = 6
callback_result_format = yaml
retry_files_enabled = false
[ssh_connection]
pipelining = true
control_path_dir = {directory}/cp
ssh_args = -F /dev/null -o ControlMaster=auto -o ControlPersist=60s -o IdentitiesOnly=yes \
-o ConnectTimeout={connect_timeout_s} -o UserKnownHostsFile={directory}/known_hosts -o StrictHostKeyChecking={host_keys}
"""


class ControlMachine:
    """All of it is in `directory`: a short path, since those of SSH's sockets begin with it.

    `interpreter` is the gateways' Python; `host_keys` says whether a gateway is believed the first time it is met.
    """

    def __init__(
        self,
        directory: Path,
        *,
        interpreter: str = "/usr/bin/python3",
        connect_timeout_s: int = 30,
        host_keys: Literal["accept-new", "yes"] = "accept-new",
    ) -> None:
        self.directory = directory
        collections = directory / "collections" / "ansible_collections" / "tidegate"
        collections.mkdir(parents=True)
        (collections / "fleet").symlink_to(ROOT / "ansible")
        (directory / "ansible.cfg").write_text(
            _CONFIGURATION.format(
                directory=directory,
                interpreter=interpreter,
                connect_timeout_s=connect_timeout_s,
                host_keys=host_keys,
            )
        )

    def inventory(
        self, hosts: Mapping[str, str], key: Path, *, group: str = "tidegate", variables: Mapping[str, Any]
    ) -> None:
        """Gateways by name, with their addresses; `key` lets in, and `variables` are everybody's."""
        common = {"ansible_user": "root", "ansible_ssh_private_key_file": str(key), **variables}
        each = {name: {"ansible_host": address} for name, address in hosts.items()}
        body = {"all": {"vars": common, "children": {group: {"hosts": each}}}}
        (self.directory / "inventory.json").write_text(json.dumps(body, indent=1))

    def run(
        self, playbook: str, *options: str, timeout_s: float, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook of the collection, by its name, or a file. Raises subprocess.TimeoutExpired."""
        name = playbook if playbook.endswith(".yml") else f"tidegate.fleet.{playbook}"
        return subprocess.run(
            [str(BIN / "ansible-playbook"), name, *options],
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
            env={
                **os.environ,
                "PATH": f"{BIN}:{os.environ['PATH']}",
                "ANSIBLE_CONFIG": str(self.directory / "ansible.cfg"),
                "ANSIBLE_HOME": str(self.directory / "ansible"),
                "ANSIBLE_NOCOLOR": "1",
                **(environment or {}),
            },
        )
