"""Which slot the boot script starts: run by a shell in which U-Boot's commands are functions and the disk is a file."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from image.places import CHECKOUT

_U_BOOT = r"""
devtype=disk devnum=0 fdt_addr=0 filesize=0
setenv() { eval "$1=\$2"; }
setexpr() { eval "$1=\$(($2 $3 $4))"; }
itest() { [ $(($1)) "$2" "$3" ]; }
disk() { :; }
env() {
  case $1 in
    import) . "$STATE" ;;
    export) for name in BOOT_ORDER BOOT_A_LEFT BOOT_B_LEFT; do eval "echo $name=\"'\$$name'\""; done > "$STATE" ;;
  esac
}
load() { case "$BROKEN" in *"$part"*) return 1 ;; esac; }
booti() { echo "started $slot"; exit; }
reset() { echo reset; exit; }
"""


class Machine:
    """A disk, and what is started from it."""

    def __init__(self, directory: Path, order: str, a_left: int, b_left: int) -> None:
        self._state = directory / "state"
        self._state.write_text(f"BOOT_ORDER='{order}'\nBOOT_A_LEFT='{a_left}'\nBOOT_B_LEFT='{b_left}'\n")
        script = (CHECKOUT / "image/boot/boot.cmd").read_text()
        for of_u_boot, of_sh in (('in "${BOOT_ORDER}"', "in ${BOOT_ORDER}"), ("> 0;", "-gt 0;")):
            assert of_u_boot in script
            script = script.replace(of_u_boot, of_sh)
        self._script = _U_BOOT + script

    def start(self, broken: str = "") -> str:
        """The slot that runs. `broken`: numbers of the partitions that can't be read."""
        environment = {"PATH": "/usr/bin:/bin", "STATE": str(self._state), "BROKEN": broken or "none"}
        for _ in range(3):
            done = subprocess.run(
                ["sh", "-c", self._script], capture_output=True, text=True, check=True, env=environment
            )
            *_, last = done.stdout.splitlines()
            if last != "reset":
                return last.removeprefix("started ")
        return "nothing"

    def says(self) -> str:
        return self._state.read_text()


def test_a_new_release_has_its_attempts_then_the_one_before_runs(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "B A", 3, 2)
    assert [machine.start() for _ in range(3)] == ["B", "B", "A"]


def test_a_slot_that_cant_be_read_yields_in_the_same_start(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "B A", 3, 2)
    assert machine.start(broken="3") == "A"
    assert "BOOT_B_LEFT='1'" in machine.says(), "which is why it is taken out of the order then"


def test_a_kernel_that_finds_no_root_gives_up_and_starts_anew() -> None:
    [bootargs] = (line for line in (CHECKOUT / "image/boot/boot.cmd").read_text().splitlines() if "bootargs" in line)
    assert "panic=10" in bootargs
    assert "rootwait" not in bootargs


@pytest.mark.parametrize(("order", "kept", "failed"), [("A", "A", "B"), ("B", "B", "A")])
def test_a_release_that_failed_comes_after_the_one_that_was_kept(
    tmp_path: Path, order: str, kept: str, failed: str
) -> None:
    """Three starts are cut before the slot is confirmed, and three more: the next is better than a box that is dark."""
    machine = Machine(tmp_path, order, *((3, 0) if kept == "A" else (0, 3)))
    assert [machine.start() for _ in range(7)] == [*[kept] * 6, failed]


def test_a_box_whose_kept_slot_is_broken_isnt_dark(tmp_path: Path) -> None:
    assert Machine(tmp_path, "A", 3, 0).start(broken="2") == "B"
