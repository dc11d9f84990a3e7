"""A file on the boot partition or a stick, applied by the gateway's own command."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from tidegate_appliance import provision
from tidegate_appliance.places import Places
from tidegate_appliance.provision import provision_from

from gateway.control.client import ControlClient
from tests.support.configuration import configuration
from tests.support.gateway import GatewayProcess

WANTED = """
[machine]
hostname = "packing-3"
timezone = "Mars/Olympus"

[configuration]
file = "tidegate.toml"

[wifi]
password = "very secret"
"""

PUBLISHED = """
from pathlib import Path
from tidegate_appliance.places import Places
from tidegate_appliance.provisioning import MachineTables

def tables():
    return MachineTables(Places(Path({root!r})))
"""


class Box:
    """A gateway that runs, and its command as on an appliance: an entry point says who sets the machine."""

    def __init__(self, directory: Path, places: Places, gateway: GatewayProcess, patch: pytest.MonkeyPatch) -> None:
        self.places = places
        self.stick = directory / "TIDEGATE"
        self.stick.mkdir()
        (self.stick / "provision.toml").write_text(WANTED)
        (self.stick / "tidegate.toml").write_text(configuration(gateway.directory / "data", [1502], 1883))
        self.tidegate = (sys.executable, "-m", "gateway")
        self.page = directory / "page"
        published = directory / "published"
        about = published / "box-1.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text("Metadata-Version: 2.1\nName: box\nVersion: 1\n")
        (about / "entry_points.txt").write_text("[tidegate.appliance]\nbox = published_box:tables\n")
        (published / "published_box.py").write_text(PUBLISHED.format(root=str(places.root)))
        patch.setenv("PYTHONPATH", str(published))
        patch.setattr(provision, "SOCKET", gateway.socket)
        patch.setattr(provision, "PAGE", self.page)
        programs = directory / "bin"
        programs.mkdir()
        (programs / "hostnamectl").symlink_to("/bin/true")
        patch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")

    def provision(self, *, writable: bool = False) -> provision.Report | None:
        return provision_from(self.stick, "USB stick", self.places, writable=writable, tidegate=self.tidegate)


def recorded(gateway: GatewayProcess) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = ControlClient(gateway.socket).get("/v1/audit", action="provisioning.apply")["rows"]
    return rows


@pytest.fixture
def gateway(tmp_path: Path) -> GatewayProcess:
    return GatewayProcess(tmp_path, configuration(tmp_path / "data", [], 1883))


@pytest.fixture
def box(tmp_path: Path, places: Places, gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch) -> Box:
    if os.geteuid() != 0:
        pytest.skip("the machine's settings are root's")
    return Box(tmp_path, places, gateway, monkeypatch)


def test_machine_and_gateway_are_set_by_one_file_and_told_in_one_report(box: Box, gateway: GatewayProcess) -> None:
    with gateway:
        gateway.wait_ready()
        report = box.provision(writable=True)
        assert report is not None
        assert {setting.name: setting.outcome for setting in report.settings} == {
            "machine hostname": "applied",
            "machine timezone": "refused",
            "configuration": "applied",
            "wifi": "refused",
        }
        assert report.refused == 2
        assert box.places.hostname.read_text() == "packing-3\n"
        assert report.host == "packing-3"
        assert "dev0" in ControlClient(gateway.socket).status()["southbound"]["links"]["link0"]["devices"]
        rows = recorded(gateway)
        assert {row["subject"]: row["outcome"] for row in rows} == {s.name: s.outcome for s in report.settings}
        assert {row["details"]["file"] for row in rows} == {str(box.stick / "provision.toml")}
        assert "very secret" not in json.dumps(rows)
    kept = json.loads((box.places.appliance / "provision-report.json").read_text())
    on_page = json.loads((box.page / "provisioned.json").read_text())
    assert kept["settings"] == on_page["settings"]
    assert (kept["source"], kept["refused"]) == ("USB stick", 2)
    (beside,) = box.stick.glob("provision-report-packing-3.txt")
    text = beside.read_bytes().decode()
    assert "machine timezone  refused    there is no time zone 'Mars/Olympus'" in text
    assert "take the stick out and delete provision.toml" in text
    assert text.count("\n") == text.count("\r\n"), "it is read on a computer with Windows"
    assert "very secret" not in text + json.dumps(kept)


def test_a_file_is_applied_once_and_again_when_what_it_names_has_changed(box: Box, gateway: GatewayProcess) -> None:
    with gateway:
        gateway.wait_ready()
        assert box.provision() is not None
        assert box.provision() is None
        other = WANTED.replace("packing-3", "packing-4")
        (box.stick / "provision.toml").write_text(other)
        assert box.provision() is not None
        (box.stick / "provision.toml").write_text(WANTED)
        assert box.provision() is None, "the boot partition's doesn't undo what a stick's did"
        (box.stick / "tidegate.toml").write_text(configuration(gateway.directory / "data", [1503], 1883))
        assert box.provision() is not None
    assert list(box.stick.glob("*.txt")) == [], "nobody said that it may be written to"


def test_without_a_gateway_the_machine_is_set_and_the_files_turn_comes_again(
    box: Box, gateway: GatewayProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provision, "WAIT_S", 0)
    report = box.provision()
    assert report is not None
    outcomes = {setting.name: setting.outcome for setting in report.settings}
    assert outcomes == {"machine hostname": "applied", "machine timezone": "refused", "configuration": "refused"}
    with gateway:
        gateway.wait_ready()
        report = box.provision()
        rows = [(row["subject"], row["outcome"]) for row in recorded(gateway)]
    assert report is not None
    assert {setting.name: setting.outcome for setting in report.settings}["configuration"] == "applied"
    assert ("machine hostname", "applied") in rows, "it was, before a gateway could record it"


@pytest.mark.parametrize("body", [b"[machine", b"\xff\xfe[machine]"])
def test_a_file_that_is_no_toml_is_told_as_one_that_is(box: Box, body: bytes) -> None:
    (box.stick / "provision.toml").write_bytes(body)
    report = box.provision(writable=True)
    assert report is not None
    assert [(setting.name, setting.outcome) for setting in report.settings] == [("provision.toml", "refused")]
    assert "isn't TOML" in report.text()


def test_a_folder_without_a_file_has_nothing_to_say(places: Places, tmp_path: Path) -> None:
    assert provision_from(tmp_path, "USB stick", places, tidegate=("false",)) is None


def test_a_command_that_cant_be_run_is_told(places: Places, tmp_path: Path) -> None:
    (tmp_path / "provision.toml").write_text("")
    report = provision_from(tmp_path, "boot partition", places, tidegate=(str(tmp_path / "missing"),))
    assert report is not None
    assert report.refused == 1
    assert "factory reset" in report.text()
