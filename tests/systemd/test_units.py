"""Every unit of the checkout: sound, and as closed as it can be."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.machine import root_file_system

ROOT = Path(__file__).parents[2]
KINDS = ("service", "socket", "timer", "path", "mount", "target")
UNITS = sorted(unit for kind in KINDS for unit in ROOT.glob(f"systemd/*/*.{kind}"))
SERVICES = [unit for unit in UNITS if unit.suffix == ".service"]

LIMIT = 1.5


@dataclass(frozen=True)
class Exemption:
    """A service whose exposure, as ``systemd-analyze security`` counts it, may differ from the limit for all."""

    limit: float
    why: str


EXEMPTIONS: dict[str, Exemption] = {
    "tidegate-web.service": Exemption(1.3, "it is the one that strangers reach"),
}


def test_there_are_units() -> None:
    assert {unit.name for unit in UNITS} >= {"tidegate.service", "tidegate-web.service", "tidegate-web.socket"}


def test_every_exemption_says_why() -> None:
    assert all(each.why for each in EXEMPTIONS.values())


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All units and what is added to them in one folder, their programs replaced by one that is everywhere."""
    folder = tmp_path_factory.mktemp("units")
    additions = [path for kind in KINDS for path in ROOT.glob(f"systemd/*/*.{kind}.d/*.conf")]
    for path in [*UNITS, *additions]:
        target = folder / path.relative_to(path.parents[1 if path in additions else 0])
        target.parent.mkdir(exist_ok=True)
        target.write_text(re.sub(r"^(Exec\w+=[-@:+!|]*)/\S+", r"\g<1>/bin/true", path.read_text(), flags=re.MULTILINE))
    return folder


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_a_service_can_do_little_harm(unit: Path, together: Path) -> None:
    limit = EXEMPTIONS[unit.name].limit if unit.name in EXEMPTIONS else LIMIT
    said = _analyze(unit, together, "security", "--offline=true")
    found = re.search(r"Overall exposure level for \S+: (\d+\.\d)", said)
    assert found, said
    open_ends = "\n".join(line for line in said.splitlines() if "✗" in line)
    assert float(found[1]) <= limit, f"{unit.name} is exposed by {found[1]}, more than {limit}:\n{open_ends}"


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_nothing_wrong_with_a_unit(unit: Path, together: Path) -> None:
    """Beside all others."""
    said = _analyze(unit, together, "verify", "--man=no", "--recursive-errors=no")
    told = [line for line in said.splitlines() if "tidegate" in line or unit.name in line]
    assert not told, "\n".join(told)


def test_it_would_find_something(tmp_path: Path) -> None:
    for folder in ("tidegate", "appliance"):
        unit = tmp_path / folder / "tidegate.service"
        unit.parent.mkdir()
        unit.write_text("[Service]\nExecStart=/bin/true\nFoo=1\n")
        assert "Unknown key 'Foo'" in _analyze(unit, unit.parent, "verify", "--man=no", "--recursive-errors=no")


@pytest.mark.parametrize("service", ["tidegate", "tidegate-web"])
def test_a_core_dump_can_not_give_secrets_away(service: str) -> None:
    assert "LimitCORE=0\n" in (ROOT / "systemd" / "tidegate" / f"{service}.service").read_text()


def _analyze(unit: Path, folder: Path, *arguments: str) -> str:
    """What ``systemd-analyze`` says of a unit, from a folder with all that it may name.

    Those of a box are for the systemd of Debian 13 alone, which is asked then; others by this machine's, which may be
    that of Debian 12.
    """
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""}
    command = ["systemd-analyze", *arguments, str(folder / unit.name)]
    environment["SYSTEMD_UNIT_PATH"] = f"{folder}:"
    if unit.parent.name == "appliance":
        if os.geteuid() != 0:
            pytest.skip("asking the systemd of Debian 13 takes root")
        environment["SYSTEMD_UNIT_PATH"] = "/mnt:"
        enter = 'mount --bind "$1" "$2/mnt" && shift && exec chroot "$@"'
        inside = ["systemd-analyze", *arguments, f"/mnt/{unit.name}"]
        command = ["unshare", "--mount", "sh", "-c", enter, "sh", str(folder), str(root_file_system()), *inside]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=60)
    return done.stdout + done.stderr
