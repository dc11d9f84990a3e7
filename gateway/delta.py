"""What a change of configuration does to a running gateway: only what differs restarts.

Pure functions over settings. The same comparison serves whoever asks beforehand and the runtime when it applies them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from gateway.model import Layout
from gateway.settings import (
    DeviceSettings,
    GatewaySettings,
    GroupSettings,
    JournalSettings,
    LinkSettings,
    MqttSettings,
    site_of,
)


class ApplyFailed(Exception):
    """A configuration can't be applied; the one before runs. The message is one sentence for a user."""


class NothingRuns(ApplyFailed):
    """Neither the configuration nor the one before could be made to run: only a new start puts that right."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What becomes of the parts of one kind. Names in the order of the configuration."""

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    restarted: tuple[str, ...] = ()
    untouched: int = 0
    """How many run on as they are."""

    @property
    def changed(self) -> bool:
        return bool(self.added or self.removed or self.restarted)


@dataclass(frozen=True, slots=True)
class Delta:
    """The difference between what runs and what is to run."""

    links: Parts = Parts()
    """A link that restarts closes its connection; everything on it is listed as restarted too."""
    devices: Parts = Parts()
    """A device that restarts gets a new driver on the same connection. One of which only groups change doesn't."""
    groups: Parts = Parts()
    """``device/group``. A group that restarts is planned anew and forgets what it last reported."""
    sinks: Parts = Parts()
    """A sink that restarts connects anew and goes on where it was."""
    in_place: tuple[str, ...] = ()
    """Settings that change while everything runs on, as they are written: ``journal.max_mb``."""
    needs_restart: tuple[str, ...] = ()
    """What waits for the next start of the process, a sentence each; the rest is applied."""

    @property
    def empty(self) -> bool:
        """True if nothing differs."""
        parts = (self.links, self.devices, self.groups, self.sinks)
        return not (any(part.changed for part in parts) or self.in_place or self.needs_restart)

    @property
    def summary(self) -> str:
        """What happens, in a line for the log; empty if nothing does."""
        kinds = (("links", self.links), ("devices", self.devices), ("groups", self.groups), ("sinks", self.sinks))
        said = [
            f"{kind} {', '.join(f'{len(names)} {what}' for what, names in counts if names)}"
            for kind, part in kinds
            for counts in [(("added", part.added), ("removed", part.removed), ("restarted", part.restarted))]
            if part.changed
        ]
        return "; ".join([*said, *self.in_place])


@dataclass(frozen=True, slots=True)
class Applied(Delta):
    """What was done."""

    owed: Mapping[str, int] = field(default_factory=dict)
    """Values that a sink which was removed hadn't been given yet, by sink: dropped, and counted in its last ledger."""
    took_s: float = 0.0


def changes_between(old: GatewaySettings, new: GatewaySettings) -> Delta:
    """What applying `new` to a process that runs `old` would do."""
    return delta_of(old, in_force(old, new), new)


def delta_of(old: GatewaySettings, forced: GatewaySettings, new: GatewaySettings) -> Delta:
    """The same, where what :func:`in_force` makes of `old` and `new` is there already."""
    links: dict[str, bool] = {}
    devices: dict[str, bool] = {}
    groups: dict[str, bool] = {}
    known = {link.name: link for link in old.links}
    for link in forced.links:
        was = known.get(link.name)
        links[link.name] = stays = was is not None and same_connection(was, link)
        there = {device.name: device for device in was.devices} if was is not None and stays else {}
        for device in link.devices:
            had = there.get(device.name)
            devices[device.name] = stays = had is not None and had.options == device.options
            before = {group.poll.name: group for group in had.groups} if had is not None and stays else {}
            for group in device.groups:
                groups[f"{device.name}/{group.poll.name}"] = before.get(group.poll.name) == group
    return Delta(
        links=_parts([link.name for link in old.links], links),
        devices=_parts([device.name for link in old.links for device in link.devices], devices),
        groups=_parts(_group_names(old), groups),
        sinks=_parts(
            [sink.name for sink in old.sinks],
            {sink.name: sink in old.sinks and _same_place(old, new) for sink in new.sinks},
        ),
        in_place=tuple(_in_place(old, new)),
        needs_restart=tuple(_needs_restart(old, new)),
    )


def in_force(old: GatewaySettings, new: GatewaySettings) -> GatewaySettings:
    """What of `new` a process that runs `old` can have, made of the very parts of `old` wherever they are equal."""
    known = {link.name: link for link in old.links}
    sinks = {sink.name: sink for sink in old.sinks}
    return replace(
        new,
        data_dir=old.data_dir,
        socket=old.socket,
        clock=old.clock,
        journal=replace(new.journal, path=old.journal.path),
        links=tuple(
            _link(known.get(link.name), replace(link, site=site_of(new.id, old.data_dir, link.kind.name)))
            for link in new.links
        ),
        sinks=tuple(_either(sinks.get(sink.name), sink) for sink in new.sinks),
    )


def same_connection(old: LinkSettings, new: LinkSettings) -> bool:
    """Whether a link can keep its bus: what hangs on it and how patient it is may differ."""
    return (old.kind, old.site, old.options) == (new.kind, new.site, new.options)


def groups_of(settings: GatewaySettings) -> Iterator[GroupSettings]:
    """Every group, in the order of the configuration."""
    return (group for link in settings.links for device in link.devices for group in device.groups)


def gone_tags(old: GatewaySettings, new: GatewaySettings) -> Iterator[tuple[Layout, Sequence[int]]]:
    """Columns of groups of `old` whose tags nothing speaks for under `new`: not under that location and path."""
    kept = {id(group) for group in groups_of(new)}
    suspects = [group.poll.layout for group in groups_of(old) if id(group) not in kept]
    if not suspects:
        return
    known = {
        (layout.location, tag.path) for group in groups_of(new) for layout in [group.poll.layout] for tag in layout.tags
    }
    for layout in suspects:
        columns = [i for i, tag in enumerate(layout.tags) if (layout.location, tag.path) not in known]
        if columns:
            yield layout, columns


def _link(old: LinkSettings | None, new: LinkSettings) -> LinkSettings:
    if old is None or not same_connection(old, new):
        return new
    known = {device.name: device for device in old.devices}
    devices = tuple(_device(known.get(device.name), device) for device in new.devices)
    link = LinkSettings(old.name, old.kind, old.options, old.site, devices, new.breaker)
    return old if link == old else link


def _device(old: DeviceSettings | None, new: DeviceSettings) -> DeviceSettings:
    if old is None or old.options != new.options:
        return new
    known = {group.poll.name: group for group in old.groups}
    groups = tuple(_group(known.get(group.poll.name), group) for group in new.groups)
    return old if groups == old.groups else DeviceSettings(old.name, old.options, groups)


def _group(old: GroupSettings | None, new: GroupSettings) -> GroupSettings:
    return old if old is not None and old == new else new


def _either(old: MqttSettings | None, new: MqttSettings) -> MqttSettings:
    return old if old is not None and old == new else new


def _same_place(old: GatewaySettings, new: GatewaySettings) -> bool:
    """Whether what a sink says about the gateway itself keeps its topics, of which the Last Will is one."""
    return (old.id, old.location) == (new.id, new.location)


def _group_names(settings: GatewaySettings) -> list[str]:
    return [
        f"{device.name}/{group.poll.name}"
        for link in settings.links
        for device in link.devices
        for group in device.groups
    ]


def _parts(before: list[str], after: Mapping[str, bool]) -> Parts:
    """`after`: for each name, whether it runs on as it is."""
    known = frozenset(before)
    return Parts(
        added=tuple(name for name in after if name not in known),
        removed=tuple(name for name in before if name not in after),
        restarted=tuple(name for name, stays in after.items() if not stays and name in known),
        untouched=sum(after.values()),
    )


_JOURNAL_KEYS = {
    "deadline_s": "deadline_ms",
    "max_bytes": "max_mb",
    "max_age_s": "max_age_h",
    "memory_values": "memory_values",
    "min_free_bytes": "min_free_mb",
}
"""What of the journal changes while it runs: the field of its settings → the key it is written as."""


def _in_place(old: GatewaySettings, new: GatewaySettings) -> Iterator[str]:
    for name, key in _JOURNAL_KEYS.items():
        if _of(old.journal, name) != _of(new.journal, name):
            yield f"journal.{key}"
    if old.recent_bytes != new.recent_bytes:
        yield "gateway.recent_mb"
    if old.write != new.write:
        yield "write"
    known = {link.name: link for link in old.links}
    for link in new.links:
        was = known.get(link.name)
        if was is not None and was.breaker != link.breaker and same_connection(was, link):
            yield f"link {link.name}: breaker"


def _of(settings: JournalSettings, name: str) -> object:
    return getattr(settings, name)


def _needs_restart(old: GatewaySettings, new: GatewaySettings) -> Iterator[str]:
    for key, now, then in (
        ("gateway.data_dir", old.data_dir, new.data_dir),
        ("gateway.socket", old.socket, new.socket),
        ("gateway.clock", old.clock, new.clock),
        ("journal.path", old.journal.path, new.journal.path),
    ):
        if now != then:
            yield f"{key} stays {now} until the gateway is started again, and is {then} then"
