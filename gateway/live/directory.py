"""Every tag of a configuration by its name ``device/path``, in one order, and what is to be known about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from gateway.live.current import Current
from gateway.live.matching import matcher
from gateway.model import Layout, Tag
from gateway.northbound.uns import asset_topic
from gateway.settings import DeviceSettings, GroupSettings, LinkSettings, MqttSettings


@dataclass(frozen=True, slots=True)
class Group:
    """One poll group and where it hangs."""

    index: int
    link: LinkSettings
    device: DeviceSettings
    settings: GroupSettings
    current: Current

    @property
    def layout(self) -> Layout:
        return self.settings.poll.layout


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag."""

    group: Group
    column: int

    @property
    def tag(self) -> Tag:
        return self.group.layout.tags[self.column]

    @property
    def name(self) -> str:
        return f"{self.group.device.name}/{self.tag.path}"


@dataclass(frozen=True, slots=True)
class Selection:
    """Which tags somebody wants to see."""

    match: str = "*"
    """Shell pattern over ``device/path``."""
    device: str | None = None
    errors: bool = False
    """Only those whose quality isn't good."""


class Directory:
    """Tags in the order of the configuration."""

    def __init__(self, groups: Sequence[Group], sinks: Sequence[MqttSettings]) -> None:
        self.groups = groups
        self.sinks = sinks

    @cached_property
    def _tags(self) -> dict[str, tuple[Group, int]]:
        """Made when it is first asked for: on a gateway that nobody looks at, nobody needs it."""
        return {f"{group.device.name}/{tag.path}": (group, i) for group, i, tag in _all(self.groups)}

    def __len__(self) -> int:
        return len(self._tags)

    def find(self, name: str) -> Entry:
        """Raises KeyError if there is no such tag."""
        group, column = self._tags[name]
        return Entry(group, column)

    def chosen(self, selection: Selection) -> Iterator[tuple[Group, list[int]]]:
        """Groups with columns that are selected, whatever their quality."""
        matches = matcher(selection.match)
        for group in self.groups:
            name = group.device.name
            if selection.device is not None and name != selection.device:
                continue
            tags = group.layout.tags
            columns = [i for i, tag in enumerate(tags) if matches(f"{name}/{tag.path}")]
            if columns:
                yield group, columns

    def topic(self, entry: Entry, sink: MqttSettings) -> str:
        """Where a sink publishes a tag."""
        return topic_of(entry.group.layout, entry.tag, sink)


def topic_of(layout: Layout, tag: Tag, sink: MqttSettings) -> str:
    base = asset_topic(sink.root, layout.location)
    return f"{base}/_values/{layout.group}" if sink.granularity == "asset" else f"{base}/{tag.path}"


def _all(groups: Sequence[Group]) -> Iterator[tuple[Group, int, Tag]]:
    for group in groups:
        for column, tag in enumerate(group.layout.tags):
            yield group, column, tag
