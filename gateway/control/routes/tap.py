"""Values as the journal takes them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import Any, Protocol

import orjson
from pydantic import Field
from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.control.operation import Call, Operation, Query, lines
from gateway.live.matching import PATTERN, matcher
from gateway.model import Batch, quality_name
from gateway.runtime import Tap


class Tapped(Protocol):
    """`gateway.runtime.Runtime`, as far as this door needs it."""

    def tap(self) -> contextlib.AbstractContextManager[Tap]: ...


class Pattern(Query):
    match: str = Field(default="*", max_length=1000, pattern=PATTERN, description="Shell pattern over `device/tag`.")


class TappedValue(TypedDict):
    timestamp_ms: int
    tag: str
    value: Any
    unit: str | None
    quality: int
    quality_name: str


def operations(runtime: Tapped) -> list[Operation[Any, Any]]:
    async def tap_values(call: Call[Pattern, None]) -> AsyncIterator[bytes]:
        return _stream(runtime, call.query.match)

    return [
        Operation(
            "GET",
            "/v1/tap",
            "tap_values",
            Role.VIEWER,
            "Stream every value as the journal takes it.",
            tap_values,
            lines(TappedValue),
            query=Pattern,
        )
    ]


async def _stream(runtime: Tapped, pattern: str) -> AsyncIterator[bytes]:
    chosen: dict[str, frozenset[int]] = {}
    matches = matcher(pattern)
    with runtime.tap() as tap:
        async for batch in tap:
            layout = batch.layout
            columns = chosen.get(layout.digest)
            if columns is None:
                columns = chosen[layout.digest] = frozenset(
                    i for i, tag in enumerate(layout.tags) if matches(f"{layout.source}/{tag.path}")
                )
            found = b"".join(_lines(batch, columns))
            if found:
                yield found


def _lines(batch: Batch, wanted: frozenset[int]) -> Iterator[bytes]:
    tags = batch.layout.tags
    for position, value in enumerate(batch.values):
        column = position if batch.columns is None else batch.columns[position]
        if column not in wanted:
            continue
        quality = 0 if batch.qualities is None else batch.qualities[position]
        yield orjson.dumps(
            {
                "timestamp_ms": batch.read_ns // 1_000_000,
                "tag": f"{batch.layout.source}/{tags[column].path}",
                "value": value,
                "unit": tags[column].unit,
                "quality": quality,
                "quality_name": quality_name(quality),
            },
            option=orjson.OPT_APPEND_NEWLINE,
        )
