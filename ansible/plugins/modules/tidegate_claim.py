#!/usr/bin/python
"""The first admin of a fresh gateway."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_claim
short_description: Claim a fresh gateway by its code, over its page
description:
  - Makes the first admin of a gateway that belongs to nobody yet, with the claim code that stands on its console.
  - Runs on the control machine (C(delegate_to=localhost)), over HTTPS; nothing has to be installed on the gateway.
  - A gateway that belongs to somebody is left alone.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  host:
    description: The gateway's name or address.
    type: str
    required: true
  port:
    description: The page's port.
    type: int
    default: 443
  code:
    description: The claim code. Needed for a gateway that isn't claimed.
    type: str
  name:
    description: The first admin.
    type: str
    default: fleet
  password:
    description: The first admin's password.
    type: str
    required: true
  fingerprint:
    description:
      - SHA-256 of the page's certificate, as the console shows it. Another one is refused.
      - Without it whoever answers is believed, as a browser's user does who clicks on.
    type: str
  timeout:
    description: Seconds to wait for an answer.
    type: float
    default: 10
attributes:
  check_mode:
    description: Says whether the gateway would be claimed. The code isn't tried.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Claim the gateway
  tidegate.fleet.tidegate_claim:
    host: "{{ ansible_host }}"
    code: "{{ tidegate_claim_codes[inventory_hostname] }}"
    password: "{{ vault_tidegate_admin_password }}"
  delegate_to: localhost
"""

RETURN = r"""
fingerprint:
  description: SHA-256 of the certificate that the gateway showed.
  returned: always
  type: str
"""

import hashlib
import html
import http.client
import re
import ssl
from urllib.parse import urlencode

from ansible.module_utils.basic import AnsibleModule

_SAID = re.compile(r'<(?:p><strong|p class="(?:mend|wrong)")>(.*?)</(?:strong|p)>', re.DOTALL)
"""What the page says where it refuses: a note, what mends it, or what is wrong with a field."""
_TAG = re.compile(r"<[^>]+>")


class Page:
    def __init__(self, module: AnsibleModule) -> None:
        self.module, self.params = module, module.params
        self.place = f"{self.params['host']}:{self.params['port']}"
        # Its certificate was made by the gateway itself: what is known of it is its fingerprint.
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.check_hostname = False
        self.context.verify_mode = ssl.CERT_NONE
        self.fingerprint = ""

    def call(self, method: str, form: dict[str, str] | None = None) -> tuple[int, str]:
        """(status, body) of ``/claim``."""
        limit = self.params["timeout"]
        connection = http.client.HTTPSConnection(
            self.params["host"], self.params["port"], timeout=limit, context=self.context
        )
        try:
            connection.connect()
            self.check(connection.sock.getpeercert(binary_form=True))
            headers = {
                "origin": f"https://{self.host_header}",
                "sec-fetch-site": "same-origin",
                "host": self.host_header,
            }
            body = None
            if form is not None:
                headers["content-type"] = "application/x-www-form-urlencoded"
                body = urlencode(form)
            connection.request(method, "/claim", body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(1 << 20).decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            self.module.fail_json(msg=f"the gateway's page at {self.place} can't be reached: {error}")
        finally:
            connection.close()

    @property
    def host_header(self) -> str:
        host = self.params["host"]
        return host if self.params["port"] == 443 else self.place

    def check(self, certificate: bytes) -> None:
        self.fingerprint = hashlib.sha256(certificate).hexdigest()
        wanted = (self.params["fingerprint"] or "").replace(":", "").lower()
        if wanted and wanted != self.fingerprint:
            self.module.fail_json(
                msg=f"{self.place} shows a certificate with the fingerprint {self.fingerprint}, not {wanted}: "
                "compare it with the gateway's console before you go on"
            )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "host": {"type": "str", "required": True},
            "port": {"type": "int", "default": 443},
            "code": {"type": "str", "no_log": True},
            "name": {"type": "str", "default": "fleet"},
            "password": {"type": "str", "required": True, "no_log": True},
            "fingerprint": {"type": "str"},
            "timeout": {"type": "float", "default": 10},
        },
        supports_check_mode=True,
    )
    page = Page(module)
    status, shown = page.call("GET")
    if status in (302, 303):
        module.exit_json(changed=False, fingerprint=page.fingerprint)
    if status != 200 or "Claim this gateway" not in shown:
        module.fail_json(msg=f"what answers at {page.place} is no Tidegate page that can be claimed (status {status})")
    code, password = module.params["code"], module.params["password"]
    if not code:
        module.fail_json(
            msg=f"the gateway at {page.place} belongs to nobody yet and its claim code isn't known: add it"
        )
    if module.check_mode:
        module.exit_json(changed=True, fingerprint=page.fingerprint)
    form = {"code": code, "name": module.params["name"], "password": password, "again": password}
    status, shown = page.call("POST", form)
    if status != 303:
        said = [html.unescape(" ".join(_TAG.sub(" ", each).split())) for each in _SAID.findall(shown)]
        why = "; ".join(each for each in said if each) or f"status {status}"
        module.fail_json(msg=f"the gateway at {page.place} wasn't claimed: {why}", fingerprint=page.fingerprint)
    module.exit_json(changed=True, fingerprint=page.fingerprint)


if __name__ == "__main__":
    main()
