"""``tidegate cert`` over a third party's driver."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from tests.cli.conftest import Run

DAY_S = 86_400
OWN, WAITING, OTHER, TRUSTED = "aa" * 32, "bb11" + "0" * 60, "bb22" + "0" * 60, "cc" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the gateway's driver keeps its certificates: one of its own, two that wait, one that is trusted."""
    state = tmp_path / "data" / "drivers" / "acme"
    for where, fingerprint, days in (
        *(("own", OWN, 10.5), ("quarantined", WAITING, 100), ("quarantined", OTHER, 100)),
        ("trusted", TRUSTED, -2.5),
    ):
        file = state / where / fingerprint
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(str(int(time.time() + days * DAY_S)))
    return state


@pytest.fixture
def cert(run: Run, config: Callable[..., Path], folder: Path) -> Callable[..., Result]:
    return lambda *arguments: run("cert", *arguments, "-c", config())


Cert = Callable[..., Result]


def test_list_is_what_is_meant_without_a_word(cert: Cert) -> None:
    done = cert()
    assert done.exit_code == 0
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert rows[0] == ["holder", "state", "fingerprint", "valid until", "subject"]
    assert [row[1:3] for row in rows[1:]] == [
        ["own", OWN[:16]],
        ["quarantined", WAITING[:16]],
        ["quarantined", OTHER[:16]],
        ["trusted", TRUSTED[:16]],
    ]
    assert done.stderr.splitlines() == [
        f"acme {OWN[:16]} (own) expires in 10 d",
        "  → tidegate cert renew",
        f"acme {TRUSTED[:16]} (trusted) expired 2 d 12 h ago",
        "  → compare the fingerprint with the far end's own, then: tidegate cert accept FINGERPRINT",
    ]
    assert cert("list").stdout == done.stdout
    assert [each["fingerprint"] for each in json.loads(cert("--json").stdout)] == [OWN, WAITING, OTHER, TRUSTED]


def test_one_can_be_shown_in_full(cert: Cert, folder: Path) -> None:
    lines = dict(line.split("\t") for line in cert("show", "BB:11").stdout.splitlines())
    assert lines["fingerprint"] == WAITING
    assert lines["URI"] == "urn:acme"
    assert lines["file"] == str(folder / "quarantined" / WAITING)
    assert json.loads(cert("show", "bb11", "--json").stdout)["state"] == "quarantined"


def test_a_quarantined_one_is_accepted_by_the_beginning_of_its_fingerprint(cert: Cert, folder: Path) -> None:
    done = cert("accept", "bb11")
    assert done.exit_code == 0
    assert "state\ttrusted" in done.stdout
    assert (folder / "trusted" / WAITING).exists()


def test_one_is_rejected(cert: Cert, folder: Path) -> None:
    assert cert("reject", "cc", "--json").exit_code == 0
    assert not (folder / "trusted" / TRUSTED).exists()


def test_one_is_added_from_a_file(cert: Cert, tmp_path: Path) -> None:
    file = tmp_path / "server.pem"
    file.write_text(str(int(time.time() + 300 * DAY_S)))
    done = cert("add", file)
    assert done.exit_code == 0
    assert done.stderr == ""
    assert "state\ttrusted" in done.stdout


def test_the_own_one_is_renewed(cert: Cert, folder: Path) -> None:
    done = cert("renew")
    assert f"fingerprint\t{'ef' * 32}" in done.stdout
    assert done.stderr == f"  → let the far ends trust {folder / 'own' / OWN}\n"


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("accept bb", 2, "'bb' can mean acme bb11000000000000, acme bb22000000000000\n  → write more of it"),
        ("accept dd", 1, "there is no certificate whose fingerprint begins with 'dd'\n  → see: tidegate cert list"),
        ("accept :", 1, "there is no certificate"),
        ("accept cc", 5, "the certificate cccccccccccccccc is trusted\n  → see: tidegate cert list"),
        ("reject aa", 5, "the certificate aaaaaaaaaaaaaaaa is own"),
        ("add nothing.pem", 1, "nothing.pem: No such file or directory\n  → name a PEM or DER file"),
        ("add tidegate.toml", 1, "tidegate.toml holds no certificate\n  → name a PEM or DER file"),
        ("list --driver plain", 2, "the driver 'plain' keeps no certificates"),
        ("list --driver acne", 2, "there is no driver 'acne'\n  → did you mean 'acme'?"),
    ],
)
def test_what_goes_wrong_is_told(
    cert: Cert, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: str, code: int, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = cert(*arguments.split())
    assert (done.exit_code, done.stdout) == (code, "")
    assert f"tidegate: {told}" in done.stderr


def test_without_a_driver_that_keeps_any_there_is_nothing_to_list(run: Run, config: Callable[..., Path]) -> None:
    done = run("cert", "list", "-c", config(driver="plain"), "--json")
    assert (done.exit_code, json.loads(done.stdout)) == (0, [])


def test_without_a_driver_that_keeps_any_nothing_can_be_trusted(run: Run, config: Callable[..., Path]) -> None:
    done = run("cert", "renew", "-c", config(driver="plain"))
    assert done.exit_code == 2
    assert "no configured driver keeps certificates" in done.stderr
    assert "with --driver: acme" in done.stderr


def test_files_of_another_user_are_told(cert: Cert, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    def refuse(self: Path, *_: object) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "rename", refuse)
    done = cert("accept", "bb11")
    assert done.exit_code == 6
    assert f"no permission to {folder / 'quarantined' / WAITING}: Permission denied" in done.stderr


def test_a_certificate_of_tomorrow_points_at_the_clock(cert: Cert, folder: Path) -> None:
    (folder / "quarantined" / WAITING).write_text(str(int(time.time() + 366 * DAY_S)))
    assert "isn't valid before" in cert("show", "bb11").stderr
