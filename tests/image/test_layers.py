"""Layers say what they are made of; what they say wrong is told by file and key."""

from __future__ import annotations

from pathlib import Path

import pytest

from image.errors import BuildError
from image.layers import VARIANTS, layer_of, matching, recipe


def _layer(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "layer.toml").write_text(text)
    return folder


def test_layers_are_stacked_in_the_order_of_their_names(tmp_path: Path) -> None:
    _layer(tmp_path / "20-b", 'description = "b"\npackages = ["y", "x"]\nvariants = ["rpi"]')
    _layer(tmp_path / "10-a", 'description = "a"\npackages = ["x"]\n[links]\n"/etc/a" = "/b"')
    _layer(tmp_path / "30-c", 'description = "c"\npackages = ["z"]\nvariants = ["rpi5"]')
    made = recipe("rpi", tmp_path)
    assert [layer.name for layer in made.layers] == ["10-a", "20-b"]
    assert made.all_of("packages") == ("x", "y")
    assert made.links == (("/etc/a", "/b"),)


def test_a_recipe_is_another_when_a_file_of_a_layer_changes(tmp_path: Path) -> None:
    folder = _layer(tmp_path / "10-a", 'description = "a"')
    before = recipe("rpi", tmp_path).key
    (folder / "files").mkdir()
    (folder / "files/x").write_text("1")
    added = recipe("rpi", tmp_path).key
    (folder / "files/x").chmod(0o755)
    assert len({before, added, recipe("rpi", tmp_path).key}) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("packages = []", "'description' is missing"),
        ('description = "a"\npackage = []', "no key 'package'"),
        ('description = "a"\npackages = "x"', "'packages' is no list of texts"),
        ('description = "a"\nvariants = ["rpi9"]', "no variant 'rpi9'"),
        ('description = "a"\nlinks = []', "'links' is no table"),
        ("description = ", "can't be read"),
    ],
)
def test_a_layer_that_is_wrong_is_named(tmp_path: Path, text: str, said: str) -> None:
    folder = _layer(tmp_path / "10-a", text)
    with pytest.raises(BuildError, match=said) as caught:
        layer_of(folder)
    assert str(folder / "layer.toml") in str(caught.value)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(BuildError, match="no variant 'rpi9'"):
        recipe("rpi9")


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_layers_of_the_project_make_a_box(variant: str) -> None:
    made = recipe(variant)
    assert any(package.startswith("linux-image") for package in made.all_of("packages"))
    assert {"raspi-firmware", "u-boot-rpi", "busybox-static"} <= set(made.all_of("boot_packages"))
    assert made.all_of("own_packages") == ("tidegate", "tidegate-appliance")


def test_patterns_stay_within_the_root_and_follow_no_link(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/link").symlink_to("/etc")
    assert matching(tmp_path, ["/a/*", "/a/b"]) == [tmp_path / "a/b", tmp_path / "a/link"]
