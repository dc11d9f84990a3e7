#!/usr/bin/python
"""What a gateway says of itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_facts
short_description: Ask a gateway how it is
description:
  - Collects what a gateway says of itself as the fact RV(ansible_facts.tidegate).
  - A gateway that doesn't run is a fact, too, and no failure.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  gather:
    description: What to ask for. The fewer, the quicker.
    type: list
    elements: str
    choices: [status, release, configuration, certificates, repairs, users, tokens]
    default: [status, release, configuration, certificates, repairs, users, tokens]
extends_documentation_fragment:
  - tidegate.fleet.gateway
attributes:
  check_mode:
    description: Changes nothing anyhow.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Ask the gateway how it is
  tidegate.fleet.tidegate_facts:

- name: Wait for the first value that a broker took
  tidegate.fleet.tidegate_facts:
    gather: [status]
  until: ansible_facts.tidegate.delivered > 0
  retries: 30
  delay: 2
"""

RETURN = r"""
ansible_facts:
  description: What the gateway says of itself.
  returned: always
  type: dict
  contains:
    tidegate:
      description: The gateway.
      type: dict
      contains:
        running:
          description: Whether it answers.
          type: bool
        why:
          description: Why it doesn't.
          type: str
        id:
          description: Its name in the Unified Namespace.
          type: str
        version:
          description: The release that runs.
          type: str
        uptime_s:
          description: Seconds since it started.
          type: float
        clock_trusted:
          description: Whether it knows the time.
          type: bool
        devices:
          description: Every device, by name, with its state.
          type: dict
        sinks:
          description: Every broker, by name, and whether it is connected.
          type: dict
        well:
          description: The devices that answer and the brokers that are connected, such as C(sink plant).
          type: list
          elements: str
        delivered:
          description: Records that brokers took, over all starts that the ledger knows.
          type: int
        pending:
          description: Records that wait to be delivered.
          type: int
        lost:
          description: Records that were dropped or refused.
          type: int
        boot:
          description: Counts the starts of the gateway.
          type: int
        ledger:
          description: The ledger as the gateway tells it.
          type: dict
        release:
          description: Image, slots and the latest installation.
          type: dict
        configuration:
          description: Owner, digest, unconfirmed change, draft.
          type: dict
        certificates:
          description: Every certificate, each with RV(ignore:days_left).
          type: list
          elements: dict
        repairs:
          description: What needs repair, the worst first.
          type: list
          elements: dict
        users:
          description: Who may come in.
          type: list
          elements: dict
        tokens:
          description: Keys for programs.
          type: list
          elements: dict
"""

import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tidegate.fleet.plugins.module_utils.gateway import ARGUMENTS, FAILED, UNREACHABLE, Gateway

_ALL = ["status", "release", "configuration", "certificates", "repairs", "users", "tokens"]
_DAY_S = 86_400


def digest(status: dict[str, Any]) -> dict[str, Any]:
    """What fleets want to know of ``tidegate status``."""
    devices = {
        name: device["state"]
        for link in status["southbound"]["links"].values()
        for name, device in link["devices"].items()
    }
    sinks = {name: sink["connected"] for name, sink in status["sinks"].items()}
    boots = [
        numbers
        for ledger in status["ledger"].values()
        for source in ledger["sources"].values()
        for numbers in source["boots"].values()
    ]
    dropped = sum(gap["last"] - gap["first"] + 1 for numbers in boots for gap in numbers["dropped"])
    gateway = status["gateway"]
    return {
        "running": True,
        "id": gateway["id"],
        "version": gateway["version"],
        "uptime_s": gateway["uptime_s"],
        "boot": gateway["boot"],
        "clock_trusted": gateway["clock_trusted"],
        "devices": devices,
        "sinks": sinks,
        "well": sorted(
            [f"device {name}" for name, state in devices.items() if state == "normal"]
            + [f"sink {name}" for name, connected in sinks.items() if connected]
        ),
        "delivered": sum(numbers["delivered"] for numbers in boots),
        "pending": sum(numbers["pending"] for numbers in boots),
        "lost": dropped + sum(numbers["refused"] for numbers in boots),
        "ledger": status["ledger"],
    }


def with_days(certificate: dict[str, Any]) -> dict[str, Any]:
    return {**certificate, "days_left": int((certificate["not_after_s"] - time.time()) // _DAY_S)}


def collect(gateway: Gateway, wanted: list[str]) -> dict[str, Any]:
    status = gateway.call("status")
    if status.code == UNREACHABLE:
        return {"running": False, "why": status.said}
    if status.code != 0:
        gateway.refused(status)
    facts = digest(status.body)
    if "release" in wanted:
        facts["release"] = gateway.ask("update", "status")
    if "configuration" in wanted:
        facts["configuration"] = gateway.ask("config", "show")
    if "certificates" in wanted:
        facts["certificates"] = [with_days(each) for each in gateway.ask("cert", "list", by_socket=False)]
    if "repairs" in wanted:
        repairs = gateway.call("doctor")
        if repairs.code not in (0, FAILED):
            gateway.refused(repairs)
        facts["repairs"] = repairs.body or []
    if "users" in wanted:
        facts["users"] = gateway.ask("user", "list")
    if "tokens" in wanted:
        facts["tokens"] = gateway.ask("token", "list")
    return facts


def main() -> None:
    module = AnsibleModule(
        argument_spec={**ARGUMENTS, "gather": {"type": "list", "elements": "str", "choices": _ALL, "default": _ALL}},
        supports_check_mode=True,
    )
    module.exit_json(changed=False, ansible_facts={"tidegate": collect(Gateway(module), module.params["gather"])})


if __name__ == "__main__":
    main()
