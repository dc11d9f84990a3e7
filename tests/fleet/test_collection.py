"""The collection by itself: its example, its documentation, and Ansible's own sanity tests as far as they run here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hil.benches.control_machine import BIN
from tests.fleet.machine import ROOT

COLLECTION = ROOT / "ansible"
PLUGINS = sorted(path.stem for path in (COLLECTION / "plugins" / "modules").glob("*.py"))
# The others install what they need from a server of Ansible's own, or are ansible-lint's and ruff's affair here.
SANITY = (
    "action-plugin-docs", "compile", "empty-init", "ignores", "line-endings", "no-assert", "no-smart-quotes", "shebang",
    "symlinks", "use-argspec-type-path",
)  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Apart from any git repository, whose ignored files ansible-test passes over."""
    place = tmp_path_factory.mktemp("sanity") / "ansible_collections" / "tidegate" / "fleet"
    shutil.copytree(COLLECTION, place, ignore=shutil.ignore_patterns("__pycache__", ".ansible"))
    return place


def environment(installed: Path) -> dict[str, str]:
    home = installed.parents[2]
    return {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "ANSIBLE_HOME": str(home / "home"),
        "ANSIBLE_COLLECTIONS_PATH": str(home),
        "ANSIBLE_NOCOLOR": "1",
    }


def test_it_is_built_and_installed_and_every_playbook_understood(installed: Path, tmp_path: Path) -> None:
    env = {**environment(installed), "ANSIBLE_COLLECTIONS_PATH": str(tmp_path / "there")}

    def galaxy(*words: str | Path) -> None:
        line = [BIN / "ansible-galaxy", "collection", *words]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=env)
        assert done.returncode == 0, done.stdout + done.stderr

    galaxy("build", installed, "--output-path", tmp_path)
    [archive] = tmp_path.glob("*.tar.gz")
    galaxy("install", archive, "--offline", "--collections-path", tmp_path / "there")
    names = [f"tidegate.fleet.{path.stem}" for path in sorted((COLLECTION / "playbooks").glob("*.yml"))]
    line = [BIN / "ansible-playbook", "--syntax-check", "-i", COLLECTION / "inventory/example", *names]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    readme = (ROOT / "docs/how-to/fleet.md").read_text()
    assert [name for name in names if f"`{name.rpartition('.')[2]}`" not in readme] == []


def test_sanity(installed: Path) -> None:
    tests = [word for name in SANITY for word in ("--test", name)]
    line = [str(BIN / "ansible-test"), "sanity", "--python", "3.11", "--color", "no", *tests]
    done = subprocess.run(line, cwd=installed, capture_output=True, text=True, timeout=300, env=environment(installed))
    assert done.returncode == 0, done.stdout + done.stderr


def test_modules_validate(installed: Path) -> None:
    """As ``ansible-test sanity --test validate-modules`` does, but for the virtual environment that it would make."""
    found = subprocess.run(
        [BIN / "python", "-c", "import ansible_test; print(ansible_test.__path__[0])"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    validator = Path(found.stdout.strip()) / "_util/controller/sanity/validate-modules"
    modules = [f"plugins/modules/{name}.py" for name in PLUGINS]
    options = ["--format", "plain", "--arg-spec", "--collection", "ansible_collections/tidegate/fleet"]
    done = subprocess.run(
        [BIN / "python", validator / "validate.py", *options, "--collection-version", "0.1.0", *modules],
        cwd=installed, capture_output=True, text=True, timeout=300,
        env={**environment(installed), "PYTHONPATH": f"{installed.parents[2]}:{validator}"},
    )  # fmt: skip
    ignored = (COLLECTION / "tests/sanity/ignore-2.19.txt").read_text().split()[1::2]
    assert set(ignored) == {"validate-modules:missing-gplv3-license"}  # the project's licence is Apache's
    wrong = [line for line in (done.stdout + done.stderr).splitlines() if "missing-gplv3-license" not in line]
    assert wrong == []


@pytest.mark.parametrize("name", PLUGINS)
def test_a_module_explains_itself(installed: Path, name: str) -> None:
    line = [BIN / "ansible-doc", "--json", f"tidegate.fleet.{name}"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, env=environment(installed))
    told = json.loads(done.stdout)[f"tidegate.fleet.{name}"]
    assert told["examples"]
    assert told["return"] is not None


def test_the_example_is_a_valid_configuration_for_every_gateway(installed: Path, tmp_path: Path) -> None:
    example = tmp_path / "inventory"
    shutil.copytree(COLLECTION / "inventory/example", example)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", tmp_path / "key"], check=True)
    line = [
        BIN / "ansible-playbook",
        "-i",
        example,
        "tidegate.fleet.bundle",
        "-e",
        f"tidegate_bundle_key={tmp_path / 'key'}",
    ]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=120, env=environment(installed))
    assert done.returncode == 0, done.stdout + done.stderr
    bundles = sorted((example / "fleet/pull").glob("*.tidegate"))
    assert [bundle.stem for bundle in bundles] == ["north-filler", "north-labeller", "south-boiler"]
    for bundle in bundles:
        main = tmp_path / bundle.stem / "tidegate.toml"
        main.parent.mkdir()
        main.write_text(json.loads(bundle.read_bytes().split(b"\n", 2)[2])["files"]["tidegate.toml"])
        checked = subprocess.run(
            [sys.executable, "-m", "gateway", "check", "--without-secrets", main],
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        assert checked.returncode == 0, checked.stderr
    assert 'line = "line1"' in (tmp_path / "north-filler/tidegate.toml").read_text()
    assert "line =" not in (tmp_path / "south-boiler/tidegate.toml").read_text().split("[[")[0]
