from __future__ import annotations

from pathlib import Path

import pytest
from tidegate_appliance.places import Places

from tests.appliance.programs import Programs


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A box in a folder, as the initramfs leaves it."""
    root = tmp_path / "box"
    for directory in ("data/identity", "data/config", "data/appliance", "etc/systemd/network"):
        (root / directory).mkdir(parents=True)
    return Places(root)


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    return Programs(tmp_path / "programs", monkeypatch)
