#!/usr/bin/python
"""Users of a gateway's page and API, and keys for programs."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_user
short_description: Say who may come into a gateway
description:
  - Adds, changes and removes users of the page and the API.
  - A password goes to the gateway over stdin; it stands on no command line.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  name:
    description: The user.
    type: str
    required: true
  state:
    description: Whether there is such a user.
    type: str
    choices: [present, absent]
    default: present
  role:
    description: What the user may do. A new user is V(viewer) unless this says otherwise.
    type: str
    choices: [viewer, operator, engineer, admin]
  password:
    description: The password. Needed for a new user.
    type: str
  update_password:
    description: V(always) gives another one to a user who has another; V(on_create) to new users only.
    type: str
    choices: [always, on_create]
    default: always
  must_change:
    description:
      - A password that is given now is good for choosing another one only.
      - Use it with O(update_password=on_create).
    type: bool
    default: false
  disabled:
    description: Keep the user out.
    type: bool
    default: false
extends_documentation_fragment:
  - tidegate.fleet.gateway
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: The user before and after; no password.
    support: full
"""

EXAMPLES = r"""
- name: Let the plant's engineer in
  tidegate.fleet.tidegate_user:
    name: line-engineer
    role: engineer
    password: "{{ vault_tidegate_engineer_password }}"
  no_log: true

- name: Keep somebody out
  tidegate.fleet.tidegate_user:
    name: contractor
    state: absent
"""

RETURN = r"""
user:
  description: The user as it is now.
  returned: when there is one
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tidegate.fleet.plugins.module_utils.gateway import ARGUMENTS, Gateway


def shown(user: dict[str, Any] | None) -> dict[str, Any]:
    return {key: user[key] for key in ("name", "role", "disabled")} if user is not None else {}


class Wish:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.params = module.params
        self.gateway = Gateway(module)
        self.name = self.params["name"]
        users = self.gateway.ask("user", "list")
        self.found = next((each for each in users if each["name"].casefold() == self.name.casefold()), None)

    def absent(self) -> None:
        if self.found is not None and not self.module.check_mode:
            self.gateway.do("user", "remove", self.name, "--yes")
        self.end(None, changed=self.found is not None)

    def present(self) -> None:
        if self.found is None:
            self.end(self.added(), changed=True)
        before = self.found
        after = dict(before)
        role = self.params["role"]
        if role is not None and before["role"] != role:
            after = self.told(after, {"role": role}, "user", "role", self.name, role)
        if before["disabled"] != self.params["disabled"]:
            word = "disable" if self.params["disabled"] else "enable"
            after = self.told(after, {"disabled": self.params["disabled"]}, "user", word, self.name)
        renewed = self.password()
        self.end(after, changed=renewed or shown(before) != shown(after))

    def added(self) -> dict[str, Any]:
        if not self.params["password"]:
            self.gateway.fail(f"the user {self.name} is new and needs a password: set one, from a vault")
        role = self.params["role"] or "viewer"
        made = {"name": self.name, "role": role, "disabled": self.params["disabled"]}
        if self.module.check_mode:
            return made
        more = ["--must-change"] if self.params["must_change"] else []
        user = self.gateway.ask("user", "add", self.name, "--role", role, *more, stdin=self.params["password"])
        return self.told(user, {}, "user", "disable", self.name) if self.params["disabled"] else user

    def password(self) -> bool:
        """Whether the user has another one from now on."""
        if not self.params["password"] or self.params["update_password"] == "on_create":
            return False
        words = ["user", "password", self.name, "--unless-same"]
        if self.module.check_mode:
            words.append("--dry-run")
        elif self.params["must_change"]:
            words.append("--must-change")
        return bool(self.gateway.ask(*words, stdin=self.params["password"])["changed"])

    def told(self, user: dict[str, Any], change: dict[str, Any], *words: str) -> dict[str, Any]:
        return {**user, **change} if self.module.check_mode else self.gateway.ask(*words)

    def end(self, user: dict[str, Any] | None, *, changed: bool) -> None:
        more = {} if user is None else {"user": user}
        self.module.exit_json(changed=changed, diff={"before": shown(self.found), "after": shown(user)}, **more)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "name": {"type": "str", "required": True},
            "state": {"choices": ["present", "absent"], "default": "present"},
            "role": {"choices": ["viewer", "operator", "engineer", "admin"]},
            "password": {"type": "str", "no_log": True},
            "update_password": {"choices": ["always", "on_create"], "default": "always", "no_log": False},
            "must_change": {"type": "bool", "default": False},
            "disabled": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    wish = Wish(module)
    if module.params["state"] == "absent":
        wish.absent()
    wish.present()


if __name__ == "__main__":
    main()
