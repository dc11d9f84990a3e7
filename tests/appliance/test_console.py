"""What stands above the login prompt, as agetty shows it."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest
from tidegate_appliance import console
from tidegate_appliance.console import ISSUE, follow, issue, show
from tidegate_appliance.places import Places

from gateway.ops.fingerprints import fingerprint
from gateway.web.certificate import make
from tests.appliance.programs import Programs
from tests.appliance.test_identity import card

CODE = "7H2K-9QRM-4TWX-B0ZC"


@pytest.fixture
def box(places: Places) -> Places:
    places.hostname.write_text("tidegate-b2c3d4\n")
    card(places.root, 2, "eth0", "525400b2c3d4")
    (places.root / "var/lib/tidegate").mkdir(parents=True)
    (places.root / "var/lib/tidegate/claim-code").write_text(f"{CODE}\n")
    make(places.root / "var/lib/tidegate-web")
    return places


def shown(text: str, directory: Path) -> str:
    file = directory / "shown.issue"
    file.write_text(text)
    agetty = shutil.which("agetty", path="/usr/sbin:/sbin:/usr/bin:/bin")
    assert agetty is not None, "util-linux has it"
    # It wants a terminal on both sides.
    ours, its = pty.openpty()
    with os.fdopen(ours, "rb") as reader:
        subprocess.run([agetty, "--show-issue", "--issue-file", file], stdin=its, stdout=its, check=True)
        os.close(its)
        said = b""
        with contextlib.suppress(OSError):  # how a terminal ends that nobody has open any more
            while part := reader.read1():
                said += part
    return said.decode()


def test_whoever_stands_before_an_unclaimed_box_learns_all_that_it_takes_to_claim_it(
    box: Places, tmp_path: Path
) -> None:
    text = shown(issue(box), tmp_path)
    mark = fingerprint(box.root / "var/lib/tidegate-web/tls/certificate.pem")
    assert "Tidegate gateway tidegate-b2c3d4" in text
    assert "https://tidegate-b2c3d4.local" in text
    assert "eth0         https://" in text
    assert CODE in text
    assert mark[:48] in text
    assert mark[48:] in text
    assert all(len(line) < 80 for line in text.splitlines()), "a serial console has 80 columns"


def test_a_claimed_box_shows_no_code(box: Places) -> None:
    (box.root / "var/lib/tidegate/claim-code").unlink()
    assert "claim" not in issue(box)


def test_before_anything_is_made_there_is_still_something_to_read(places: Places) -> None:
    assert "https://localhost.local" in issue(places)


def test_what_was_refused_of_a_provisioning_file_is_told(box: Places) -> None:
    report = {"source": "boot partition", "refused": 2, "settings": [{}, {}, {}]}
    (box.appliance / "provision-report.json").write_text(json.dumps(report))
    assert "2 of 3 settings of the boot partition\n" in issue(box)
    assert all(len(line) < 80 for line in issue(box).splitlines())
    (box.appliance / "provision-report.json").write_text(json.dumps({**report, "refused": 0}))
    assert "provisioning" not in issue(box)


def test_no_file_can_make_the_console_run_an_escape(box: Places) -> None:
    box.hostname.write_text("\\e{red}name\n")
    (box.root / "var/lib/tidegate/claim-code").write_text("\x1b[2J\n")
    assert "\\e" not in issue(box)
    assert "\x1b" not in issue(box)


def test_consoles_are_told_when_it_changed_and_only_then(box: Places, programs: Programs) -> None:
    programs.replace("agetty")
    show(box)
    show(box)
    assert programs.calls == ["agetty --reload"]
    assert (box.root / ISSUE).stat().st_mode & 0o777 == 0o600
    (box.root / "var/lib/tidegate/claim-code").unlink()
    show(box)
    assert programs.calls == ["agetty --reload"] * 2


def test_a_code_that_is_made_while_it_is_shown_is_shown_too(
    box: Places, programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path unit starts no second run of what runs."""
    programs.replace("agetty")
    code = box.root / "var/lib/tidegate/claim-code"
    code.unlink()
    monkeypatch.setattr(console.time, "sleep", lambda _: code.write_text(CODE))
    follow(box)
    assert CODE in (box.root / ISSUE).read_text()
    assert programs.calls == ["agetty --reload"] * 2
