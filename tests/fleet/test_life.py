"""One machine's life: claimed, provisioned, audited, configured from a stick, lost, wiped; and what goes wrong."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.x509.oid import NameOID

from hil.benches.control_machine import BIN
from tests.fleet.conftest import Control, Launch
from tests.fleet.machine import Machine
from tests.fleet.test_playbooks import LOCATION, settings
from tests.support.field import Field
from tests.support.mosquitto import Mosquitto

PASSWORD = "seven grey herons"
CA = "a long walk by the sea"


@pytest.fixture(scope="module")
def box(control: Control, launch: Launch, field: Field, broker: Mosquitto) -> Machine:
    """As it comes out of its carton, but for the SSH key."""
    [machine] = launch("box", appliance=True, page=True)
    variables = {"tidegate_location": LOCATION, "tidegate_settings": settings(field), "tidegate_user": "root"}
    control.inventory([machine], **variables)
    return machine


def test_a_wrong_claim_code_is_said_and_the_right_one_claims(control: Control, box: Machine) -> None:
    wrong = control.play(
        "discover", tidegate_claim_codes={"box": "0000-0000-0000-0000"}, tidegate_admin_password=PASSWORD
    )
    assert wrong.code != 0
    assert "box wasn't claimed" in wrong.said[0] or "wasn't claimed: " in wrong.said[0]
    assert "code" in wrong.said[0].lower()
    assert box.client.get("/v1/accounts/users")["users"] == []
    code = (box.root / "var/lib/tidegate/claim-code").read_text().strip()
    done = control.twice("discover", tidegate_claim_codes={"box": code}, tidegate_admin_password=PASSWORD)
    assert done.changed == 1
    assert [user["role"] for user in box.client.get("/v1/accounts/users")["users"]] == ["admin"]


def test_from_the_inventory_to_the_first_value_by_one_command(control: Control, box: Machine) -> None:
    users = [{"name": "look", "role": "viewer", "password": "three tall poplars"}]
    certificates = [{"path": "/etc/tidegate/tls/broker.pem", "hosts": ["box.local"]}]
    variables = {
        "tidegate_hostname": "box-by-the-door",
        "tidegate_timezone": "Europe/Berlin",
        "tidegate_time_servers": ["192.0.2.123"],
        "tidegate_network": {"interface": "eth0", "address": "192.0.2.7/24", "reached_at": box.address},
        "tidegate_users": users,
        "tidegate_certificates": certificates,
        "tidegate_ca_passphrase": CA,
        "tidegate_authorized_keys": [box.keys.client.with_suffix(".pub").read_text().strip()],
        "tidegate_secrets": {"historian": "a secret of the historian"},
    }
    done = control.twice("provision", **variables)
    [last] = done.results("first value that a broker takes")
    assert last["ansible_facts"]["tidegate"]["delivered"] > 0
    machine = box.client.get("/v1/machine")
    assert machine["hostname"] == "box-by-the-door"
    assert machine["clock"]["settings"] == {"timezone": "Europe/Berlin", "servers": ["192.0.2.123"]}
    assert machine["interfaces"][0]["settings"]["address"] == "192.0.2.7/24"
    assert machine["unconfirmed"] is None
    assert (box.root / "etc/tidegate/secrets/historian").stat().st_mode & 0o777 == 0o600
    assert "secret of the historian" not in done.out
    assert "tall poplars" not in done.out


def test_the_audit_names_what_breaks_the_baseline(control: Control, box: Machine) -> None:
    found = control.play("harden")
    assert found.code != 0
    assert "the way to plant is in clear: add [sink.tls]" in found.said[0]
    (box.root / "etc/tidegate/tidegate.toml").chmod(0o666)
    more = control.play("harden", tidegate_harden_except=["brokers_use_tls"])
    assert more.said == ["others may write /etc/tidegate/tidegate.toml: chmod o-w"]
    (box.root / "etc/tidegate/tidegate.toml").chmod(0o644)
    clean = control.play("harden", tidegate_harden_except=["brokers_use_tls"])
    assert (clean.code, clean.changed) == (0, 0), clean.said


def test_a_signed_configuration_needs_no_ssh(control: Control, box: Machine, field: Field) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    file = control.directory / "bundle.key"
    file.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    wanted = settings(field)
    wanted["device"][0]["group"][0]["interval_ms"] = 900
    control.twice("bundle", tidegate_bundle_key=str(file), tidegate_settings=wanted)
    public = key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo)
    (box.root / "etc/tidegate/bundle-keys.pem").write_bytes(public)
    stick = box.root / "media"
    (stick / "box.tidegate").write_bytes((control.directory / "fleet/pull/box.tidegate").read_bytes())
    line = ["nsenter", f"--target={box.pid}", "--all", "--root", "--wd=/", "/usr/local/bin/tidegate"]
    done = subprocess.run([*line, "pull", "/media", "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["outcome"] == "applied"
    assert "interval_ms = 900" in box.client.get("/v1/config/files")["files"][0]["text"]


def test_wrong_variables_are_said_before_anything_is_done(control: Control, box: Machine) -> None:
    before = box.client.get("/v1/config")["digest"]
    misspelt = control.play("configure", tidegate_settngs={})
    assert misspelt.said[0].startswith("tidegate_settngs: the collection has no such variable; mend its name")
    kind = control.play("configure", tidegate_confirm_within="soon")
    assert "tidegate_confirm_within" in str(list(kind.results())[-1])
    place = control.play("configure", tidegate_location={"enterprise": "acme"})
    assert "site" in str(list(place.results())[-1])
    invalid = control.play("configure", "--check", tidegate_settings={"sink": [{"name": "plant", "hots": "x"}]})
    assert "the configuration is invalid, nothing was changed: tidegate.toml:" in invalid.said[0]
    assert "hots" in invalid.said[0]
    assert all(each.code != 0 for each in (misspelt, kind, place, invalid))
    assert box.client.get("/v1/config")["digest"] == before


def test_a_wrong_vault_password_opens_nothing(control: Control, box: Machine) -> None:
    (control.directory / "right").write_text("a right password")
    (control.directory / "wrong").write_text("a wrong password")
    secret = control.directory / "vault.yml"
    secret.write_text("tidegate_reason: because\n")
    line = [
        str(BIN / "ansible-vault"),
        "encrypt",
        str(secret),
        "--vault-password-file",
        str(control.directory / "right"),
    ]
    subprocess.run(line, check=True, capture_output=True)
    wrong = control.play("configure", "-e", f"@{secret}", "--vault-password-file", str(control.directory / "wrong"))
    assert wrong.code != 0
    assert "Decryption failed" in wrong.out
    assert wrong.plays == []


def test_a_host_out_of_reach_is_named(control: Control, box: Machine) -> None:
    done = control.play("configure", "-e", "ansible_host=10.77.0.99")
    assert done.code != 0
    assert "Make sure this host can be reached over ssh: ssh: connect to host 10.77.0.99" in done.said[0]
    assert done.stats["box"]["unreachable"] == 1


def test_an_expired_certificate_is_refused(control: Control, box: Machine) -> None:
    """Through an authority of others, which answers with one that expired yesterday."""
    directory = control.directory / "authority"
    (directory / "issued").mkdir(parents=True)
    (directory / "requests").mkdir()
    variables = {
        "tidegate_ca": "external",
        "tidegate_ca_directory": str(directory),
        "tidegate_certificates": [{"path": "/etc/tidegate/tls/other.pem"}],
    }
    asked = control.play("rotate", **variables)
    assert asked.code == 0, asked.out
    request = x509.load_pem_x509_csr((directory / "requests/box-other.csr").read_bytes())
    answer = directory / "issued/box-other.pem"
    answer.write_text(signed(request, days=-1))
    done = control.play("rotate", **variables)
    assert done.code != 0
    assert done.said[0].startswith("the certificate expired on ")
    assert not (box.root / "etc/tidegate/tls/other.pem").exists()
    answer.write_text(signed(request, days=90))
    assert control.play("rotate", **variables).code == 0
    assert (box.root / "etc/tidegate/tls/other.pem").exists()
    assert control.play("rotate", **variables).changed == 0


def signed(request: x509.CertificateSigningRequest, days: int) -> str:
    now, key = datetime.now(UTC), ed25519.Ed25519PrivateKey.generate()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(request.subject)
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Authority of others")]))
        .public_key(request.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=10))
        .not_valid_after(now + timedelta(days=days))
        .sign(key, None)
    )
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def test_a_network_that_cuts_the_machine_off_comes_back(control: Control, box: Machine) -> None:
    (control.directory / "short.yml").write_text(
        """
- hosts: tidegate
  gather_facts: false
  tasks:
    - tidegate.fleet.tidegate_machine:
        interface: eth0
        network: {address: 192.0.2.8/24}
        confirm_within: 10
    - tidegate.fleet.tidegate_machine:
        state: confirmed
      vars:
        ansible_host: 10.77.0.98
"""
    )
    assert control.play("short.yml").code != 0
    deadline = time.monotonic() + 30
    while box.client.get("/v1/machine")["unconfirmed"] is not None:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert box.client.get("/v1/machine")["interfaces"][0]["settings"]["address"] == "192.0.2.7/24"


def test_a_lost_box_is_shut_out_and_wiped(control: Control, box: Machine) -> None:
    nobody = control.play("disable", tidegate_ca_passphrase=CA)
    assert "say which box is lost" in nobody.said[0]
    stop = {"tidegate_disable_stop": False}
    control.twice("disable", tidegate_hosts="box", tidegate_ca_passphrase=CA, **stop)
    revoked = x509.load_pem_x509_crl((control.directory / "ca/crl.pem").read_bytes())
    assert len(list(revoked)) == 1
    assert not Path(box.root / "run/services/tidegate-web").exists()

    other = control.play("wipe", tidegate_hosts="box", tidegate_wipe="another")
    assert "nothing was wiped" in other.said[0]
    foretold = control.play("wipe", "--check", tidegate_hosts="box", tidegate_wipe="box")
    done = control.play("wipe", tidegate_hosts="box", tidegate_wipe="box")
    assert done.code == 0, done.out
    assert foretold.changes() == done.changes()
    deadline = time.monotonic() + 60
    while (box.root / "root/.ssh/authorized_keys").exists():
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert not (box.root / "etc/tidegate/secrets").exists()
    again = control.play("wipe", tidegate_hosts="box", tidegate_wipe="box")
    assert again.changed == 0
    assert "out of reach: it is wiped already, or lost" in again.out.replace("\n", " ").replace("    ", "")
