"""The playbooks on two machines, each in check mode, for real, and once more: the third run changes nothing."""

from __future__ import annotations

import csv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.conftest import BROKER_PORT, Control, Launch, configuration
from tests.fleet.machine import BRIDGE, Machine
from tests.support.field import Field
from tests.support.mosquitto import Mosquitto

LOCATION = {"enterprise": "acme", "site": "plant1", "area": "filling", "line": "line1"}
PASSWORDS = {"chief": "seven grey herons", "look": "three tall poplars"}


@pytest.fixture(scope="module")
def machines(control: Control, launch: Launch, field: Field, broker: Mosquitto) -> list[Machine]:
    two = launch("gw1", "gw2", configurations=lambda name: configuration(name, field), appliance=True)
    control.inventory(two, tidegate_user="root", tidegate_location=LOCATION, tidegate_settings=settings(field))
    return two


def settings(field: Field, **device: Any) -> dict[str, Any]:
    """As a plant's group variables have it."""
    tags = [
        {"name": "count", "address": "hr:0", "type": "uint64"},
        {"name": "level", "address": "hr:4", "type": "uint16"},
    ]
    return {
        "gateway": {"clock": "trusted"},
        "sink": [{"name": "plant", "type": "mqtt", "host": BRIDGE, "port": BROKER_PORT}],
        "link": [
            {
                "name": "line", "driver": "modbus", "transport": "tcp", "host": BRIDGE, "timeout_ms": 2000,
                "port": field.slaves[0].port,
            }
        ],
        "device": [
            {"name": "filler", "link": "line", "group": [{"name": "main", "interval_ms": 500, "tag": tags}], **device}
        ],
    }  # fmt: skip


def test_configure_and_report(control: Control, machines: list[Machine]) -> None:
    done = control.twice("configure")
    assert done.changed == 2
    first = next(done.results("confirm"))
    assert first["revision"]["outcome"] == "confirmed"
    assert any("level" in change for change in first["changes"])
    assert '+area = "filling"' in first["diff"]["prepared"]
    told = machines[0].client.get("/v1/config")
    assert told["owner"]["name"] == "ansible"

    report = control.play("report")
    assert report.code == 0, report.out
    rows = list(csv.DictReader((control.directory / "fleet/report.csv").read_text().splitlines()))
    assert [(row["gateway"], row["place"], row["devices"], row["brokers"]) for row in rows] == [
        ("gw1", "acme/plant1/filling/line1", "1/1", "1/1"),
        ("gw2", "acme/plant1/filling/line1", "1/1", "1/1"),
    ]
    assert int(rows[0]["delivered"]) > 0
    assert rows[0]["slots"] == "A 1.0, B empty"
    page = (control.directory / "fleet/report.html").read_text()
    assert "<td>gw2</td>" in page


def test_what_cuts_a_gateway_off_comes_back_by_itself(control: Control, machines: list[Machine], field: Field) -> None:
    wrong = settings(field)
    wrong["sink"][0]["port"] = 9
    done = control.play("configure", "--limit", "gw1", tidegate_settings=wrong, tidegate_confirm_within=12)
    assert done.code != 0
    assert "the change was taken back, what ran before runs again" in done.said[0]
    text = machines[0].client.get("/v1/config/files")["files"][0]["text"]
    assert f"port = {BROKER_PORT}" in text


def test_users_certificates_and_tokens_rotate(control: Control, machines: list[Machine]) -> None:
    users = [
        {"name": name, "role": role, "password": PASSWORDS[name]}
        for name, role in (("chief", "admin"), ("look", "viewer"))
    ]
    variables = {
        "tidegate_users": users,
        "tidegate_ca_passphrase": "a long walk by the sea",
        "tidegate_certificates": [
            {"path": "/etc/tidegate/tls/broker.pem", "hosts": ["{{ inventory_hostname }}.local"]},
            {
                "path": "/etc/tidegate/tls/opcua.pem",
                "key_type": "rsa",
                "uris": ["urn:tidegate:{{ inventory_hostname }}"],
            },
        ],
        "tidegate_tokens": [{"name": "historian", "scopes": ["values"]}],
    }
    control.twice("rotate", **variables)
    assert [user["name"] for user in machines[0].client.get("/v1/accounts/users")["users"]] == ["chief", "look"]
    token = control.directory / "fleet/tokens/gw1-historian.token"
    assert token.read_text().startswith("tidegate_")
    certificate = machines[1].root / "etc/tidegate/tls/opcua.pem"
    assert certificate.read_text().count("BEGIN CERTIFICATE") == 2
    before = certificate.read_text()

    # Another password, and less time left than wanted: both are renewed, once.
    users[1]["password"] = "four small willows"
    done = control.play("rotate", **{**variables, "tidegate_renew_before_days": 397, "tidegate_certificate_days": 800})
    assert done.code == 0, done.out
    assert certificate.read_text() != before
    assert control.play("rotate", **{**variables, "tidegate_certificate_days": 800}).changed == 0
    assert "small willows" not in done.out


def test_backup_and_restore(control: Control, machines: list[Machine], field: Field) -> None:
    phrase = {"tidegate_backup_passphrase": "a lighthouse in the fog"}
    control.twice("backup", **phrase)
    backup = next((control.directory / "fleet/backups").glob("gw1-*.backup"))
    other = settings(field)
    other["device"][0]["group"][0]["interval_ms"] = 700
    assert control.play("configure", "--limit", "gw1", tidegate_settings=other).changed == 1
    control.twice(
        "restore",
        **phrase,
        tidegate_hosts="gw1",
        tidegate_restore_file=str(backup),
        tidegate_restore_parts=["configuration"],
    )
    assert "interval_ms = 500" in machines[0].client.get("/v1/config/files")["files"][0]["text"]

    wrong = control.play(
        "restore", "--limit", "gw1", tidegate_backup_passphrase="another lighthouse", tidegate_restore_file=str(backup)
    )
    assert wrong.code != 0
    assert "passphrase" in " ".join(str(each.get("stderr", each.get("msg"))) for each in wrong.results("would change"))


def test_diagnose_fetches_bundles(control: Control, machines: list[Machine]) -> None:
    done = control.play("diagnose")
    assert (done.code, done.changed) == (0, 0), done.out
    bundles = sorted((control.directory / "fleet/bundles").glob("gw*.zip"))
    assert [bundle.name[:3] for bundle in bundles] == ["gw1", "gw2"]
    assert "CONTENTS.txt" in zipfile.ZipFile(bundles[0]).namelist()
    assert not Path(machines[0].root / "var/tmp/tidegate-fleet-bundle.zip").exists()
