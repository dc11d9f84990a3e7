"""Every test of this room may configure the driver ``fake``."""

from __future__ import annotations

import pytest

from gateway import registry


@pytest.fixture(autouse=True)
def _fake_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry._BUILT_IN, "fake", "tests.config.fake_driver:KIND")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("TIDEGATE_CONFIG", raising=False)
