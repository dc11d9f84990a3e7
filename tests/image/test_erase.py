"""What a wipe and a reset destroy, what they leave, and that either goes on where it was cut off."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from image.disk import SHIPPED, shipped
from image.places import CHECKOUT

_SIZE = 64 << 20
_SECRET = b"the key of the plant's broker"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_DELIVERED = ("boot.scr", "config.txt", "overlays/README", "start4.elf")
_PUT_THERE = (
    "provision.toml",
    "plant's own key.pem",
    "overlays/README.key",
    "boot",
    "START4.ELF.txt",
    "of us/größe.toml",
)
# The partition is a file, which can't grow: what writes to its end is told so, as at the end of a partition.
_AROUND = f"""
trap '' XFSZ
ulimit -f {_SIZE // 512}
data=$1 boot=$1.boot BOOT=$1.boot
mount() {{ echo "mount $*" >> "$data.calls"; }}
umount() {{ echo "umount $*" >> "$data.calls"; }}
say() {{ echo "$*"; }}
fail() {{ echo "can't start: $*"; exit 1; }}
in_root() {{ "$@"; }}
"""


def _functions() -> str:
    """The functions of the first program, without what it does with them."""
    text = (CHECKOUT / "image/boot/init").read_text()
    whole = re.findall(r"(?ms)^[a-z_]+\(\) \{[^\n]*\}$|^[a-z_]+\(\) \{$.*?^\}$", text)
    wanted = (
        *("start_of_data", "make_data", "wipe", "is_zero", "is_listed", "put_there", "destroy", "wipe_boot"),
        *("reset_data", "bind_persistent"),
    )
    constants = "".join(re.findall(r"(?m)^readonly WIPING.*\n", text)) + f"readonly SHIPPED={SHIPPED}\n"
    return constants + "\n".join(part for part in whole if part.partition("(")[0] in wanted) + _AROUND


def _run(data: Path, commands: str) -> str:
    done = subprocess.run(
        ["sh", "-c", _functions() + commands, "sh", data],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": _PATH},
    )
    return done.stdout


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Path]:
    """A partition with a file system, secrets in it from its beginning to its end, and a wipe asked for."""
    path = tmp_path / "data"
    path.write_bytes(b"")
    os.truncate(path, _SIZE)
    _run(path, "make_data")
    with path.open("r+b") as stream:
        for place in range(1 << 20, _SIZE, 1 << 20):
            stream.seek(place)
            stream.write(_SECRET)
        stream.seek(0)
        stream.write(b"tidegate-wipe")
    boot = _boot(path)
    for name in _DELIVERED:
        (boot / name).parent.mkdir(parents=True, exist_ok=True)
        (boot / name).write_bytes(b"what the board starts from")
    (boot / SHIPPED).write_text(shipped(boot))
    for name in _PUT_THERE:
        (boot / name).parent.mkdir(exist_ok=True)
        (boot / name).write_bytes(_SECRET * 100)
    yield path
    checked = subprocess.run(["e2fsck", "-f", "-n", path], capture_output=True, check=False, env={"PATH": _PATH})
    assert checked.returncode == 0, checked.stdout


def _boot(data: Path) -> Path:
    """The boot partition, as it is mounted."""
    return data.with_name("data.boot")


def _files(boot: Path) -> set[str]:
    return {path.relative_to(boot).as_posix() for path in boot.rglob("*") if path.is_file()}


def _is_marked(data: Path) -> bool:
    return data.read_bytes().startswith(b"tidegate-wipe")


def test_nothing_can_be_read_after_a_wipe(data: Path) -> None:
    assert _SECRET in data.read_bytes()
    said = _run(data, "wipe")
    assert "wiped" in said
    assert _SECRET not in data.read_bytes()
    assert data.stat().st_size == _SIZE
    assert not _is_marked(data), "the next start would wipe again"


@pytest.mark.parametrize("cut_at", ["blkdiscard", "mke2fs"])
def test_a_wipe_that_was_cut_off_goes_on(data: Path, cut_at: str) -> None:
    cut = f'in_root() {{ case $1 in *{cut_at}) exit 0 ;; esac; "$@"; }}\n'
    _run(data, cut + "wipe")
    assert _is_marked(data)
    _run(data, "wipe")
    assert not _is_marked(data)
    assert _SECRET not in data.read_bytes()


def test_what_people_put_onto_the_boot_partition_goes_and_what_the_board_starts_from_stays(data: Path) -> None:
    boot = _boot(data)
    (boot / "config.txt").rename(boot / "CONFIG.TXT")  # as a computer may write it back
    # Whoever held a file open sees what became of its blocks.
    kept = {name: (boot / name).open("rb") for name in _PUT_THERE}
    _run(data, "wipe")
    assert _files(boot) == {"boot.scr", "CONFIG.TXT", "overlays/README", "start4.elf", SHIPPED}
    for name, stream in kept.items():
        with stream:
            assert not stream.read().strip(b"\0"), f"{name} was deleted, and not overwritten"
    calls = (data.with_name("data.calls")).read_text().splitlines()
    assert [call.partition(" ")[0] for call in calls] == ["mount", "umount"]
    assert "-t vfat" in calls[0]


def test_the_boot_partition_is_wiped_before_the_mark_goes(data: Path) -> None:
    _run(data, "make_data() { :; }\nwipe")
    assert _is_marked(data)
    assert not _files(_boot(data)) & set(_PUT_THERE)
    _run(data, "wipe")


def test_what_was_deleted_in_a_computer_is_overwritten_too(data: Path) -> None:
    seen = data.with_name("data.filled")
    _run(data, f'rm() {{ case $2 in */tidegate-wipe) stat -c %s "$2" > \'{seen}\' ;; esac; command rm "$@"; }}\nwipe')
    assert int(seen.read_text()) == _SIZE, "it doesn't end before the partition does"
    assert "tidegate-wipe" not in _files(_boot(data))


def test_a_boot_partition_that_cannot_be_mounted_keeps_nothing_else_from_being_wiped(data: Path) -> None:
    said = _run(data, "mount() { return 1; }\nwipe")
    assert f"{_boot(data)} can't be mounted, so what was put there stays: delete it in a computer" in said
    assert _files(_boot(data)) >= set(_PUT_THERE)
    assert _SECRET not in data.read_bytes()


@pytest.mark.parametrize("listed", [None, "boot.scr\nconfig"])
def test_without_a_whole_list_nothing_goes_but_the_provisioning_file(data: Path, listed: str | None) -> None:
    """A card that an older release was written to has none."""
    boot = _boot(data)
    (boot / SHIPPED).unlink()
    if listed is not None:
        (boot / SHIPPED).write_text(listed)
    before = _files(boot)
    said = _run(data, "wipe")
    assert _files(boot) == before - {"provision.toml"}
    assert "only provision.toml is deleted: delete the rest in a computer" in said


def test_what_cannot_be_deleted_is_said(data: Path) -> None:
    said = _run(data, 'rm() { case $2 in *.pem) return 1 ;; esac; command rm "$@"; }\nwipe')
    assert f"not all of what was put onto {_boot(data)} can be deleted: delete it in a computer" in said


_LEFT = (
    "data/.erase",
    "data/appliance/clock",
    "data/appliance/.hidden",
    "data/appliance/provision.json",
    "data/appliance/update/before/of-0.1.0/accounts.json",
    "data/appliance/update/fallen.log",
    "data/appliance/update/floor.new",
    "data/appliance/update/incoming/upload.raucb",
    "data/config/tidegate/tidegate.toml",
    "data/overlay/A/etc/shadow",
    "data/state/tidegate/journal.db",
)
_KEPT = (
    "data/appliance/rauc/central.raucs",
    "data/appliance/update/floor",
    "data/appliance/update/kept.json",
    "data/appliance/update/trial.json",
    "data/identity/ssh/ssh_host_ed25519_key",
)


def test_a_reset_leaves_what_the_box_is_and_what_its_slots_hold(tmp_path: Path) -> None:
    for name in (*_LEFT, *_KEPT):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    _run(tmp_path / "none", f"DATA={tmp_path}/data\nreset_data")
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir())
    assert files == sorted(_KEPT)
    assert {path.name for path in (tmp_path / "data").iterdir()} == {"appliance", "identity"}


def test_a_user_with_another_number_in_this_release_gets_what_updates_remember(tmp_path: Path) -> None:
    update = tmp_path / "data/appliance/update"
    update.mkdir(parents=True)
    (update / "trial.json").write_text("{}")
    listed = (CHECKOUT / "image/appliance/files/usr/lib/tidegate/appliance/persistent").read_text()
    (tmp_path / "persistent").write_text(
        "".join(line for line in listed.splitlines(keepends=True) if line.startswith("appliance"))
    )
    said = _run(
        tmp_path / "none",
        f"DATA={tmp_path}/data ABOUT={tmp_path}\n"
        'in_root() { echo "$*"; }\nstat() { case $3 in */update) echo 990:990 ;; *) echo root:root ;; esac; }\n'
        "bind_persistent",
    )
    assert said.splitlines() == ["/usr/bin/chown -R -h tidegate:tidegate /data/appliance/update"]
