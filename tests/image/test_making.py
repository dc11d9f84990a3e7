"""The smaller parts of a build: mirrors, releases, packages, trees."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from image.bundle import manifest
from image.deb import Control
from image.errors import BuildError
from image.mirrors import mirrors_in
from image.parcel import PACKAGES, files_of, parcel_of
from image.places import key_of, tree_parts
from image.release import Release, epoch, release_of
from image.trees import copy_tree, set_times

RELEASE = Release("1.2.0", "rpi5", 1_800_000_000, "0123456789ab", "production")


def test_the_machines_own_mirrors_are_used() -> None:
    listed = "Vendor http://vendor/debian/\nDebian http://mirror/debian/\nDebian http://mirror/debian/\nDebian-Security http://sec/\n"
    found = mirrors_in(listed)
    assert found.sources(("trixie", "trixie-security"), "main") == (
        "deb http://mirror/debian trixie main\ndeb http://sec trixie-security main\n"
    )


def test_a_machine_without_a_mirror_of_debian_is_told_so() -> None:
    with pytest.raises(BuildError, match="no mirror of Debian"):
        mirrors_in("Ubuntu http://x/\n")


def test_a_release_says_what_it_is() -> None:
    said = dict(line.split("=") for line in RELEASE.text().splitlines())
    assert said["VERSION"] == "1.2.0"
    assert said["COMPATIBLE"] == "tidegate-rpi5-arm64"
    assert said["SIGNING"] == "production"
    assert "compatible=tidegate-rpi5-arm64\nversion=1.2.0\n" in manifest(RELEASE)
    assert "format=verity" in manifest(RELEASE)


@pytest.mark.parametrize("version", ["", "one", "1.2.0/../x", "1.2 0", "v1"])
def test_what_is_no_version_is_refused(version: str) -> None:
    with pytest.raises(BuildError, match="no version"):
        release_of("rpi", "development", version or "-")


def test_the_date_is_that_of_the_commit_or_of_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert epoch(tmp_path) == 1_700_000_000
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    with pytest.raises(BuildError, match="SOURCE_DATE_EPOCH"):
        epoch(tmp_path)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@localhost", "-C", str(tmp_path)]
    subprocess.run([*git, "init", "-q"], check=True)
    dated = os.environ | {"GIT_COMMITTER_DATE": "1600000000 +0000"}
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True, env=dated)
    assert epoch(tmp_path) == 1_600_000_000


def test_a_control_file_is_as_dpkg_reads_it() -> None:
    text = Control("x", "1.0", "all", "in short", "at\nlength", depends=("a (= 1)", "b")).text(12)
    assert text == (
        "Package: x\nVersion: 1.0\nArchitecture: all\nMaintainer: The Tidegate project <tidegate@localhost>\n"
        "Installed-Size: 12\nDepends: a (= 1), b\nSection: net\nPriority: optional\n"
        "Description: in short\n at\n length\n"
    )


def test_the_appliances_package_finds_all_that_it_installs() -> None:
    parcel = parcel_of(PACKAGES / "tidegate-appliance")
    places = {place for _, place in files_of(parcel)}
    assert "/" in places
    assert "/usr/lib/systemd/system/tidegate-firstboot.service" in places
    assert "postinst" in parcel.scripts


def test_a_package_that_is_not_whole_is_named(tmp_path: Path) -> None:
    (tmp_path / "package.toml").write_text('summary = "x"\n')
    with pytest.raises(BuildError, match="'description' is missing"):
        parcel_of(tmp_path)


def test_a_tree_is_copied_with_its_links_and_dated(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "a").mkdir(parents=True)
    (source / "a/run").write_text("x")
    (source / "a/run").chmod(0o700)
    (source / "a/link").symlink_to("run")
    target.mkdir()
    copy_tree(source, target)
    set_times(target, 1_000)
    assert (target / "a/run").stat().st_mode & 0o777 == 0o755
    assert os.readlink(target / "a/link") == "run"
    assert {int(path.lstat().st_mtime) for path in (target, *target.rglob("*"))} == {1_000}


def test_a_hash_tells_where_one_part_ends() -> None:
    assert key_of(["ab", "c"]) != key_of(["a", "bc"])


def test_compiled_files_are_no_part_of_a_tree(tmp_path: Path) -> None:
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/x.pyc").touch()
    (tmp_path / "x").write_text("1")
    assert tree_parts(tmp_path) == ["file x 0", b"1"]
