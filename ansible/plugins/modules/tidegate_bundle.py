#!/usr/bin/python
"""A configuration that a gateway fetches by itself."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_bundle
short_description: Sign a configuration for gateways that fetch it by themselves
description:
  - Writes a signed configuration for C(tidegate pull), to be put on a stick or an HTTPS server.
  - Runs on the control machine (C(delegate_to=localhost)). A bundle that holds the same is left alone.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  path:
    description: The bundle.
    type: path
    required: true
  files:
    description: The configuration, text by file name.
    type: dict
    required: true
  gateways:
    description: The ids of the gateways it is for; C(*) is any.
    type: list
    elements: str
    required: true
  key:
    description: The signing key, PEM - Ed25519, EC or RSA; that of an image will do.
    type: path
    required: true
  passphrase:
    description: What the key is encrypted with.
    type: str
  serial:
    description: Rises from bundle to bundle. By default one more than that of the bundle there is, or the time.
    type: int
  expires:
    description: After which day it isn't taken any more, C(YYYY-MM-DD) in UTC.
    type: str
  reason:
    description: Why, for the history of the gateway.
    type: str
    default: ""
requirements:
  - cryptography, which ansible-core brings
attributes:
  check_mode:
    description: Says whether a bundle would be made.
    support: full
  diff_mode:
    description: The files before and after.
    support: full
"""

EXAMPLES = r"""
- name: Sign it
  tidegate.fleet.tidegate_bundle:
    path: stick/gw1.tidegate
    gateways: [gw1]
    files:
      tidegate.toml: "{{ lookup('ansible.builtin.file', 'gw1.toml') }}"
    key: keys/bundle.key
  delegate_to: localhost
"""

RETURN = r"""
serial:
  description: The serial of the bundle.
  returned: always
  type: int
"""

import base64
import json
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

_MAGIC = b"TIDEGATE-CONFIGURATION 1"


def signature(module: AnsibleModule, body: bytes) -> bytes:
    path, passphrase = Path(module.params["key"]), module.params["passphrase"]
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), passphrase.encode() if passphrase else None)
    except OSError as error:
        module.fail_json(msg=f"the signing key {path} can't be read: {error.strerror}")
    except (TypeError, ValueError):
        module.fail_json(msg=f"the signing key {path} can't be opened: is it PEM, and the passphrase right?")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(body)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(body, ec.ECDSA(hashes.SHA256()))
    if not isinstance(key, rsa.RSAPrivateKey):
        module.fail_json(msg=f"the signing key {path} is of a kind that isn't used here: take Ed25519, EC or RSA")
    return key.sign(body, padding.PKCS1v15(), hashes.SHA256())


def known(path: Path) -> dict[str, Any]:
    """What the bundle there is says; nothing if there is none."""
    try:
        return json.loads(path.read_bytes().split(b"\n", 2)[2])
    except (OSError, ValueError, IndexError):
        return {}


def text(bundle: dict[str, Any]) -> str:
    return "".join(f"# {name}\n{body}" for name, body in sorted(bundle.get("files", {}).items()))


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "files": {"type": "dict", "required": True},
            "gateways": {"type": "list", "elements": "str", "required": True},
            "key": {"type": "path", "required": True, "no_log": False},
            "passphrase": {"type": "str", "no_log": True},
            "serial": {"type": "int"},
            "expires": {"type": "str"},
            "reason": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"))
    params, path = module.params, Path(module.params["path"])
    before = known(path)
    wanted: dict[str, Any] = {
        "gateways": params["gateways"],
        "expires_s": end_of(module, params["expires"]),
        "reason": params["reason"],
        "files": params["files"],
    }
    serial = params["serial"] or before.get("serial")
    diff = {"before": text(before), "after": text(wanted)}
    if before == {"serial": serial, **wanted}:
        module.exit_json(changed=False, serial=serial, diff=diff)
    serial = params["serial"] or (before["serial"] + 1 if before else int(time.time()))
    if not module.check_mode:
        body = json.dumps({"serial": serial, **wanted}, ensure_ascii=False).encode()
        signed = b"\n".join([_MAGIC, base64.b64encode(signature(module, body)), body])
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.new")
        draft.write_bytes(signed)
        os.replace(draft, path)
    module.exit_json(changed=True, serial=serial, diff=diff)


def end_of(module: AnsibleModule, day: str | None) -> float | None:
    """The end of a day, seconds since 1970 UTC."""
    if not day:
        return None
    try:
        return (datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)).timestamp()
    except ValueError:
        module.fail_json(msg=f"expires is {day!r}: write it like 2027-01-31")


if __name__ == "__main__":
    main()
