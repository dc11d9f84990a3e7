"""What is taken out of a root, and what is kept beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from image.errors import BuildError
from image.rootfs import take_device_trees

KERNEL = "7.3.4+deb13-arm64"
OURS, OTHERS = "broadcom/bcm2712-rpi-5-b.dtb", "qcom/sm8550-mtp.dtb"


def a_kernel(tree: Path, place: str) -> None:
    for name in (OURS, OTHERS):
        file = tree / place / name
        file.parent.mkdir(parents=True)
        file.write_text(name)


@pytest.mark.parametrize("linked", [False, True], ids=["of its own", "a link to the modules'"])
def test_the_boards_device_trees_are_kept_and_all_others_go(tmp_path: Path, linked: bool) -> None:
    tree, work = tmp_path / "root", tmp_path / "work"
    work.mkdir()
    place = tree / "usr/lib" / f"linux-image-{KERNEL}"
    modules = tree / "usr/lib/modules" / KERNEL
    modules.mkdir(parents=True)
    if linked:
        a_kernel(modules, "dtb")
        place.symlink_to(f"modules/{KERNEL}/dtb")
    else:
        a_kernel(place.parent, place.name)
    kept = take_device_trees(tree, KERNEL, work)
    assert [(path.name, path.read_text()) for path in kept] == [("bcm2712-rpi-5-b.dtb", OURS)]
    assert not place.exists()
    assert not place.is_symlink()
    assert list(modules.iterdir()) == []


def test_a_kernel_without_them_is_no_kernel_for_us(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    with pytest.raises(BuildError, match="brings no device tree of a Raspberry Pi"):
        take_device_trees(tmp_path / "root", KERNEL, tmp_path)
