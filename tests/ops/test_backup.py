"""Backup and restore: what is in one, who can open it, what a forged one can't do, and power cuts at any moment."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import os
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.actors import Actor
from gateway.config import load
from gateway.ops import files as atomic
from gateway.ops.backup import replacing as replacing_module
from gateway.ops.backup.archive import MAX_UNPACKED, Backup, BackupRefused, Part, Piece, pack, unpack
from gateway.ops.backup.contents import Places, contents
from gateway.ops.backup.restore import NotApplied, Restorer, RestoreReport, resume
from gateway.ops.backup.sealing import CantOpen, seal, unseal
from tests.support.configuration import configuration
from tests.support.effort import times
from tests.support.mosquitto import Authority

PASSPHRASE = "correct horse battery"
ACTOR = Actor.gateway()


class Configuration:
    """The transaction, as far as a restore needs it: `problems` and `refusal` say what it won't take."""

    def __init__(self, main: Path) -> None:
        self.main = main
        self.problems: list[str] = []
        self.refusal: str | None = None
        self.reasons: list[str] = []
        self.moment: Callable[[], None] = lambda: None

    def read(self) -> Mapping[str, bytes]:
        conf_d = {f"conf.d/{path.name}": path.read_bytes() for path in self.main.parent.glob("conf.d/*.toml")}
        return {self.main.name: self.main.read_bytes(), **conf_d}

    def check(self, files: Mapping[str, bytes]) -> Sequence[str]:
        return self.problems

    async def apply(self, files: Mapping[str, bytes], actor: Actor, reason: str) -> None:
        if self.refusal:
            raise NotApplied(self.refusal, "mend it")
        self.moment()
        for name, body in files.items():
            (self.main.parent / name).write_bytes(body)
        self.moment()
        self.reasons.append(reason)


class Accounts:
    def __init__(self) -> None:
        self.reloads = 0

    def check(self, body: bytes) -> str | None:
        return None if body.startswith(b"{") else "it can't be understood"

    async def reload(self) -> None:
        self.reloads += 1


class Gateway:
    """The files of one, and what restores into it."""

    def __init__(self, directory: Path, marker: str) -> None:
        (directory / "etc/conf.d").mkdir(parents=True)
        data = directory / "data"
        (data / "drivers/opcua/pki/trusted").mkdir(parents=True)
        (data / "audit").mkdir()
        self.places = Places(directory / "etc/tidegate.toml", data, data / "accounts.json", data / "audit")
        authority = Authority(directory / "etc/tls")
        pair = authority.issue("gw")
        self.key = pair.key
        password = directory / "etc/secrets/plant"
        password.parent.mkdir()
        password.write_text(f"hunter2-{marker}")
        password.chmod(0o600)
        sink = f'username = "u"\npassword = {{file = "{password}"}}\ntls = {{ca = "{authority.certificate}", ' + (
            f'certificate = "{pair.certificate}", key = "{pair.key}"}}'
        )
        text = configuration(data, [1502], 1883, sink=sink)
        self.places.config.write_text(f"# {marker}\n{text}")
        (directory / "etc/conf.d/more.toml").write_text(f"# more {marker}\n")
        self.places.accounts.write_text(f'{{"users": "{marker}"}}')
        (data / "drivers/opcua/pki/trusted/plc.der").write_bytes(pair.certificate.read_bytes())
        (data / "drivers/opcua/pki/own.pem").write_bytes(pair.key.read_bytes())
        (data / "audit/rows-000000000001.jsonl").write_text(f"{marker}\n")
        self.configuration = Configuration(self.places.config)
        self.accounts = Accounts()
        self.restorer = Restorer(self.places, self.configuration, self.accounts)

    def pack(self, passphrase: str | None = PASSPHRASE) -> bytes:
        settings = load(self.places.config)
        pieces, left_out = contents(settings, self.places, self.configuration.read())
        return pack(
            pieces, gateway="gw1", software="1", main="tidegate.toml", made_ms=1, passphrase=passphrase,
            left_out=left_out,
        )  # fmt: skip

    def snapshot(self) -> dict[str, bytes]:
        """Every file but those of the audit log, which is never replaced."""
        base = self.places.config.parent.parent
        return {
            str(path.relative_to(base)): path.read_bytes()
            for path in base.rglob("*")
            if path.is_file() and "audit" not in str(path.relative_to(base))
        }


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Gateway, bytes]:
    gateway = Gateway(tmp_path_factory.mktemp("old"), "old")
    return gateway, gateway.pack()


@pytest.fixture
def other(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path, "new")


def outcomes(report: RestoreReport) -> dict[str, str]:
    return {f"{item.part}/{item.name}": item.outcome for item in report.items}


def test_a_sealed_backup_holds_everything_but_the_journal(sealed: tuple[Gateway, bytes]) -> None:
    gateway, body = sealed
    backup = unpack(body, PASSPHRASE)
    assert set(backup.files) == {
        "configuration/tidegate.toml", "configuration/conf.d/more.toml", "accounts/accounts.json",
        "drivers/opcua/pki/trusted/plc.der", "drivers/opcua/pki/own.pem", "files/config/secrets/plant",
        *(f"files/config/tls/{path.name}" for path in _named(gateway)), "audit/rows-000000000001.jsonl",
    }  # fmt: skip
    assert b"hunter2" not in body
    assert b"hunter2" not in gzip.compress(body)


def _named(gateway: Gateway) -> list[Path]:
    (sink,) = load(gateway.places.config).sinks
    assert sink.tls is not None
    return [path for path in (sink.tls.ca, sink.tls.certificate, sink.tls.key) if path is not None]


def test_what_isnt_sealed_holds_no_secret_and_says_what_it_lacks(sealed: tuple[Gateway, bytes]) -> None:
    gateway, _ = sealed
    backup = unpack(gateway.pack(None), None)
    everything = b"".join(backup.files.values())
    for secret in (b"PRIVATE KEY", b"hunter2", b'"users"'):
        assert secret not in everything
    assert "drivers/opcua/pki/trusted/plc.der" in backup.files
    lacking = {each.name for each in backup.manifest.left_out}
    assert {"accounts/accounts.json", "drivers/opcua/pki/own.pem", "files/config/secrets/plant"} <= lacking


def test_a_file_outside_the_gateways_directories_is_named_but_not_taken(tmp_path: Path) -> None:
    gateway = Gateway(tmp_path / "gateway", "x")
    far = tmp_path / "far"
    far.write_text("far away secret")
    far.chmod(0o600)
    text = gateway.places.config.read_text().replace("secrets/plant", "../../far")
    gateway.places.config.write_text(text)
    backup = unpack(gateway.pack(), PASSPHRASE)
    assert [each.why for each in backup.manifest.left_out] == ["it stands outside the gateway's own directories"]
    assert b"far away" not in b"".join(backup.files.values())


@pytest.mark.parametrize("passphrase", [None, "wrong horse battery"])
def test_only_the_passphrase_opens_it(sealed: tuple[Gateway, bytes], passphrase: str | None) -> None:
    with pytest.raises(BackupRefused, match="passphrase"):
        unpack(sealed[1], passphrase)


@settings(max_examples=times(20))
@given(st.data())
def test_a_sealed_one_that_was_changed_or_cut_anywhere_is_refused(data: st.DataObject) -> None:
    sealed = _small_sealed()
    at = data.draw(st.integers(18, len(sealed) - 1))
    if data.draw(st.booleans()):
        changed = sealed[:at]
    else:
        changed = sealed[:at] + bytes([sealed[at] ^ data.draw(st.integers(1, 255))]) + sealed[at + 1 :]
    if changed[18:21] != sealed[18:21]:
        return  # other costs: refused or slow, never opened; tested below
    with pytest.raises(CantOpen):
        unseal(changed, PASSPHRASE)


def _small_sealed() -> bytes:
    if not _KEPT:
        _KEPT.append(seal(b"a few bytes", PASSPHRASE))
    return _KEPT[0]


_KEPT: list[bytes] = []


def test_a_forged_one_cant_ask_for_endless_work() -> None:
    sealed = bytearray(_small_sealed())
    sealed[18] = 40
    with pytest.raises(CantOpen, match="more work"):
        unseal(bytes(sealed), PASSPHRASE)


def test_a_weak_passphrase_is_refused(sealed: tuple[Gateway, bytes]) -> None:
    with pytest.raises(BackupRefused, match="at least 12"):
        sealed[0].pack("short")


def forged(members: Sequence[tuple[str, bytes]], *, manifest: Any = None, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A backup as somebody else would make it; its manifest vouches for all of it unless another one is given."""
    if manifest is None:
        entries = [
            {"name": name, "size": len(body), "sha256": hashlib.sha256(body).hexdigest(), "secret": False}
            for name, body in members
        ]
        manifest = {
            "format": 1, "made_ms": 1, "gateway": "x", "software": "1", "main": "tidegate.toml", "entries": entries,
            "left_out": [],
        }  # fmt: skip
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, body in [("manifest.json", orjson.dumps(manifest)), *members]:
            member = tarfile.TarInfo(name)
            member.size = len(body)
            if name != "manifest.json":
                member.type = kind
                member.linkname = "/etc/passwd"
            tar.addfile(member, io.BytesIO(body))
    return gzip.compress(buffer.getvalue())


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd", "../x", "files/../../x", "files/config/../../x", "drivers/./x", "journal/x", "drivers//x",
        "drivers/a\nb", "drivers", "manifest.json", "files/config/a\\b",
    ],
)  # fmt: skip
def test_names_that_lead_anywhere_else_are_refused(name: str) -> None:
    with pytest.raises(BackupRefused):
        unpack(forged([(name, b"x")]), None)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
def test_links_and_devices_are_refused(kind: bytes) -> None:
    with pytest.raises(BackupRefused, match="which no backup of ours does"):
        unpack(forged([("drivers/x", b"")], kind=kind), None)


def test_bombs_are_refused_without_unpacking_them() -> None:
    with pytest.raises(BackupRefused, match="unpacks to over"):
        unpack(gzip.compress(bytes(MAX_UNPACKED + 1)), None)
    with pytest.raises(BackupRefused, match="files"):
        unpack(forged([(f"drivers/{n}", b"") for n in range(3002)]), None)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "its end is missing"),
        (b"hello", "is no backup"),
        (gzip.compress(b"hello" * 300), "can't be read|no manifest"),
        (gzip.compress(b""), "can't be read|no manifest"),
        (forged([("drivers/x", b"x")])[:-20], "end is missing|can't be read"),
        (forged([("drivers/x", b"x")], manifest={"format": 2}), "the format 2"),
        (forged([("drivers/x", b"x")], manifest={"format": 1}), "no manifest of ours"),
        (forged([("drivers/x", b"x")], manifest=[]), "no manifest of ours"),
    ],
    ids=range(8),
)
def test_what_is_no_backup_is_refused(body: bytes, says: str) -> None:
    with pytest.raises(BackupRefused, match=says):
        unpack(body, None)


def test_what_the_manifest_doesnt_vouch_for_is_refused() -> None:
    sound = unpack(forged([("drivers/x", b"x")]), None).manifest.model_dump()
    with pytest.raises(BackupRefused, match="was changed"):
        unpack(forged([("drivers/x", b"y")], manifest=sound), None)
    with pytest.raises(BackupRefused, match="aren't those"):
        unpack(forged([("drivers/x", b"x"), ("drivers/y", b"y")], manifest=sound), None)
    with pytest.raises(BackupRefused, match="aren't those"):
        unpack(forged([], manifest=sound), None)


async def test_a_restore_makes_it_that_gateway(sealed: tuple[Gateway, bytes], other: Gateway) -> None:
    backup = unpack(sealed[1], PASSPHRASE)
    before = other.snapshot()
    dry = await other.restorer.restore(backup, ACTOR, dry_run=True)
    assert not dry.applied
    assert other.snapshot() == before
    report = await other.restorer.restore(backup, ACTOR, dry_run=False)
    assert report.applied
    assert outcomes(report) == outcomes(dry)
    assert set(outcomes(report).values()) == {"restored"}
    assert other.snapshot() == expected(other, backup)
    assert other.accounts.reloads == 1
    assert other.configuration.reasons == ["restored from the backup of gw1"]
    (kept,) = other.places.restored_audit.rglob("*.jsonl")
    assert kept.read_text() == "old\n"
    assert (other.places.audit / kept.name).read_text() == "new\n"
    again = await other.restorer.restore(backup, ACTOR, dry_run=False)
    assert set(outcomes(again).values()) == {"unchanged"}
    assert not again.applied


async def test_parts_can_be_chosen(sealed: tuple[Gateway, bytes], other: Gateway) -> None:
    before = other.snapshot()
    report = await other.restorer.restore(unpack(sealed[1], PASSPHRASE), ACTOR, dry_run=False, parts=["accounts"])
    assert outcomes(report) == {"accounts/accounts.json": "restored"}
    changed = {name for name, body in other.snapshot().items() if before[name] != body}
    assert changed == {"data/accounts.json"}


@pytest.mark.parametrize("when", ["looked at", "applied", "accounts"])
async def test_if_anything_is_refused_nothing_changes(sealed: tuple[Gateway, bytes], other: Gateway, when: str) -> None:
    backup = unpack(sealed[1], PASSPHRASE)
    if when == "looked at":
        other.configuration.problems = ["link0: there is no driver 'modbsu'"]
    elif when == "applied":
        other.configuration.refusal = "another change waits to be confirmed"
    else:
        backup = replace(backup, files={**backup.files, "accounts/accounts.json": b"nonsense"})
    before = other.snapshot()
    report = await other.restorer.restore(backup, ACTOR, dry_run=False)
    assert not report.applied
    assert other.snapshot() == before
    refused = [item for item in report.items if item.outcome == "refused"]
    assert refused
    assert all(item.detail for item in refused)
    assert other.accounts.reloads == 0


@pytest.mark.parametrize(
    "name",
    [
        "files/config/tidegate.toml", "files/config/conf.d/x.toml", "files/config/.tidegate.toml.change",
        "files/config/a/.hidden", "files/data/journal.db", "files/data/lock", "files/data/accounts.json",
        "files/data/audit/head", "files/nowhere/x", "accounts/claim-code", "audit/head",
        "drivers/opcua/pki/trusted/x.der", "files/config/link/x",
    ],
)  # fmt: skip
async def test_the_gateways_own_places_arent_for_files_of_a_backup(other: Gateway, name: str) -> None:
    (other.places.config.parent / "link").symlink_to("/tmp")
    before = other.snapshot()
    report = await other.restorer.restore(unpack(forged([(name, b"{x")]), None), ACTOR, dry_run=False, parts=PARTS_BUT)
    assert [item.outcome for item in report.items] == ["refused"]
    assert other.snapshot() == before


PARTS_BUT: Any = ("accounts", "drivers", "files", "audit")


class PowerCut(BaseException):
    pass


async def test_whatever_moment_the_power_fails_at_all_is_old_or_all_is_new(
    tmp_path: Path, sealed: tuple[Gateway, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    backup = unpack(sealed[1], PASSPHRASE)
    seen: list[str] = []
    for moment in itertools.count():
        gateway = Gateway(tmp_path / str(moment), "new")
        before, wanted = gateway.snapshot(), expected(gateway, backup)
        cut_at = _Countdown(moment)
        with monkeypatch.context() as patch:
            patch.setattr(replacing_module, "write_atomically", cut_at.before(atomic.write_atomically))
            patch.setattr(os, "rename", cut_at.before(os.rename))
            patch.setattr(gateway.configuration, "moment", cut_at.before(lambda: None))
            try:
                await gateway.restorer.restore(backup, ACTOR, dry_run=False)
            except PowerCut:
                pass
            else:
                break
        said = resume(gateway.places.config, gateway.configuration.read)
        after = {name: body for name, body in gateway.snapshot().items() if ".draft/" not in name}
        new = gateway.configuration.read() == backup.of("configuration")
        assert after == (wanted if new else before), moment
        seen.append(f"{'new' if new else 'old'}: {said}")
        assert resume(gateway.places.config, gateway.configuration.read) is None
    assert sorted(set(seen)) == [
        "new: a restore that was cut off was brought to its end",
        "old: None",
        "old: a restore that was cut off was taken back: all is as before it",
    ]
    assert len(seen) > 20


class _Countdown:
    """The power fails before a certain call of any of several functions."""

    def __init__(self, calls: int) -> None:
        self._left = calls

    def before(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            if self._left == 0:
                raise PowerCut
            self._left -= 1
            return function(*given, **named)

        return counted


def expected(gateway: Gateway, backup: Backup) -> dict[str, bytes]:
    """What its files will be."""
    files = gateway.snapshot()
    places: dict[Part, str] = {"configuration": "etc/", "accounts": "data/", "drivers": "data/drivers/"}
    for part, place in places.items():
        files |= {place + name: body for name, body in backup.of(part).items()}
    return files | {f"etc/{name.removeprefix('config/')}": body for name, body in backup.of("files").items()}


def test_an_unpacked_piece_is_what_was_packed() -> None:
    piece = Piece("drivers/modbus/größe.json", bytes(range(256)), secret=True)
    body = pack([piece], gateway="g", software="1", main="m.toml", made_ms=0, passphrase=PASSPHRASE)
    assert unpack(body, PASSPHRASE).files == {piece.name: piece.body}
