"""The Yocto layer: it parses, it lints, and its recipes are those of requirements/runtime.lock."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest

from image.errors import BuildError
from image.yocto import known, lock, recipe, sdist
from image.yocto.__main__ import RECIPES, REQUIREMENTS, VERSION, write

ROOT = Path(__file__).parents[2]
YOCTO = ROOT / "image/yocto"
LAYER = YOCTO / "meta-tidegate"
FACTS = known.load()
LOCKED = lock.read((ROOT / lock.LOCK).read_text(), FACTS.python)
MADE = lock.made(LOCKED, FACTS)
VARIABLES = (
    "LAYERSERIES_COMPAT_tidegate LICENSE LIC_FILES_CHKSUM PV RAUC_BUNDLE_COMPATIBLE RAUC_BUNDLE_FORMAT RDEPENDS:PN "
    "TIDEGATE_VERSION"
)
EVALUATE = ROOT / "tests/support/bitbake.py"
RECIPE_FILES = sorted(path for pattern in ("*.bb", "*.bbappend") for path in LAYER.rglob(pattern))


@pytest.fixture(scope="module")
def evaluated() -> dict[str, dict[str, str | None]]:
    """Of each recipe, by the name of its file: some of its variables, as bitbake expands them."""
    command = [sys.executable, "-W", "ignore", EVALUATE, LAYER, VARIABLES, *RECIPE_FILES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {Path(file).name: answer for file, answer in json.loads(done.stdout).items()}


def test_bitbake_evaluates_every_recipe_of_the_layer(evaluated: dict[str, dict[str, str | None]]) -> None:
    assert len(evaluated) == len(RECIPE_FILES) > len(MADE)
    assert {answer["LAYERSERIES_COMPAT_tidegate"] for answer in evaluated.values()} == {FACTS.release}


def test_oelint_finds_nothing() -> None:
    files = [*RECIPE_FILES, *LAYER.rglob("*.bbclass"), LAYER / "conf/layer.conf"]
    environment = {**os.environ, "OELINT_CONFIG": str(YOCTO / "oelint.cfg"), "HOME": "/nonexistent"}
    program = Path(sys.executable).with_name("oelint-adv")
    command = [program, "--jobs", "1", *files]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=YOCTO)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_every_package_of_the_lock_has_its_recipe_at_its_version_and_no_other() -> None:
    wanted = {f"{FACTS.recipe_name(package.name)}_{package.version}.bb" for package in MADE}
    assert {path.name for path in (ROOT / RECIPES).glob("*.bb")} == wanted, "the lock has changed: run `make yocto`"


@pytest.mark.parametrize("package", MADE, ids=lambda package: package.name)
def test_a_recipe_fetches_what_the_lock_names_and_brings_what_it_asks_for(
    package: lock.Locked, evaluated: dict[str, dict[str, str | None]]
) -> None:
    answer = evaluated[f"{FACTS.recipe_name(package.name)}_{package.version}.bb"]
    assert answer["sha256"] in package.sha256, "the lock has changed: run `make yocto`"
    brought = set((answer["RDEPENDS:PN"] or "").split())
    assert set(FACTS.recipe_names(lock.needs(LOCKED, package.name))) <= brought
    assert re.fullmatch(r"(file://\S+;md5=[0-9a-f]{32}\s*)+", (answer["LIC_FILES_CHKSUM"] or "").strip())
    assert answer["LICENSE"]


def test_tidegate_is_built_at_its_version_with_all_that_it_imports(evaluated: dict[str, dict[str, str | None]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    answer = evaluated["tidegate.bb"]
    assert answer["PV"] == answer["TIDEGATE_VERSION"] == project["version"], "the version has changed: run `make yocto`"
    imported = {FACTS.recipe_name(re.split(r"[=;]", dependency)[0]) for dependency in project["dependencies"]}
    assert imported <= set((answer["RDEPENDS:PN"] or "").split())


def test_a_bundle_is_what_every_box_takes(evaluated: dict[str, dict[str, str | None]]) -> None:
    answer = evaluated["tidegate-bundle.bb"]
    assert (answer["RAUC_BUNDLE_FORMAT"], answer["RAUC_BUNDLE_COMPATIBLE"]) == ("verity", "tidegate-rpi-arm64")


def test_our_own_licence_is_the_one_that_recipes_name(evaluated: dict[str, dict[str, str | None]]) -> None:
    named = {
        evaluated[file]["LIC_FILES_CHKSUM"] for file in ("tidegate.bb", "tidegate-appliance.bb", "tidegate-init.bb")
    }
    md5 = hashlib.md5((ROOT / "LICENSE").read_bytes()).hexdigest()
    assert named == {f"file://LICENSE;md5={md5}"}


def test_every_reason_for_a_recipe_of_its_own_or_none_names_a_package_of_the_lock() -> None:
    assert {*FACTS.left_out, *FACTS.theirs, *FACTS.names, *FACTS.packages} <= set(LOCKED)


@pytest.mark.parametrize(
    ("file", "machine"), [("tidegate-rpi.yml", "raspberrypi4-64"), ("tidegate-qemuarm64.yml", "qemuarm64")]
)
def test_kas_puts_the_layers_of_one_release_together(file: str, machine: str, tmp_path: Path) -> None:
    kas = [Path(sys.executable).with_name("kas"), "dump", "--format", "json", "--skip", "repos_checkout"]
    command = [*kas, "--skip", "finish_setup_repos", YOCTO / "kas" / file]
    environment = {**os.environ, "KAS_WORK_DIR": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    build = json.loads(done.stdout)
    assert (build["machine"], build["target"]) == (machine, ["tidegate-image", "tidegate-bundle"])
    (own,) = (layer for name, repo in build["repos"].items() if name == "tidegate" for layer in repo["layers"])
    assert (ROOT / own / "conf/layer.conf").is_file()
    branches = {name: repo["branch"] for name, repo in build["repos"].items() if name not in ("tidegate", "bitbake")}
    assert set(branches.values()) == {FACTS.release}
    assert "require conf/tidegate.inc" in build["local_conf_header"]["tidegate"]


def test_no_key_lies_in_the_layer() -> None:
    assert not [path for path in YOCTO.rglob("*") if path.is_file() and b"PRIVATE KEY" in path.read_bytes()]


def test_the_disk_of_yocto_is_the_disk_of_the_contract() -> None:
    lines = (LAYER / "files/wic/tidegate-disk.wks").read_text().splitlines()
    parts = [line for line in lines if line.startswith("part") and "--no-table" not in line]
    assert "bootloader --ptable msdos --diskid 0x54474154" in lines
    assert [re.search(r"--fixed-size (\w+)", part)[1] for part in parts] == ["64M", "512M", "512M", "64M"]
    assert "--label TIDEGATE" in parts[0]


PYPROJECT = '[build-system]\nrequires = ["maturin>=99"]\nbuild-backend = "maturin"\n'
CARGO = """
[[package]]
name = "own"
version = "1.0.0"

[[package]]
name = "ring"
version = "0.17.8"
source = "registry+https://github.com/rust-lang/crates.io-index"
checksum = "c0ffee"
"""
METADATA = """\
Metadata-Version: 2.4
Name: Fast.Thing
Version: 1.2
Summary: Does things.
License-Expression: MIT OR Apache-2.0
License-File: LICENSE
Project-URL: Homepage, https://thing.example
"""


def packed(folder: Path, **replaced: str) -> Path:
    """An sdist with a Rust extension."""
    files = {
        "PKG-INFO": METADATA,
        "LICENSE": "as you like",
        "pyproject.toml": PYPROJECT,
        "Cargo.lock": CARGO,
        **replaced,
    }
    path = folder / "fast_thing-1.2.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(f"fast_thing-1.2/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def test_a_recipe_says_what_the_archive_says(tmp_path: Path) -> None:
    archive = sdist.read(packed(tmp_path))
    assert recipe.file_name(archive, FACTS) == "python3-fast-thing_1.2.bb"
    text = recipe.render(archive, ["cffi", "pip"], FACTS)
    for line in (
        'SUMMARY = "Does things"',
        'HOMEPAGE = "https://thing.example"',
        'LICENSE = "MIT | Apache-2.0"',
        f'LIC_FILES_CHKSUM = "file://LICENSE;md5={hashlib.md5(b"as you like").hexdigest()}"',
        f'SRC_URI[sha256sum] = "{archive.sha256}"',
        "require ${BPN}-crates.inc",
        "inherit pypi python_maturin",
        'PYPI_PACKAGE = "fast_thing"',
        'PEP517_BUILD_OPTS = "--skip-dependency-check"',
        'RDEPENDS:${PN} += "python3-cffi"',
    ):
        assert line in text.splitlines()
    crates = recipe.render_crates(archive).splitlines()
    assert "    crate://crates.io/ring/0.17.8 \\" in crates
    assert 'SRC_URI[ring-0.17.8.sha256sum] = "c0ffee"' in crates


@pytest.mark.parametrize(
    ("replaced", "said"),
    [
        (
            {"PKG-INFO": METADATA.replace("License-Expression: MIT OR Apache-2.0\n", "License: free\n")},
            "states no licence",
        ),
        ({"pyproject.toml": PYPROJECT.replace('"maturin"', '"whey"')}, "back end whey isn't known"),
        ({"pyproject.toml": PYPROJECT.replace("maturin>=99", "whey")}, "which version of whey"),
    ],
)
def test_what_cannot_be_made_into_a_recipe_is_said(tmp_path: Path, replaced: dict[str, str], said: str) -> None:
    archive = sdist.read(packed(tmp_path, **replaced))
    with pytest.raises(BuildError, match=said):
        recipe.render(archive, [], FACTS)


def test_an_archive_that_the_lock_does_not_name_is_refused(tmp_path: Path) -> None:
    packed(tmp_path)
    other = {"fast-thing": lock.Locked("fast-thing", "1.2", frozenset({"0" * 64}), frozenset())}
    with pytest.raises(BuildError, match="isn't the file that requirements"):
        write(tmp_path, other, FACTS)
    missing = {"slow-thing": lock.Locked("slow-thing", "1", frozenset(), frozenset())}
    with pytest.raises(BuildError, match="the source of slow-thing 1 is missing"):
        write(tmp_path, missing, FACTS)


def test_a_lock_is_read_for_the_box_alone() -> None:
    text = (
        "app==2.0 \\\n    --hash=sha256:" + "a" * 64 + "\n    # via\n    #   tidegate (pyproject.toml)\n    #   other\n"
        "old==1 ; python_full_version < '3.12' \\\n    --hash=sha256:" + "b" * 64 + "\n    # via app\n"
        "win==1 ; sys_platform == 'win32' \\\n    --hash=sha256:" + "c" * 64 + "\n    # via app\n"
        "part==1 \\\n    --hash=sha256:" + "d" * 64 + "\n    # via app\n"
    )
    packages = lock.read(text, "3.14")
    assert set(packages) == {"app", "part"}
    assert packages["app"] == lock.Locked("app", "2.0", frozenset({"a" * 64}), frozenset({"tidegate", "other"}))
    assert lock.needs(packages, "app") == ["part"]
    assert set(lock.read(text, "3.11")) == {"app", "old", "part"}


def test_generated_files_are_where_the_layer_looks_for_them() -> None:
    assert (ROOT / REQUIREMENTS).is_file()
    assert "conf/tidegate-version.inc" in (LAYER / "conf/layer.conf").read_text()
    assert VERSION.name == "tidegate-version.inc"
