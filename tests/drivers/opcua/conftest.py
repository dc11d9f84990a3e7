from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.opcua_server import OpcUaServer


@pytest.fixture(scope="module")
def server() -> Iterator[OpcUaServer]:
    """One for the tests of a module that leave it as it was."""
    with OpcUaServer("--history", "Speed,Double") as running:
        yield running


@pytest.fixture
def fresh_server() -> Iterator[OpcUaServer]:
    """One for a test that breaks it."""
    with OpcUaServer("--history", "Speed,Double", "--items", "20") as running:
        yield running
