#!/usr/bin/python
"""The certificates of a gateway."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_cert
short_description: Have certificates issued for a gateway, and say whom it trusts
description:
  - O(state=requested) makes a key on the gateway, where it stays, and returns a request for an authority to sign. It
    does so only if there is no certificate, or it says something else, or it expires soon.
  - O(state=installed) takes what the authority issued into use.
  - O(state=trusted) and O(state=distrusted) change the trust list of a driver, such as OPC UA's.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  state:
    description: What is wanted.
    type: str
    choices: [requested, installed, trusted, distrusted]
    required: true
  path:
    description: The certificate's file on the gateway, PEM. Needed for V(requested) and V(installed).
    type: path
  key:
    description: The file of its key. The default is O(path) with the suffix C(.key).
    type: path
  common_name:
    description: The subject's common name. Needed for V(requested).
    type: str
  hosts:
    description: Host names and addresses that it is good for.
    type: list
    elements: str
    default: []
  uris:
    description: URIs that it is good for; OPC UA wants the application's.
    type: list
    elements: str
    default: []
  key_type:
    description: OPC UA takes V(rsa) only.
    type: str
    choices: [ec, rsa]
    default: ec
  renew_before_days:
    description: Request a new one when fewer days than these are left.
    type: int
    default: 30
  issuer:
    description: Request a new one, too, if the one there is was issued by somebody else. An RFC 4514 name.
    type: str
  serials_revoked:
    description: Request a new one, too, if the one there is has one of these serial numbers, hexadecimal.
    type: list
    elements: str
    default: []
  content:
    description: Certificates, PEM. Needed for V(installed), with the authority's last, and for V(trusted).
    type: str
  fingerprint:
    description: SHA-256 of the certificate that isn't to be trusted any more. Needed for V(distrusted).
    type: str
  driver:
    description: Whose trust list. Needed where several drivers have one.
    type: str
  owner:
    description: The user of the gateway who may read the files; by default the owner of their directory.
    type: str
extends_documentation_fragment:
  - tidegate.fleet.gateway
attributes:
  check_mode:
    description: Says whether a certificate would be requested, or what is given is another one. Makes no key.
    support: full
  diff_mode:
    description: Subject, names and end before and after.
    support: full
"""

EXAMPLES = r"""
- name: Ask for a certificate if it is time
  tidegate.fleet.tidegate_cert:
    state: requested
    path: /etc/tidegate/tls/broker.pem
    common_name: "{{ inventory_hostname }}"
    hosts: ["{{ inventory_hostname }}.local"]
  register: asked

- name: Sign it
  tidegate.fleet.tidegate_ca:
    directory: "{{ playbook_dir }}/ca"
    state: signed
    request: "{{ asked.request }}"
  delegate_to: localhost
  register: signed
  when: asked.request is defined

- name: Take it into use
  tidegate.fleet.tidegate_cert:
    state: installed
    path: /etc/tidegate/tls/broker.pem
    content: "{{ signed.certificate }}"
  when: signed.certificate is defined
"""

RETURN = r"""
request:
  description: What the authority is to sign, PEM.
  returned: when O(state=requested) and a certificate is needed, but not in check mode
  type: str
why:
  description: Why a certificate is needed.
  returned: when O(state=requested) and one is
  type: str
certificate:
  description: The certificate there is.
  returned: when there is one
  type: dict
"""

import hashlib
import os
import shutil
import ssl
import tempfile
import time
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.tidegate.fleet.plugins.module_utils.gateway import ARGUMENTS, Gateway

_DAY_S = 86_400
_END = "-----END CERTIFICATE-----"


class Pair:
    """A certificate and its key, both files."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.gateway = Gateway(module)
        self.words = [self.params["path"], *(["--key", self.params["key"]] if self.params["key"] else [])]

    def ask(self, verb: str, *more: str, **how: Any) -> Any:
        # About files alone: neither the gateway's configuration nor its socket has to do with it.
        answer = self.gateway.call_alone("cert", verb, *self.words, *more, **how)
        if answer.code != 0:
            self.gateway.refused(answer)
        return answer.body

    def requested(self) -> None:
        found = self.ask("inspect")
        why = self.needed(found)
        told: dict[str, Any] = {} if found is None else {"certificate": found}
        if why is None:
            self.module.exit_json(changed=False, **told)
        diff = {"before": shown(found), "after": f"{self.params['common_name']}: requested, because {why}\n"}
        if not self.module.check_mode:
            names = [f"--host={host}" for host in self.params["hosts"]] + [
                f"--uri={uri}" for uri in self.params["uris"]
            ]
            more = ["--name", self.params["common_name"], "--type", self.params["key_type"], *names]
            told["request"] = self.ask("request", *more)["request"]
        self.module.exit_json(changed=True, why=why, diff=diff, **told)

    def needed(self, found: dict[str, Any] | None) -> str | None:
        """Why; None: it isn't."""
        if found is None:
            return "there is none"
        left = int((found["not_after_s"] - time.time()) // _DAY_S)
        if left < 0:
            return f"it expired {-left} days ago"
        if left < self.params["renew_before_days"]:
            return f"it expires in {left} days"
        if not found["fits_key"]:
            return "its key isn't there"
        if set(found["hosts"]) != set(self.params["hosts"]) or set(found["uris"]) != set(self.params["uris"]):
            return "it is for other names"
        if self.params["issuer"] and found["issuer"] != self.params["issuer"]:
            return f"it was issued by {found['issuer']}"
        if found["serial"] in self.params["serials_revoked"]:
            return "it was revoked"
        return None

    def installed(self) -> None:
        found = self.ask("inspect")
        wanted = fingerprint(self.gateway, self.params["content"])
        if found is not None and found["fingerprint"] == wanted and found["fits_key"]:
            self.module.exit_json(changed=False, certificate=found)
        if self.module.check_mode:
            self.module.exit_json(changed=True, diff={"before": shown(found), "after": f"SHA-256 {wanted}\n"})
        now = self.ask("install", stdin=self.params["content"])
        if self.params["owner"]:
            for file in (self.params["path"], self.params["key"] or os.path.splitext(self.params["path"])[0] + ".key"):
                shutil.chown(file, user=self.params["owner"])
        self.module.exit_json(changed=True, certificate=now, diff={"before": shown(found), "after": shown(now)})


class Trust:
    """A driver's trust list."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.gateway = Gateway(module)
        self.driver = ["--driver", self.params["driver"]] if self.params["driver"] else []

    def known(self) -> dict[str, str]:
        """The state of every certificate by its fingerprint."""
        listed = self.gateway.ask("cert", "list", *self.driver, by_socket=False)
        return {each["fingerprint"]: each["state"] for each in listed if each["driver"]}

    def trusted(self) -> None:
        wanted = fingerprint(self.gateway, self.params["content"])
        state = self.known().get(wanted)
        if state != "trusted" and not self.module.check_mode:
            with tempfile.NamedTemporaryFile("w", dir=self.module.tmpdir, suffix=".pem") as file:
                file.write(self.params["content"])
                file.flush()
                self.gateway.ask("cert", "add", file.name, *self.driver, by_socket=False)
        self.end(wanted, state or "unknown", "trusted")

    def distrusted(self) -> None:
        wanted = self.params["fingerprint"].replace(":", "").lower()
        state = self.known().get(wanted)
        if state in ("trusted", "issuer") and not self.module.check_mode:
            self.gateway.ask("cert", "reject", wanted, *self.driver, by_socket=False)
        self.end(wanted, state or "unknown", "quarantined" if state in ("trusted", "issuer") else state or "unknown")

    def end(self, wanted: str, before: str, after: str) -> None:
        diff = {"before": f"{wanted} {before}\n", "after": f"{wanted} {after}\n"}
        self.module.exit_json(changed=before != after, diff=diff)


def shown(told: dict[str, Any] | None) -> str:
    if told is None:
        return ""
    end = time.strftime("%Y-%m-%d", time.gmtime(told["not_after_s"]))
    return f"{told['subject']} for {', '.join([*told['hosts'], *told['uris']])} until {end}\n"


def fingerprint(gateway: Gateway, text: str) -> str:
    """SHA-256 of the first certificate in a text, lower-case hexadecimal."""
    try:
        first = text[text.index("-----BEGIN CERTIFICATE-----") : text.index(_END) + len(_END)]
        return hashlib.sha256(ssl.PEM_cert_to_DER_cert(first)).hexdigest()
    except ValueError:
        gateway.fail("content holds no certificate in PEM form: give what begins with -----BEGIN CERTIFICATE-----")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            **ARGUMENTS,
            "state": {"choices": ["requested", "installed", "trusted", "distrusted"], "required": True},
            "path": {"type": "path"},
            "key": {"type": "path", "no_log": False},
            "common_name": {"type": "str"},
            "hosts": {"type": "list", "elements": "str", "default": []},
            "uris": {"type": "list", "elements": "str", "default": []},
            "key_type": {"choices": ["ec", "rsa"], "default": "ec"},
            "renew_before_days": {"type": "int", "default": 30},
            "issuer": {"type": "str"},
            "serials_revoked": {"type": "list", "elements": "str", "default": []},
            "content": {"type": "str"},
            "fingerprint": {"type": "str"},
            "driver": {"type": "str"},
            "owner": {"type": "str"},
        },
        required_if=[
            ("state", "requested", ["path", "common_name"]),
            ("state", "installed", ["path", "content"]),
            ("state", "trusted", ["content"]),
            ("state", "distrusted", ["fingerprint"]),
        ],
        supports_check_mode=True,
    )
    match module.params["state"]:
        case "requested":
            Pair(module).requested()
        case "installed":
            Pair(module).installed()
        case "trusted":
            Trust(module).trusted()
        case _:
            Trust(module).distrusted()


if __name__ == "__main__":
    main()
