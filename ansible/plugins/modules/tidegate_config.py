#!/usr/bin/python
"""The configuration of a gateway, as a transaction."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_config
short_description: Configure a gateway so that a mistake comes back by itself
description:
  - Applies a configuration with C(tidegate config apply --confirm-within), without a restart.
  - The gateway goes back to what it ran before unless the change is confirmed in time, also if the connection to it is
    lost meanwhile.
  - Nothing is applied if the configuration is invalid, or if it is what is in place already.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  state:
    description:
      - V(applied) makes O(files) the whole configuration.
      - V(confirmed) keeps a change that runs unconfirmed; V(rolled_back) takes it back.
      - V(owned) only sets O(owner).
    type: str
    choices: [applied, confirmed, rolled_back, owned]
    default: applied
  files:
    description:
      - Text by file name. The main file is called as O(config) is, others C(conf.d/NAME.toml), and tables of tags
        C(NAME.csv). What isn't named is taken away.
    type: dict
  confirm_by:
    description:
      - V(health) has the gateway confirm the change once every broker and device that was well before is well again,
        and take it back otherwise.
      - V(hand) leaves it unconfirmed, for a later task with O(state=confirmed).
    type: str
    choices: [health, hand]
    default: health
  confirm_within:
    description: Seconds after which an unconfirmed change comes back. 0 needs no confirmation.
    type: float
    default: 60
  reason:
    description: Why, for the history.
    type: str
    default: ""
  owner:
    description:
      - The tool that the configuration belongs to, so that it isn't changed from two sides.
      - V(page) gives it back to people.
    type: str
    default: ansible
  replace_draft:
    description: Go on even if somebody is working on a draft, which is lost then.
    type: bool
    default: false
extends_documentation_fragment:
  - tidegate.fleet.gateway
attributes:
  check_mode:
    description: Says what would change, and refuses what is invalid.
    support: full
  diff_mode:
    description: The difference of the files.
    support: full
"""

EXAMPLES = r"""
- name: Configure the gateway
  tidegate.fleet.tidegate_config:
    files:
      tidegate.toml: "{{ lookup('ansible.builtin.template', 'tidegate.toml.j2') }}"
      conf.d/filler.toml: "{{ lookup('ansible.builtin.file', 'filler.toml') }}"
    reason: Change 4711

- name: Look for oneself before it is kept
  tidegate.fleet.tidegate_config:
    files: "{{ tidegate_files }}"
    confirm_by: hand
    confirm_within: 120

- name: Keep it
  tidegate.fleet.tidegate_config:
    state: confirmed
"""

RETURN = r"""
changes:
  description: What changes, each in a sentence.
  returned: if there is a difference
  type: list
  elements: str
revision:
  description: The revision that was made.
  returned: when something was applied
  type: dict
pending:
  description: The change that waits for a confirmation, or null.
  returned: always
  type: dict
problems:
  description: What is wrong with the configuration.
  returned: when it is invalid
  type: list
  elements: dict
"""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tidegate.fleet.plugins.module_utils.gateway import ARGUMENTS, CONFLICT, INVALID, Gateway

_PEOPLE = "page"


class Change:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.gateway = Gateway(module)
        self.overview = self.gateway.ask("config", "show")

    def own(self) -> bool:
        """Whether the owner is another one from now on."""
        owner = self.module.params["owner"]
        if self.overview["owner"]["name"] == owner:
            return False
        if not self.module.check_mode:
            self.gateway.ask("config", "owner", owner)
        return True

    def settle(self, state: str) -> None:
        """Keep or take back a change that runs unconfirmed."""
        pending = self.overview["pending"]
        if pending is not None and not self.module.check_mode:
            if state == "confirmed":
                self.gateway.ask("config", "confirm")
            else:
                self.gateway.ask("config", "rollback", "--yes", "--confirm-within", "0", *self.acting_as)
        self.module.exit_json(changed=pending is not None, pending=pending)

    @property
    def acting_as(self) -> list[str]:
        owner = self.module.params["owner"]
        return [] if owner == _PEOPLE else ["--as", owner]

    def apply(self, directory: Path) -> None:
        main = Path(self.overview["main"]).name
        files = self.module.params["files"]
        if main not in files:
            self.gateway.fail(f"files has no {main}, which is the main file: it has {', '.join(sorted(files))}")
        write(self.gateway, directory, files)
        difference = self.gateway.ask("config", "diff", str(directory))
        self.check(directory / main)
        owned = self.own()
        told: dict[str, Any] = {
            "changes": [each["sentence"] for each in difference["changes"] or []],
            "diff": {"prepared": difference["patch"]},
            "pending": self.overview["pending"],
        }
        if not difference["patch"]:
            self.module.exit_json(changed=owned, **told)
        if self.module.check_mode:
            self.module.exit_json(changed=True, **told)
        self.module.exit_json(changed=True, **{**told, **self.applied(directory)})

    def check(self, main: Path) -> None:
        """Ends the module if the configuration is invalid; also in check mode, where nothing would say so later.

        Secrets are for the gateway to look for: it may have them from its service manager.
        """
        answer = self.gateway.call("check", str(main), "--without-secrets", by_socket=False)
        if answer.code == 0:
            return
        if answer.code != INVALID:
            self.gateway.refused(answer)
        problems = [
            {**each, "file": each["file"].replace(f"{main.parent}{os.sep}", "")} for each in answer.body["problems"]
        ]
        said = "; ".join(told(problem) for problem in problems)
        self.gateway.fail(f"the configuration is invalid, nothing was changed: {said}", problems=problems)

    def applied(self, directory: Path) -> dict[str, Any]:
        params = self.module.params
        words = ["--confirm-within", str(params["confirm_within"]), "--confirm-by", params["confirm_by"]]
        if params["replace_draft"]:
            words.append("--replace-draft")
        if params["reason"]:
            words += ["--reason", params["reason"]]
        answer = self.gateway.call("config", "apply", str(directory), *words, *self.acting_as, "--yes")
        if answer.code == CONFLICT and answer.body is not None:
            revision = answer.body["revision"]
            # It went back to the draft, for people to mend it there. This one is mended where it came from.
            self.gateway.do("config", "draft", "discard", "--yes")
            self.gateway.fail(
                f"the change was taken back, what ran before runs again: {revision['why'] or 'it was not confirmed'}",
                revision=revision,
            )
        if answer.code != 0:
            self.gateway.refused(answer)
        return {"revision": answer.body["revision"], "pending": answer.body["pending"]}


def told(problem: dict[str, Any]) -> str:
    where = f"{problem['file']}:{problem['line']}" if problem["line"] else problem["file"]
    return f"{where}: {problem['message']}" + (f" ({problem['hint']})" if problem["hint"] else "")


def write(gateway: Gateway, directory: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = directory / name
        if not path.resolve().is_relative_to(directory.resolve()):
            gateway.fail(f"the file name {name} leads out of the configuration: name it like conf.d/line1.toml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "state": {"choices": ["applied", "confirmed", "rolled_back", "owned"], "default": "applied"},
            "files": {"type": "dict"},
            "confirm_by": {"choices": ["health", "hand"], "default": "health"},
            "confirm_within": {"type": "float", "default": 60},
            "reason": {"type": "str", "default": ""},
            "owner": {"type": "str", "default": "ansible"},
            "replace_draft": {"type": "bool", "default": False},
        },
        required_if=[("state", "applied", ["files"])],
        supports_check_mode=True,
    )
    change = Change(module)
    state = module.params["state"]
    if state == "owned":
        module.exit_json(changed=change.own(), pending=change.overview["pending"])
    if state != "applied":
        change.settle(state)
    directory = Path(tempfile.mkdtemp(prefix=".tidegate-", dir=module.tmpdir))
    module.add_cleanup_file(str(directory))
    try:
        change.apply(directory)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
