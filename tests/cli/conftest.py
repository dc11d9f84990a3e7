"""Tests of this room may use drivers of a third party, found the way an installed package's are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gateway.cli import main

Run = Callable[..., Result]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the path with a package that publishes three drivers, one of them broken."""
    info = tmp_path / "site" / "acme_drivers-1.0.dist-info"
    info.mkdir(parents=True)
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\nName: acme-drivers\nVersion: 1.0\n")
    published = ("acme = tests.cli.acme:KIND", "plain = tests.cli.acme:PLAIN", "broken = tests.cli.nothing:KIND")
    info.joinpath("entry_points.txt").write_text("\n".join(["[tidegate.drivers]", *published, ""]))
    monkeypatch.syspath_prepend(str(info.parent))
    monkeypatch.delenv("TIDEGATE_CONFIG", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return info.parent


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a configuration whose device `d1` hangs on a link of the driver acme, with further keys of the link."""

    def write(link: str = "", driver: str = "acme") -> Path:
        path = tmp_path / "tidegate.toml"
        path.write_text(
            f'[gateway]\nid = "gw1"\nenterprise = "acme"\nsite = "plant1"\ndata_dir = "data"\n'
            f'[[link]]\nname = "wire"\ndriver = "{driver}"\nhost = "10.0.0.1"\n{link}\n'
            f'[[device]]\nname = "d1"\nlink = "wire"\n'
        )
        return path

    return write


@pytest.fixture
def run(installed: Path) -> Run:
    def call(*arguments: str | Path) -> Result:
        return CliRunner().invoke(main, [str(argument) for argument in arguments], catch_exceptions=False)

    return call
