"""Order: what is quick runs first, so that a mistake shows in seconds."""

from __future__ import annotations

import pytest

_LATER = ("integration", "fault", "e2e")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: max((_LATER.index(m.name) + 1 for m in item.iter_markers() if m.name in _LATER), default=0)
    )
