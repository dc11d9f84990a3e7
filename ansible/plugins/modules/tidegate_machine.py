#!/usr/bin/python
"""The machine that a gateway is: its name, network and time."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_machine
short_description: Set name, network and time of an appliance
description:
  - Where Tidegate is the whole machine, sets its name, network and time; what isn't named stays as it is.
  - A change of the network counts at once and is taken back by the machine itself, unless a later task confirms it,
    which has to reach the machine under its new address.
  - Elsewhere it says so, by RV(appliance), and changes nothing.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  state:
    description: V(set) sets what is named; V(confirmed) keeps a change of the network.
    type: str
    choices: [set, confirmed]
    default: set
  hostname:
    description: The machine's name.
    type: str
  timezone:
    description: Its time zone, such as V(Europe/Berlin).
    type: str
  servers:
    description: NTP servers. An empty list has DHCP name them, or the system.
    type: list
    elements: str
  interface:
    description: The network interface that O(network) is for.
    type: str
  network:
    description: The settings of O(interface).
    type: dict
    suboptions:
      dhcp:
        description: A DHCP server gives the address.
        type: bool
        default: false
      address:
        description: The address with its prefix, such as V(192.168.1.20/24).
        type: str
      gateway:
        description: The router.
        type: str
      dns:
        description: Name servers.
        type: list
        elements: str
        default: []
  confirm_within:
    description: Seconds after which a change of the network is taken back that wasn't confirmed.
    type: float
    default: 120
extends_documentation_fragment:
  - tidegate.fleet.gateway
attributes:
  check_mode:
    description: Says what would change.
    support: full
  diff_mode:
    description: The settings before and after.
    support: full
"""

EXAMPLES = r"""
- name: Name it
  tidegate.fleet.tidegate_machine:
    hostname: north-filler
    timezone: Europe/Berlin

- name: Give it an address
  tidegate.fleet.tidegate_machine:
    interface: eth0
    network: {address: 192.168.1.20/24, gateway: 192.168.1.1}

- name: Keep it, under the new address
  tidegate.fleet.tidegate_machine:
    state: confirmed
  vars:
    ansible_host: 192.168.1.20
"""

RETURN = r"""
appliance:
  description: Whether Tidegate is the whole machine.
  returned: always
  type: bool
hostname:
  description: The machine's name.
  returned: always
  type: str
unconfirmed:
  description: The change that waits to be confirmed, or null.
  returned: always
  type: dict
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tidegate.fleet.plugins.module_utils.gateway import ARGUMENTS, Gateway


class Settings:
    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.gateway = Gateway(module)
        self.status = self.gateway.ask("machine", "status")
        self.before: dict[str, Any] = {}
        self.after: dict[str, Any] = {}
        self.unconfirmed = self.status["unconfirmed"]

    def name(self) -> None:
        if self.differs("hostname", self.status["hostname"], self.params["hostname"]):
            self.gateway.ask("machine", "hostname", self.params["hostname"])

    def time(self) -> None:
        now = (self.status["clock"] or {}).get("settings") or {"timezone": "UTC", "servers": []}
        zone, servers = self.params["timezone"], self.params["servers"]
        changes = [self.differs("timezone", now["timezone"], zone), self.differs("servers", now["servers"], servers)]
        if any(changes):
            words = [f"--timezone={zone}"] if zone else []
            words += [f"--server={each}" for each in servers or []]
            words += ["--no-servers"] if servers == [] else []
            self.gateway.ask("machine", "time", *words)
            # A wrong clock keeps nobody out who comes by SSH.
            self.gateway.ask("machine", "confirm")

    def network(self) -> None:
        interface, wanted = self.params["interface"], self.params["network"]
        known = {each["name"]: each["settings"] for each in self.status["interfaces"]}
        if wanted["dhcp"] == bool(wanted["address"]):
            self.gateway.fail(f"the network of {interface} needs either dhcp or an address: write one of both")
        if interface not in known:
            self.gateway.fail(f"there is no network interface {interface}: there is {', '.join(known)}")
        if self.differs(interface, known[interface], wanted):
            words = ["--dhcp"] if wanted["dhcp"] else [f"--address={wanted['address']}"]
            words += [f"--gateway={wanted['gateway']}"] if wanted["gateway"] else []
            words += [f"--dns={each}" for each in wanted["dns"]]
            within = f"--confirm-within={self.params['confirm_within']}"
            self.unconfirmed = self.gateway.ask("machine", "network", interface, *words, within)

    def differs(self, what: str, now: Any, wanted: Any) -> bool:
        """Whether it is to be changed for real."""
        if wanted is None or wanted == now:
            return False
        self.before[what], self.after[what] = now, wanted
        return not self.module.check_mode

    def confirm(self) -> None:
        if self.unconfirmed is not None and not self.module.check_mode:
            self.gateway.ask("machine", "confirm")
        name = self.status["hostname"]
        self.module.exit_json(changed=self.unconfirmed is not None, appliance=True, hostname=name, unconfirmed=None)


def main() -> None:
    network = {
        "dhcp": {"type": "bool", "default": False},
        "address": {"type": "str"},
        "gateway": {"type": "str"},
        "dns": {"type": "list", "elements": "str", "default": []},
    }
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "state": {"choices": ["set", "confirmed"], "default": "set"},
            "hostname": {"type": "str"},
            "timezone": {"type": "str"},
            "servers": {"type": "list", "elements": "str"},
            "interface": {"type": "str"},
            "network": {"type": "dict", "options": network},
            "confirm_within": {"type": "float", "default": 120},
        },
        required_together=[("interface", "network")],
        supports_check_mode=True,
    )
    settings = Settings(module)
    if not settings.status["appliance"]:
        module.exit_json(changed=False, appliance=False, hostname=settings.status["hostname"], unconfirmed=None)
    if module.params["state"] == "confirmed":
        settings.confirm()
    settings.name()
    settings.time()
    if module.params["network"] is not None:
        settings.network()
    module.exit_json(
        changed=bool(settings.after),
        appliance=True,
        hostname=settings.after.get("hostname", settings.status["hostname"]),
        unconfirmed=settings.unconfirmed,
        diff={"before": settings.before, "after": settings.after},
    )


if __name__ == "__main__":
    main()
