#!/usr/bin/python
"""A gateway against the baseline."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_audit
short_description: Audit a gateway against the documented baseline
description:
  - Looks at a gateway and its machine, and says for each rule whether it holds. Changes nothing.
  - The rules are those of C(docs/how-to/fleet.md).
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  ports:
    description: TCP ports that may be open to the network.
    type: list
    elements: int
    default: [22, 443]
  renew_before_days:
    description: No certificate may expire within so many days.
    type: int
    default: 30
  except:
    description: Rules that may be broken, by name.
    type: list
    elements: str
    default: []
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
- name: Audit the gateway
  tidegate.fleet.tidegate_audit:
  register: audited
"""

RETURN = r"""
findings:
  description: One for each rule.
  returned: always
  type: list
  elements: dict
  contains:
    rule:
      description: The rule's name.
      type: str
    ok:
      description: Whether it holds, or may be broken.
      type: bool
    said:
      description: What was found, and what mends it.
      type: str
"""

import stat
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tidegate.fleet.plugins.module_utils.gateway import ARGUMENTS, Gateway

_LISTEN = "0A"
_LOOPBACK = ("0100007F", "00000000000000000000000001000000")


class Audit:
    """Each rule is a method that says what is wrong; None: it holds."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.gateway = Gateway(module)
        self.config = Path(module.params["config"])
        self.settings: dict[str, Any] = {}
        overview = self.gateway.ask("config", "show")
        for file in overview["files"]:
            if file["name"].endswith(".toml"):
                text = self.gateway.ask("config", "show", file["name"])["text"] or ""
                for key, value in tomllib.loads(text).items():
                    self.settings[key] = [*self.settings.get(key, []), *value] if isinstance(value, list) else value

    def brokers_use_tls(self) -> str | None:
        clear = [sink["name"] for sink in self.settings.get("sink", []) if "tls" not in sink]
        return f"the way to {' and '.join(clear)} is in clear: add [sink.tls]" if clear else None

    def writes_are_off_or_explained(self) -> str | None:
        write = self.settings.get("write", {})
        loose = write.get("enabled", False) and not write.get("require_reason", False)
        return "writes are on and need no reason: set require_reason in [write]" if loose else None

    def somebody_is_admin(self) -> str | None:
        admins = [user for user in self.gateway.ask("user", "list") if user["role"] == "admin" and not user["disabled"]]
        return None if admins else "no user is an admin: whoever has the claim code becomes one"

    def tokens_end(self) -> str | None:
        endless = [token["name"] for token in self.gateway.ask("token", "list") if token["expires"] is None]
        return f"the token {' and '.join(endless)} never expires: make one that does" if endless else None

    def tokens_are_scoped(self) -> str | None:
        broad = [
            each["name"] for each in self.gateway.ask("token", "list") if each["role"] == "admin" and not each["scopes"]
        ]
        return f"the token {' and '.join(broad)} may do everything: give it scopes" if broad else None

    def certificates_are_valid(self) -> str | None:
        limit = time.time() + self.params["renew_before_days"] * 86_400
        known = self.gateway.ask("cert", "list", by_socket=False)
        ending = [each for each in known if each["state"] != "quarantined" and each["not_after_s"] < limit]
        names = [f"{each['subject']} ({each['holder']})" for each in ending]
        return f"the certificate of {' and '.join(names)} expires soon or has expired: run rotate" if names else None

    def audit_log_is_whole(self) -> str | None:
        answer = self.gateway.call("audit", "--verify", by_socket=False)
        return None if answer.code == 0 else f"the audit log isn't whole: {answer.said}"

    def slot_is_good(self) -> str | None:
        on_trial = [
            slot["name"]
            for slot in self.gateway.ask("update", "status")["slots"]
            if slot["booted"] and not slot["good"]
        ]
        return (
            f"slot {on_trial[0]} is on trial still: wait for its health check, or see tidegate doctor"
            if on_trial
            else None
        )

    def configuration_is_private(self) -> str | None:
        loose = [str(path) for path in writable(self.config.parent)]
        return f"others may write {' and '.join(loose)}: chmod o-w" if loose else None

    def secrets_are_private(self) -> str | None:
        places = [self.config.parent / "secrets", *self.config.parent.glob("**/*.key")]
        loose = [str(each) for each in places if each.exists() and each.stat().st_mode & stat.S_IRWXO]
        return f"others may look into {' and '.join(loose)}: chmod o-rwx" if loose else None

    def ports_are_few(self) -> str | None:
        more = sorted(open_ports() - set(self.params["ports"]))
        return (
            f"port {' and '.join(map(str, more))} is open to the network: stop what listens, or shut it off"
            if more
            else None
        )

    def ssh_takes_keys_only(self) -> str | None:
        command = self.module.get_bin_path("sshd", required=False, opt_dirs=["/usr/sbin"])
        if command is None:
            return None
        code, out, _ = self.module.run_command([command, "-T"])
        said = dict(line.split(" ", 1) for line in out.splitlines() if " " in line)
        if code == 0 and (said.get("passwordauthentication") == "yes" or said.get("permitrootlogin") == "yes"):
            return "SSH takes passwords: set PasswordAuthentication no"
        return None

    def findings(self) -> Iterator[dict[str, Any]]:
        for name in RULES:
            said = getattr(self, name)()
            excused = said and name in self.params["except"]
            yield {"rule": name, "ok": not said or bool(excused), "said": said or "it holds"}


RULES = [
    "brokers_use_tls",
    "writes_are_off_or_explained",
    "somebody_is_admin",
    "tokens_end",
    "tokens_are_scoped",
    "certificates_are_valid",
    "audit_log_is_whole",
    "slot_is_good",
    "configuration_is_private",
    "secrets_are_private",
    "ports_are_few",
    "ssh_takes_keys_only",
]


def writable(directory: Path) -> Iterator[Path]:
    for path in (directory, *directory.rglob("*")):
        if not path.is_symlink() and path.stat().st_mode & stat.S_IWOTH:
            yield path


def open_ports() -> set[int]:
    """TCP ports that are listened on, but for those of the loopback."""
    found = set()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        if not Path(table).exists():
            continue
        for line in Path(table).read_text().splitlines()[1:]:
            local, _, state = line.split()[1:4]
            address, port = local.split(":")
            if state == _LISTEN and address not in _LOOPBACK:
                found.add(int(port, 16))
    return found


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "ports": {"type": "list", "elements": "int", "default": [22, 443]},
            "renew_before_days": {"type": "int", "default": 30},
            "except": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    unknown = set(module.params["except"]) - set(RULES)
    if unknown:
        module.fail_json(msg=f"there is no rule {', '.join(sorted(unknown))}: there are {', '.join(RULES)}")
    module.exit_json(changed=False, findings=list(Audit(module).findings()))


if __name__ == "__main__":
    main()
