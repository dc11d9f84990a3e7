"""Order: what is quick runs first, so that a mistake shows in seconds. And what chance may do to a run."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# So that what fails in them shows its values, too.
pytest.register_assert_rewrite("tests.conformance.rig", "tests.support")

_LATER = ("integration", "fault", "e2e")

# Stands for hypothesis' own profile of this name. Where the variable CI is set it takes the one called "ci" instead,
# which tries the same examples each time. Neither looks at the clock: that would test how busy the machine is.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: max((_LATER.index(m.name) + 1 for m in item.iter_markers() if m.name in _LATER), default=0)
    )
