"""A tag's recent values, thinned out to as many points as are asked for without hiding a peak or a gap."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.live.plain import whole
from gateway.live.track import Sample


@dataclass(slots=True)
class Trend:
    """Columns of equal length. Point *i* stands for everything since point *i* − 1.

    ``last[i]`` None is a gap: the tag was bad at that moment, ``quality[i]`` says how. ``low`` and ``high`` are of the
    usable values, None if there was none. ``broken[i]`` 1: some value was bad, so that no line may be drawn through.
    """

    t: list[int] = field(default_factory=list)
    """ms since 1970 UTC."""
    last: list[Any] = field(default_factory=list)
    low: list[Any] = field(default_factory=list)
    high: list[Any] = field(default_factory=list)
    quality: list[int] = field(default_factory=list)
    broken: list[int] = field(default_factory=list)

    def add(self, wall_ms: int, samples: Sequence[Sample]) -> None:
        final = samples[-1]
        lows = [sample.low for sample in samples if sample.low is not None]
        highs = [sample.high for sample in samples if sample.high is not None]
        self.t.append(wall_ms)
        self.last.append(whole(final.last))
        self.low.append(whole(min(lows)) if lows else None)
        self.high.append(whole(max(highs)) if highs else None)
        self.quality.append(final.quality)
        self.broken.append(int(any(sample.broken for sample in samples)))


def trend(samples: Iterable[Sample], offset_ms: int, points: int) -> Trend:
    """At most `points` points. `offset_ms`: wall clock minus CLOCK_MONOTONIC, now.

    Samples are put together by time, in spans of equal length, so that an hour with little to tell doesn't look short.
    """
    every = list(samples)
    result = Trend()
    if len(every) <= points:
        for sample in every:
            result.add(sample.mono_ms + offset_ms, (sample,))
        return result
    start = every[0].mono_ms
    span = (every[-1].mono_ms - start) / points or 1.0
    bucket: list[Sample] = []
    number = 0
    for sample in every:
        place = min(int((sample.mono_ms - start) / span), points - 1)
        if bucket and place != number:
            result.add(bucket[-1].mono_ms + offset_ms, bucket)
            bucket = []
        number = place
        bucket.append(sample)
    result.add(bucket[-1].mono_ms + offset_ms, bucket)
    return result
