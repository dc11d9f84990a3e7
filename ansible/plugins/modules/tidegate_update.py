#!/usr/bin/python
"""The release that a gateway runs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_update
short_description: Give a gateway another release
description:
  - On an image with two slots the bundle goes into the slot that doesn't run, with C(tidegate update install). It runs
    after the next restart, which is not this module's.
  - Elsewhere the Debian package is installed, by C(apt-get), which restarts the gateway.
  - A release that is in its place already is left alone.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  state:
    description:
      - V(installed) has O(version) run, after a restart where there are slots.
      - V(good) keeps the slot that runs.
      - V(rolled_back) has the other slot run after the next restart.
      - V(running) changes nothing and fails unless O(version) runs; for after the restart.
    type: str
    choices: [installed, good, rolled_back, running]
    default: installed
  source:
    description:
      - The bundle (C(.raucb)) or the package (C(.deb)) on the gateway. Needed for O(state=installed).
      - A bundle may be an C(https://) address, too, which the gateway fetches it from.
    type: path
  version:
    description: The release that O(source) holds. Needed for O(state=installed) and O(state=running).
    type: str
extends_documentation_fragment:
  - tidegate.fleet.gateway
attributes:
  check_mode:
    description: Says what would be installed. The bundle's signature is checked when it is installed.
    support: full
  diff_mode:
    description: The release before and after.
    support: full
"""

EXAMPLES = r"""
- name: Install the release into the slot that doesn't run
  tidegate.fleet.tidegate_update:
    source: /data/appliance/downloads/tidegate-rpi-arm64-0.2.0.raucb
    version: 0.2.0

- name: Say so if the machine fell back to what ran before
  tidegate.fleet.tidegate_update:
    state: running
    version: 0.2.0
"""

RETURN = r"""
version:
  description: The release that runs now.
  returned: always
  type: str
restart_needed:
  description: Whether a restart has another slot run.
  returned: always
  type: bool
slots:
  description: Whether this is an image with slots.
  returned: always
  type: bool
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tidegate.fleet.plugins.module_utils.gateway import ARGUMENTS, Gateway

_PACKAGE = "tidegate"


class Slots:
    """An image."""

    def __init__(self, module: AnsibleModule, gateway: Gateway, status: dict[str, Any]) -> None:
        self.module, self.gateway = module, gateway
        self.running = next(slot for slot in status["slots"] if slot["booted"])
        self.others = [slot for slot in status["slots"] if not slot["booted"]]
        self.next = next((slot for slot in status["slots"] if slot["next"]), self.running)

    @property
    def version(self) -> str:
        return self.running["version"] or ""

    def install(self, source: str, version: str) -> None:
        if self.next["version"] == version:
            self.end(version, changed=False, restart=not self.next["booted"])
        if self.version == version:
            # What runs is wanted, but the other slot is next: that is taken back.
            self.roll_back(to=version)
        if not self.module.check_mode:
            self.gateway.ask("update", "install", source)
        self.end(version, changed=True, restart=True)

    def good(self) -> None:
        if not self.running["good"] and not self.module.check_mode:
            self.gateway.ask("update", "mark-good")
        self.end(self.version, changed=not self.running["good"], restart=not self.next["booted"])

    def roll_back(self, to: str | None = None) -> None:
        other = to or self.others[0]["version"]
        if not other:
            self.gateway.fail("the other slot is empty, so there is nothing to go back to: install a release instead")
        changed = to is not None or self.next["booted"]
        if changed and not self.module.check_mode:
            self.gateway.ask("update", "rollback", "--yes")
        self.end(other, changed=changed, restart=to is None)

    def end(self, after: str, *, changed: bool, restart: bool) -> None:
        self.module.exit_json(
            changed=changed,
            version=self.version,
            restart_needed=restart,
            slots=True,
            diff={"before": f"{self.next['version']}\n", "after": f"{after}\n"},
        )


class Package:
    """An installation that the package manager keeps."""

    def __init__(self, module: AnsibleModule, gateway: Gateway) -> None:
        self.module, self.gateway = module, gateway
        _, out, _ = module.run_command(["dpkg-query", "--show", "--showformat=${Version}", _PACKAGE])
        self.version = out.strip()

    def install(self, source: str, version: str) -> None:
        if self.version == version:
            self.end(version, changed=False)
        if not self.module.check_mode:
            line = ["apt-get", "install", "--yes", "--no-install-recommends", "--allow-downgrades", source]
            code, out, err = self.module.run_command(line, environ_update={"DEBIAN_FRONTEND": "noninteractive"})
            if code != 0:
                why = next((text for text in err.splitlines() if text.startswith("E: ")), err or out).strip()
                self.gateway.fail(f"the package {source} wasn't installed: {why.removeprefix('E: ')}", exit_code=code)
        self.end(version, changed=True)

    def good(self) -> None:
        self.end(self.version, changed=False)

    def roll_back(self) -> None:
        self.gateway.fail("this gateway has no update slots to go back with: install the package that ran before")

    def end(self, after: str, *, changed: bool) -> None:
        self.module.exit_json(
            changed=changed,
            version=self.version if self.module.check_mode else after,
            restart_needed=False,
            slots=False,
            diff={"before": f"{self.version}\n", "after": f"{after}\n"},
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "state": {"choices": ["installed", "good", "rolled_back", "running"], "default": "installed"},
            "source": {"type": "path"},
            "version": {"type": "str"},
        },
        required_if=[("state", "installed", ["source", "version"]), ("state", "running", ["version"])],
        supports_check_mode=True,
    )
    gateway = Gateway(module)
    status = gateway.ask("update", "status")
    here = Package(module, gateway) if status["image"] is None else Slots(module, gateway, status)
    match module.params["state"]:
        case "installed":
            here.install(module.params["source"], module.params["version"])
        case "good":
            here.good()
        case "rolled_back":
            here.roll_back()
        case "running":
            wanted = module.params["version"]
            if here.version != wanted:
                gateway.fail(f"it runs {here.version}, not {wanted}: it fell back, or wasn't restarted")
            here.end(wanted, changed=False, **({"restart": False} if isinstance(here, Slots) else {}))


if __name__ == "__main__":
    main()
