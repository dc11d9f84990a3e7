"""No two things may share a topic, nor differ only in case: brokers and historians would take them for one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from gateway.config.names import quote
from gateway.config.places import Place
from gateway.config.report import Report
from gateway.model import Tag

CASE_HINT = "; names that differ only in case count as the same"


class PlacedTags(Protocol):
    """Tags and where each of them stands."""

    @property
    def tags(self) -> Sequence[Tag]: ...

    def place_of(self, index: int) -> Place: ...


def check_paths(report: Report, groups: Iterable[PlacedTags]) -> None:
    """The tags of one device, over all its groups: every path once, every level in one spelling."""
    seen: dict[str, tuple[str, PlacedTags, int]] = {}
    levels: dict[str, tuple[str, PlacedTags, int]] = {}
    for group in groups:
        for index, tag in enumerate(group.tags):
            path = tag.path
            known = seen.setdefault(path.lower(), (path, group, index))
            if known[1] is not group or known[2] != index:
                other = report.where(known[1].place_of(known[2]).child("name"))
                report.add(
                    group.place_of(index).child("name"),
                    f"the tag {quote(path)} has the topic of the tag {quote(known[0])} at {other}",
                    f"give one of them another name{CASE_HINT}",
                )
                continue
            level = path.rpartition("/")[0]
            while level and levels.get(level.lower(), ("",))[0] != level:
                first = levels.setdefault(level.lower(), (level, group, index))
                if first[0] != level:
                    other = report.where(first[1].place_of(first[2]).child("name"))
                    report.add(
                        group.place_of(index).child("name"),
                        f"the tag {quote(path)} spells the level {quote(level)} unlike {quote(first[0])} at {other}",
                        f"spell it one way{CASE_HINT}",
                    )
                    break
                level = level.rpartition("/")[0]


def check_members(report: Report, groups: Iterable[PlacedTags], sink: str) -> None:
    """No tag may be called as what stands beside the values in a message of profile umh at granularity asset."""
    for group in groups:
        for index, tag in enumerate(group.tags):
            if tag.path == "timestamp_ms":
                report.add(
                    group.place_of(index).child("name"),
                    f"the tag {quote(tag.path)} has the name under which the sink {quote(sink)} puts the time "
                    "beside the values",
                    'give it another name, or the sink granularity "tag" or profile "full"',
                )


class Assets:
    """The assets of all devices in the namespace, with the gateway's own node among them."""

    def __init__(self, report: Report, gateway_location: tuple[str, ...], gateway_id: str) -> None:
        self._report = report
        self._gateway = (*gateway_location, gateway_id)
        self._devices: dict[tuple[str, ...], tuple[str, tuple[str, ...], Place, Sequence[PlacedTags]]] = {}
        self._levels: dict[tuple[str, ...], tuple[tuple[str, ...], Place]] = {}

    def add(self, device: str, location: tuple[str, ...], place: Place, groups: Sequence[PlacedTags]) -> None:
        """One device; `location` ends with its asset."""
        topic = "/".join(location)
        folded = _fold(location)
        if folded == _fold(self._gateway):
            self._report.add(
                place,
                f"the device {quote(device)} has the topics of the gateway itself ({topic})",
                "give it another asset, or the gateway another id",
            )
        known = self._devices.setdefault(folded, (device, location, place, groups))
        if known[2] is not place:
            self._report.add(
                place,
                f"the device {quote(device)} has the topics of the device {quote(known[0])} at "
                f"{self._report.where(known[2])} ({topic})",
                f"give one of them another asset, area, line or cell{CASE_HINT}",
            )
            return
        for depth in range(3, len(location) + 1):
            level = location[:depth]
            first, first_place = self._levels.setdefault(_fold(level), (level, place))
            if first != level:
                self._report.add(
                    place,
                    f"the level {quote(level[-1])} of the device {quote(device)} is spelt {quote(first[-1])} at "
                    f"{self._report.where(first_place)}",
                    f"spell it one way{CASE_HINT}",
                )
                return

    def check(self) -> None:
        """Devices that stand below another device's asset must not take a topic of its tags."""
        for folded, (device, location, place, groups) in self._devices.items():
            for depth in range(3, len(folded)):
                outer = self._devices.get(folded[:depth])
                if outer is None:
                    continue
                below = "/".join(location[depth:]).lower() + "/"
                own = {tag.path.lower() for group in groups for tag in group.tags}
                for group in outer[3]:
                    for index, tag in enumerate(group.tags):
                        path = tag.path.lower()
                        if path.startswith(below) and path.removeprefix(below) in own:
                            self._report.add(
                                group.place_of(index).child("name"),
                                f"the tag {quote(tag.path)} of the device {quote(outer[0])} has the topic of a tag "
                                f"of the device {quote(device)} at {self._report.where(place)}",
                                "give one of them another name, or the device another asset",
                            )


def _fold(location: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(level.lower() for level in location)
