"""A wipe of the data partition destroys everything, goes on where it was cut off, and leaves a file system."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from image.places import CHECKOUT

_SIZE = 64 << 20
_SECRET = b"the key of the plant's broker"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# The partition is a file, which can't grow: what writes to its end is told so, as at the end of a partition.
_AROUND = f"""
trap '' XFSZ
ulimit -f {_SIZE // 512}
data=$1
say() {{ echo "$*"; }}
fail() {{ echo "can't start: $*"; exit 1; }}
in_root() {{ "$@"; }}
"""


def _functions() -> str:
    """The functions of the first program, without what it does with them."""
    text = (CHECKOUT / "image/boot/init").read_text()
    whole = re.findall(r"(?ms)^[a-z_]+\(\) \{[^\n]*\}$|^[a-z_]+\(\) \{$.*?^\}$", text)
    wanted = ("start_of_data", "make_data", "wipe", "is_zero")
    constants = "".join(re.findall(r"(?m)^readonly WIPING.*\n", text))
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
    yield path
    checked = subprocess.run(["e2fsck", "-f", "-n", path], capture_output=True, check=False, env={"PATH": _PATH})
    assert checked.returncode == 0, checked.stdout


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
