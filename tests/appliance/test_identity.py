"""A fresh card becomes one box and stays it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from tidegate_appliance.cards import Card, cards
from tidegate_appliance.commands import CommandFailed
from tidegate_appliance.identity import ensure_identity, fresh_name
from tidegate_appliance.places import Places

from tests.appliance.programs import Programs


def serial_number(root: Path, text: str) -> None:
    file = root / "proc/device-tree/serial-number"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode() + b"\0")


def card(root: Path, index: int, name: str, mac: str | None, path: str = "E:ID_PATH=pci-0000:00:01.0\n") -> None:
    """What udev notes of a card."""
    data = root / "run/udev/data"
    data.mkdir(parents=True, exist_ok=True)
    own = f"E:ID_NET_NAME_MAC=enx{mac}\n" if mac else ""
    alias = f"E:SYSTEMD_ALIAS=/sys/subsystem/net/devices/{name}\n"
    (data / f"n{index}").write_text(f"I:4711\nE:ID_NET_DRIVER=some\n{own}{path}{alias}G:systemd\nQ:systemd\n")


def test_a_raspberry_pi_is_named_by_the_end_of_its_serial_number(places: Places) -> None:
    serial_number(places.root, "10000000a1B2c3D4")
    card(places.root, 2, "eth0", "525400123456")
    assert fresh_name(places.root) == "tidegate-b2c3d4"


@pytest.mark.parametrize("serial", ["", "0000000000000000", "12"])
def test_a_board_whose_serial_number_says_nothing_is_named_by_its_first_network_card(
    places: Places, serial: str
) -> None:
    serial_number(places.root, serial)
    card(places.root, 1, "lo", None, path="")
    card(places.root, 12, "enx0", "00e04c680001")
    card(places.root, 3, "eth0", "525400abcdef")
    assert fresh_name(places.root) == "tidegate-abcdef"


def test_without_anything_that_tells_boards_apart_the_name_is_a_matter_of_luck(places: Places) -> None:
    card(places.root, 2, "eth0", None)
    names = {fresh_name(places.root) for _ in range(20)}
    assert len(names) == 20
    assert all(re.fullmatch(r"tidegate-[0-9a-f]{6}", name) for name in names)


def test_bridges_and_loopback_are_no_cards(places: Places) -> None:
    card(places.root, 1, "lo", None, path="")
    card(places.root, 4, "br0", None, path="")
    card(places.root, 3, "end0", "525400abcdef")
    assert cards(places.root) == [Card("end0", "525400abcdef")]


def test_the_identity_is_made_once(places: Places) -> None:
    serial_number(places.root, "10000000a1b2c3d4")
    (places.root / "etc/machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    assert ensure_identity(places) == "tidegate-b2c3d4"
    assert places.machine_id.read_text() == "0123456789abcdef0123456789abcdef\n", "the one this boot logs under"
    made = {path: path.read_bytes() for path in places.identity.rglob("*") if path.is_file()}

    serial_number(places.root, "the card is in another board now")
    (places.root / "etc/machine-id").write_text("f" * 32)
    assert ensure_identity(places) == "tidegate-b2c3d4"
    assert {path: path.read_bytes() for path in places.identity.rglob("*") if path.is_file()} == made


def test_a_name_that_somebody_chose_stays(places: Places) -> None:
    places.hostname.write_text("packing-line-3\n")
    assert ensure_identity(places) == "packing-line-3"


def test_the_host_key_is_whole_and_for_root_alone(places: Places) -> None:
    ensure_identity(places)
    assert places.host_key.stat().st_mode & 0o777 == 0o600
    assert places.host_key.parent.stat().st_mode & 0o777 == 0o700
    told = subprocess.run(["ssh-keygen", "-y", "-f", places.host_key], capture_output=True, text=True, check=True)
    assert told.stdout.split()[:2] == places.host_key.with_suffix(".pub").read_text().split()[:2]
    assert told.stdout.startswith("ssh-ed25519 ")


@pytest.mark.parametrize("left", [["ssh_host_ed25519_key.new"], ["ssh_host_ed25519_key.pub"]])
def test_a_host_key_that_a_power_cut_broke_off_is_made_again(places: Places, left: list[str]) -> None:
    places.host_key.parent.mkdir()
    for name in left:
        (places.host_key.parent / name).write_text("half")
    ensure_identity(places)
    assert {path.name for path in places.host_key.parent.iterdir()} == {
        "ssh_host_ed25519_key",
        "ssh_host_ed25519_key.pub",
    }
    assert "half" not in places.host_key.with_suffix(".pub").read_text()


def test_what_fails_is_one_sentence(places: Places, programs: Programs) -> None:
    programs.replace("ssh-keygen", script="echo 'No space left on device' >&2; exit 1")
    with pytest.raises(CommandFailed, match=r"^ssh-keygen failed: No space left on device$"):
        ensure_identity(places)
