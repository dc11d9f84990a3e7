#!/usr/bin/python
"""Keys for programs that speak to a gateway's API."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_token
short_description: Keep API tokens of a gateway, and renew them in time
description:
  - Makes a token if there is none of the name, or the one there is expires soon; then the old one is revoked.
  - The token itself is returned once, when it is made.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  name:
    description: The token's name.
    type: str
    required: true
  state:
    description: Whether there is such a token.
    type: str
    choices: [present, absent]
    default: present
  role:
    description: What it is good for.
    type: str
    choices: [viewer, operator, engineer, admin]
    default: viewer
  scopes:
    description: Parts of the API, as its paths say after C(/v1/).
    type: list
    elements: str
    default: []
  days:
    description: It expires after so many.
    type: int
    default: 365
  renew_before_days:
    description: Make a new one when fewer days than these are left.
    type: int
    default: 30
extends_documentation_fragment:
  - tidegate.fleet.gateway
attributes:
  check_mode:
    description: Says whether a token would be made.
    support: full
  diff_mode:
    description: There is nothing to compare that may be seen.
    support: none
"""

EXAMPLES = r"""
- name: A token for the historian
  tidegate.fleet.tidegate_token:
    name: historian
    scopes: [values]
  register: made
  no_log: true
"""

RETURN = r"""
secret:
  description: The token, this once.
  returned: when one was made
  type: str
"""

from datetime import UTC, datetime
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tidegate.fleet.plugins.module_utils.gateway import ARGUMENTS, Gateway


def days_left(token: dict[str, Any]) -> float:
    """Until it expires; without end for one that never does."""
    if token["expires"] is None:
        return float("inf")
    end = datetime.fromisoformat(token["expires"].replace("Z", "+00:00"))
    return (end - datetime.now(UTC)).total_seconds() / 86_400


def good(token: dict[str, Any], params: dict[str, Any]) -> bool:
    same = token["role"] == params["role"] and set(token["scopes"]) == set(params["scopes"])
    return same and days_left(token) >= params["renew_before_days"]


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "name": {"type": "str", "required": True},
            "state": {"choices": ["present", "absent"], "default": "present"},
            "role": {"choices": ["viewer", "operator", "engineer", "admin"], "default": "viewer"},
            "scopes": {"type": "list", "elements": "str", "default": []},
            "days": {"type": "int", "default": 365},
            "renew_before_days": {"type": "int", "default": 30},
        },
        supports_check_mode=True,
    )
    params, gateway = module.params, Gateway(module)
    found = [each for each in gateway.ask("token", "list") if each["name"] == params["name"]]
    wanted = params["state"] == "present"
    kept = [each for each in found if wanted and good(each, params)]
    leaving = [each for each in found if each not in kept[:1]]
    made: dict[str, Any] = {}
    if not module.check_mode:
        # The old ones go first: two of one name could not be told from each other.
        for each in leaving:
            gateway.do("token", "revoke", each["id"])
        if wanted and not kept:
            scopes = [f"--scope={scope}" for scope in params["scopes"]]
            words = ["token", "add", params["name"], "--role", params["role"], "--days", str(params["days"]), *scopes]
            made = {"secret": gateway.ask(*words)["secret"]}
    module.exit_json(changed=bool(leaving) or (wanted and not kept), **made)


if __name__ == "__main__":
    main()
