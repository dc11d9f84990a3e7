"""What a page makes of a stream of live values, in few words: the reading side of the format."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson


@dataclass
class Browser:
    """The table as a page would show it after every message it was given."""

    names: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    values: dict[int, Any] = field(default_factory=dict)
    qualities: dict[int, int] = field(default_factory=dict)
    heard: dict[int, int | None] = field(default_factory=dict)
    """The gateway's clock, ms; None: never."""
    body: dict[str, Any] = field(default_factory=dict)

    def take(self, data: bytes) -> dict[str, Any]:
        body: dict[str, Any] = orjson.loads(data)
        self.body = body
        if "tags" in body:
            table = body["tags"]
            devices = [group["device"] for group in body["groups"]]
            self.groups = table["group"]
            self.tags = [f"{devices[group]}/{path}" for group, path in zip(self.groups, table["path"], strict=True)]
            self.values, self.qualities, self.heard, self.names = {}, {}, {}, {}
        self.names |= body.get("names", {})
        at = body["t"]
        heard = {group: at - age for group, age in zip(body.get("g", ()), body.get("ga", ()), strict=True)}
        for index, group in enumerate(self.groups):
            if group in heard:
                self.heard[index] = heard[group]
        for place, index in enumerate(body["i"]):
            self.values[index] = body["v"][place]
            self.qualities[index] = body.get("q", [0] * len(body["i"]))[place]
            age = body.get("a", [None] * len(body["i"]))[place]
            if age is not None:
                self.heard[index] = None if age < 0 else at - age
        return body

    def shown(self, tag: str) -> tuple[Any, str, int | None]:
        index = self.tags.index(tag)
        return self.values[index], self.names[str(self.qualities[index])], self.heard[index]
