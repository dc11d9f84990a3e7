"""The first boot as a whole: what fails is tried again at the next start, and the box runs meanwhile."""

from __future__ import annotations

import os

import pytest
from tidegate_appliance import erase, firstboot
from tidegate_appliance.commands import CommandFailed
from tidegate_appliance.disk import NotGrown
from tidegate_appliance.firstboot import DONE, first_boot
from tidegate_appliance.places import Places

from tests.appliance.programs import Programs


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names the machine took."""
    taken: list[str] = []
    monkeypatch.setattr(firstboot, "take_name", taken.append)
    monkeypatch.setattr(firstboot, "grow", lambda _: True)
    return taken


def test_it_is_done_once(places: Places, named: list[str]) -> None:
    places.hostname.write_text("packing-3\n")
    assert first_boot(places)
    assert named == ["packing-3"]
    assert (places.identity / DONE).exists()


@pytest.mark.parametrize("failure", [NotGrown("no"), CommandFailed("no"), OSError(5, "no")])
def test_a_disk_that_cant_grow_leaves_a_box_with_a_name_that_tries_again(
    places: Places, named: list[str], monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def grow(_: object) -> bool:
        raise failure

    monkeypatch.setattr(firstboot, "grow", grow)
    assert not first_boot(places)
    assert named == [places.hostname.read_text().strip()]
    assert not (places.identity / DONE).exists()


def test_without_a_host_key_the_disk_grows_all_the_same(
    places: Places, named: list[str], programs: Programs, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs.replace("ssh-keygen", script="exit 1")
    grown: list[object] = []

    def grow(place: object) -> bool:
        grown.append(place)
        return True

    monkeypatch.setattr(firstboot, "grow", grow)
    assert not first_boot(places)
    assert grown == [places.data]
    assert not (places.identity / DONE).exists()


@pytest.mark.parametrize("kind", ["reset", "wipe"])
def test_erasing_is_asked_for_before_the_machine_restarts(places: Places, programs: Programs, kind: erase.Kind) -> None:
    programs.replace("systemctl", script=f"cp {places.erase} {places.data}/seen")
    erase.erase(kind, places)
    assert programs.calls == ["systemctl --no-block reboot"]
    assert (places.data / "seen").read_text() == f"{kind}\n"
    assert os.stat(places.erase).st_mode & 0o777 == 0o600


def test_a_restart_that_fails_leaves_the_wish_for_the_next_start(places: Places, programs: Programs) -> None:
    programs.replace("systemctl", script="exit 1")
    with pytest.raises(CommandFailed):
        erase.erase("wipe", places)
    assert places.erase.read_text() == "wipe\n"
