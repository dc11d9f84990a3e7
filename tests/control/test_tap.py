"""What a watcher holds back is bounded, whatever the size of the batches."""

from __future__ import annotations

from gateway.model import Batch, DataType, Layout, Tag
from gateway.runtime import TAP_VALUES, Tap


def batch(size: int) -> Batch:
    tags = tuple(Tag(f"t{i}", DataType.UINT16) for i in range(size))
    return Batch(Layout("d", "g", ("acme", "plant1", "d"), tags), 1, 1, [0] * size)


async def test_a_watcher_that_never_reads_holds_a_bounded_number_of_values_and_counts_the_rest() -> None:
    tap = Tap()
    wide = batch(TAP_VALUES // 4)
    for _ in range(10):
        tap.offer(wide)
    assert tap.missed == 6 * len(wide)
    batches = aiter(tap)
    for _ in range(4):
        assert await anext(batches) is wide
    tap.offer(wide)
    assert await anext(batches) is wide


async def test_a_batch_larger_than_the_bound_still_reaches_a_watcher_that_keeps_up() -> None:
    tap = Tap()
    huge = batch(TAP_VALUES + 1)
    tap.offer(huge)
    assert await anext(aiter(tap)) is huge
    assert not tap.missed
