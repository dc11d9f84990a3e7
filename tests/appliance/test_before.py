"""Going back to an older release: what it finds of the configuration and the accounts, also after power cuts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tidegate_appliance.before import Before, valid
from tidegate_appliance.places import Places

from tests.appliance.box import a_root
from tests.support.configuration import configuration


class Machine:
    """Configuration, accounts, and a release that runs. Each understands what has a number up to its own."""

    def __init__(self, root: Path) -> None:
        self.places: Places = a_root(root, "0.1.0")
        self.config = root / "etc" / "tidegate"
        (self.config / "conf.d").mkdir(parents=True)
        self.accounts = root / "accounts.json"
        self.understands = 1
        self.write(1, "first")

    def write(self, number: int, text: str) -> None:
        """What a release of that number writes."""
        (self.config / "tidegate.toml").write_text(f"{number} {text}")
        (self.config / "conf.d" / f"of-{number}.toml").write_text(text)
        self.accounts.write_text(json.dumps({"format": number, "users": text}))

    def start(self, version: str, understands: int) -> bool:
        self.places.release.write_text(f"VERSION={version}\n")
        self.understands = understands
        return self.before().start()

    def before(self) -> Before:
        return Before(self.places, self.config, self.accounts, self.readable)

    def readable(self, directory: Path) -> bool:
        return int((directory / "tidegate.toml").read_text().split()[0]) <= self.understands

    @property
    def found(self) -> tuple[str, str, list[str]]:
        return (
            (self.config / "tidegate.toml").read_text(),
            json.loads(self.accounts.read_text())["users"],
            sorted(path.name for path in (self.config / "conf.d").iterdir()),
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    assert not made.start("0.1.0", 1)
    return made


def test_what_an_older_release_can_read_stays_as_the_newer_one_left_it(machine: Machine) -> None:
    assert machine.start("0.2.0", 2)
    machine.write(1, "changed under 0.2.0")
    assert machine.start("0.1.0", 1)
    assert machine.found == ("1 changed under 0.2.0", "changed under 0.2.0", ["of-1.toml"])
    assert not machine.start("0.1.0", 1)


def test_what_it_cant_read_becomes_what_it_left_itself(machine: Machine) -> None:
    machine.start("0.2.0", 2)
    machine.write(2, "of 0.2.0")
    assert machine.start("0.1.0", 1)
    assert machine.found == ("1 first", "first", ["of-1.toml"])
    kept = machine.places.before / "of-0.2.0"
    assert (kept / "config" / "tidegate.toml").read_text() == "2 of 0.2.0", "and nothing is lost"
    machine.write(1, "second")
    assert machine.start("0.2.0", 2)
    assert machine.found[:2] == ("1 second", "second"), "the newer release takes what is older"


def test_copies_are_kept_of_the_two_releases_there_are(machine: Machine) -> None:
    for number, version in enumerate(("0.2.0", "0.3.0", "0.4.0"), 2):
        machine.start(version, number)
    assert sorted(path.name for path in machine.places.before.glob("of-*")) == ["of-0.3.0"]


def test_a_power_cut_at_any_step_changes_nothing_of_the_outcome(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.start("0.2.0", 2)
    machine.write(2, "of 0.2.0")
    machine.places.release.write_text("VERSION=0.1.0\n")
    machine.understands = 1
    cuts = 0
    while cut_at(machine.before().start, cuts, monkeypatch):
        cuts += 1
        assert cuts < 200
    assert cuts > 6, "there were steps to be cut off"
    assert machine.found == ("1 first", "first", ["of-1.toml"])
    kept = machine.places.before / "of-0.2.0"
    assert (kept / "config" / "tidegate.toml").read_text() == "2 of 0.2.0"
    assert json.loads((kept / "accounts.json").read_text())["users"] == "of 0.2.0"


class _Cut(Exception):
    """The power fails."""


def cut_at(work: Callable[[], object], number: int, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the power failed at the change of a name or the sync that is `number` steps away."""
    left = number

    def failing(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **more: Any) -> Any:
            nonlocal left
            if left == 0:
                raise _Cut
            left -= 1
            return real(*arguments, **more)

        return step

    with monkeypatch.context() as patched:
        for name in ("replace", "unlink", "fsync"):
            patched.setattr(os, name, failing(getattr(os, name)))
        try:
            work()
        except _Cut:
            return True
    return False


def test_a_note_that_cant_be_read_is_written_anew(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.places.before / "ran.json").write_bytes(b"torn")
    assert not machine.start("0.2.0", 2)
    assert machine.start("0.1.0", 1)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", of_another(Path.read_bytes))
        assert not machine.start("0.2.0", 2)
    assert machine.start("0.1.0", 1)


def of_another(read: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
    """The note is of a user with another number."""

    def refuse(path: Path) -> bytes:
        if path.name == "ran.json":
            raise PermissionError(13, "Permission denied")
        return read(path)

    return refuse


@pytest.mark.integration
def test_the_gateway_itself_says_whether_it_takes_a_configuration(tmp_path: Path) -> None:
    (tmp_path / "tidegate.toml").write_text(configuration(tmp_path / "data", [502], 1883))
    assert valid(tmp_path)
    (tmp_path / "tidegate.toml").write_text('[gateway]\nid = "gw1"\nof_a_later_release = true\n')
    assert not valid(tmp_path)
    assert valid(tmp_path, ["/nowhere/tidegate"]), "what can't be found out replaces nothing"
