#!/usr/bin/python
"""A small certificate authority on the control machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: tidegate_ca
short_description: Issue certificates for gateways, brokers and OPC UA
description:
  - Keeps an authority in a directory of the control machine; its key is encrypted. Run it there, with
    C(delegate_to=localhost).
  - What was issued stands in C(issued.json), what was revoked in C(revoked.json) and the revocation list C(crl.pem).
  - Needs no more than what ansible-core brings.
version_added: 0.1.0
author:
  - The Tidegate project (@tidegate)
options:
  directory:
    description: Where the authority is.
    type: path
    required: true
  state:
    description:
      - V(present) makes the authority if there is none.
      - V(signed) signs O(request).
      - V(revoked) revokes what was issued for O(subject).
    type: str
    choices: [present, signed, revoked]
    default: present
  passphrase:
    description: What the authority's key is encrypted with.
    type: str
    required: true
  name:
    description: The authority's common name.
    type: str
    default: Tidegate fleet CA
  valid_days:
    description: How long what is made is valid; an authority ten years by default, a certificate 397 days.
    type: int
  request:
    description: A PKCS 10 request, PEM. Needed for V(signed).
    type: str
  usage:
    description: What the certificate is good for.
    type: list
    elements: str
    choices: [client, server]
    default: [client, server]
  subject:
    description: A common name. What was issued for it is revoked. Needed for V(revoked).
    type: str
requirements:
  - cryptography, which ansible-core brings
attributes:
  check_mode:
    description: Says what would be made; signs nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
"""

EXAMPLES = r"""
- name: Make the authority
  tidegate.fleet.tidegate_ca:
    directory: "{{ inventory_dir }}/ca"
    passphrase: "{{ vault_tidegate_ca_passphrase }}"
  delegate_to: localhost
  run_once: true

- name: Revoke what a stolen box had
  tidegate.fleet.tidegate_ca:
    directory: "{{ inventory_dir }}/ca"
    passphrase: "{{ vault_tidegate_ca_passphrase }}"
    state: revoked
    subject: tidegate-7f3a
  delegate_to: localhost
"""

RETURN = r"""
authority:
  description: The authority's certificate, PEM.
  returned: always, but not in check mode before there is one
  type: str
issuer:
  description: The authority's subject, as an RFC 4514 name.
  returned: as RV(authority)
  type: str
certificate:
  description: The certificate with the authority's after it, PEM.
  returned: when O(state=signed)
  type: str
revoked:
  description: The serial numbers of everything that is revoked, hexadecimal.
  returned: always
  type: list
  elements: str
crl:
  description: The file with the revocation list.
  returned: when something is revoked
  type: str
"""

import fcntl
import json
import os
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    HAS_CRYPTOGRAPHY = True
except ImportError:
    HAS_CRYPTOGRAPHY = False

_CA_DAYS, _LEAF_DAYS, _CRL_DAYS = 3650, 397, 30
_BACKDATED = timedelta(days=1)
"""Clocks that are behind take it, too."""


class Authority:
    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.directory = Path(module.params["directory"])
        self.certificate_file = self.directory / "ca.pem"
        self.key_file = self.directory / "ca.key"
        self.now = datetime.now(UTC)

    def fail(self, message: str) -> None:
        self.module.fail_json(msg=message)

    def present(self) -> None:
        if self.certificate_file.exists():
            self.key()  # a passphrase that is wrong is said now
            self.end(changed=False)
        if self.module.check_mode:
            self.module.exit_json(changed=True, revoked=[])
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.module.params["name"])])
        days = self.module.params["valid_days"] or _CA_DAYS
        certificate = (
            self.builder(name, name, key.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(key_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        secret = serialization.BestAvailableEncryption(self.module.params["passphrase"].encode())
        text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, secret)
        write(self.key_file, text, 0o600)
        write(self.certificate_file, pem(certificate), 0o644)
        self.end(changed=True)

    def signed(self) -> None:
        try:
            request = x509.load_pem_x509_csr(self.module.params["request"].encode())
        except ValueError:
            self.fail("request is no PKCS 10 request in PEM form: give what tidegate_cert returned")
        if not request.is_signature_valid:
            self.fail("the request's signature doesn't fit its key: have it made again")
        if self.module.check_mode:
            self.end(changed=True)
        authority, key = self.certificate(), self.key()
        days = self.module.params["valid_days"] or _LEAF_DAYS
        usages = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}
        builder = (
            self.builder(request.subject, authority.subject, request.public_key(), days)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(ca=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage([usages[each] for each in self.module.params["usage"]]), critical=False
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(request.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
        )
        for extension in request.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                builder = builder.add_extension(extension.value, critical=False)
        certificate = builder.sign(key, hashes.SHA256())
        row = {
            "serial": f"{certificate.serial_number:x}",
            "subject": common_name(certificate.subject),
            "not_after": certificate.not_valid_after_utc.isoformat(),
        }
        self.save("issued.json", [*self.load("issued.json"), row])
        chain = pem(certificate) + pem(authority)
        self.end(changed=True, certificate=chain.decode())

    def revoked(self) -> None:
        subject = self.module.params["subject"]
        known = {row["serial"] for row in self.load("revoked.json")}
        fresh = [
            {**row, "revoked": self.now.isoformat()}
            for row in self.load("issued.json")
            if row["subject"] == subject and row["serial"] not in known
        ]
        if fresh and not self.module.check_mode:
            self.save("revoked.json", [*self.load("revoked.json"), *fresh])
            self.publish()
        self.end(changed=bool(fresh), crl=str(self.directory / "crl.pem"))

    def publish(self) -> None:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self.certificate().subject)
            .last_update(self.now - _BACKDATED)
            .next_update(self.now + timedelta(days=_CRL_DAYS))
        )
        for row in self.load("revoked.json"):
            builder = builder.add_revoked_certificate(
                x509.RevokedCertificateBuilder()
                .serial_number(int(row["serial"], 16))
                .revocation_date(datetime.fromisoformat(row["revoked"]))
                .build()
            )
        write(self.directory / "crl.pem", pem(builder.sign(self.key(), hashes.SHA256())), 0o644)

    def builder(self, subject: Any, issuer: Any, public: Any, days: int) -> Any:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - _BACKDATED)
            .not_valid_after(self.now + timedelta(days=days))
        )

    def certificate(self) -> Any:
        try:
            found = x509.load_pem_x509_certificate(self.certificate_file.read_bytes())
        except FileNotFoundError:
            self.fail(f"there is no authority in {self.directory}: make one with state=present")
        if found.not_valid_after_utc < self.now:
            day = found.not_valid_after_utc.date().isoformat()
            self.fail(f"the authority in {self.directory} expired on {day}: make another one in another directory")
        return found

    def key(self) -> Any:
        try:
            secret = self.module.params["passphrase"].encode()
            return serialization.load_pem_private_key(self.key_file.read_bytes(), secret)
        except (ValueError, TypeError):
            self.fail(f"the passphrase doesn't open {self.key_file}: give the one it was made with")
        except OSError as error:
            self.fail(f"{self.key_file} can't be read: {error.strerror}")

    def load(self, name: str) -> list[dict[str, str]]:
        path = self.directory / name
        return json.loads(path.read_text()) if path.exists() else []

    def save(self, name: str, rows: list[dict[str, str]]) -> None:
        write(self.directory / name, (json.dumps(rows, indent=1) + "\n").encode(), 0o644)

    def end(self, *, changed: bool, **more: Any) -> None:
        if self.certificate_file.exists():
            found = self.certificate()
            more = {"authority": pem(found).decode(), "issuer": found.subject.rfc4514_string(), **more}
        serials = [row["serial"] for row in self.load("revoked.json")]
        self.module.exit_json(changed=changed, revoked=serials, **more)


@contextmanager
def locked(directory: Path) -> Any:
    """Several gateways are dealt with at once, each by a process of its own."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write(path: Path, body: bytes, mode: int) -> None:
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as file:
        file.write(body)
        file.flush()
        os.fsync(handle)
    os.replace(draft, path)


def pem(made: Any) -> bytes:
    return made.public_bytes(serialization.Encoding.PEM)


def common_name(subject: Any) -> str:
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else subject.rfc4514_string()


def key_usage(*, ca: bool) -> Any:
    """OPC UA wants more of a certificate than TLS does (OPC 10000-6, table of application instance certificates)."""
    return x509.KeyUsage(
        digital_signature=not ca,
        content_commitment=not ca,
        key_encipherment=not ca,
        data_encipherment=not ca,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "state": {"choices": ["present", "signed", "revoked"], "default": "present"},
            "passphrase": {"type": "str", "required": True, "no_log": True},
            "name": {"type": "str", "default": "Tidegate fleet CA"},
            "valid_days": {"type": "int"},
            "request": {"type": "str"},
            "usage": {
                "type": "list",
                "elements": "str",
                "choices": ["client", "server"],
                "default": ["client", "server"],
            },
            "subject": {"type": "str"},
        },
        required_if=[("state", "signed", ["request"]), ("state", "revoked", ["subject"])],
        supports_check_mode=True,
    )
    if not HAS_CRYPTOGRAPHY:
        module.fail_json(msg=missing_required_lib("cryptography"))
    authority = Authority(module)
    if module.check_mode and not authority.directory.exists():
        module.exit_json(changed=module.params["state"] != "revoked", revoked=[])
    with locked(authority.directory):
        getattr(authority, module.params["state"])()


if __name__ == "__main__":
    main()
