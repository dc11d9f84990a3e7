"""What RAUC sometimes fails at with a sound bundle is tried once more, and nothing else is."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from tidegate_appliance.rauc import Rauc, RaucError
from tidegate_appliance.slots import written

from gateway.ops.slots import Step

DM = "Installation error: Failed to load dm table: Invalid argument, check DM_VERITY"


class Moody(Rauc):
    """Fails as it is told, then installs."""

    def __init__(self, *failures: str) -> None:
        self.failures = [*failures]
        self.asked = 0

    async def install(self, bundle: Path) -> AsyncGenerator[tuple[int, str]]:
        self.asked += 1
        yield 20, "checking"
        if self.failures:
            raise RaucError(self.failures.pop(0))
        yield 100, "done"


async def steps(rauc: Rauc) -> list[Step]:
    return [step async for step in written(rauc, Path("b.raucb"))]


async def test_a_table_that_couldnt_be_loaded_is_tried_once_more() -> None:
    assert [step.percent for step in await steps(Moody(DM))] == [20, 20, 100]
    twice = Moody(DM, DM)
    with pytest.raises(RaucError, match="dm table"):
        await steps(twice)
    assert twice.asked == 2


async def test_anything_else_isnt_tried_again() -> None:
    full = Moody("No space left on device")
    with pytest.raises(RaucError, match="No space"):
        await steps(full)
    assert full.asked == 1
