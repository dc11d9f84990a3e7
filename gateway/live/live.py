"""The data plane's memory of values. Fed by it, asked by the control API, both on the event loop."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from gateway.live.budget import rows_of
from gateway.live.current import Current
from gateway.live.directory import Directory, Group
from gateway.live.track import Track
from gateway.model import Batch, Layout, Record, Value
from gateway.settings import GatewaySettings, GroupSettings

log = logging.getLogger(__name__)

FAST_S = 1.0
"""A group read more often than this keeps the least and the greatest value of each row."""


class Live:
    """The latest value of every tag, and recent ones within a budget of memory."""

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        wall_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.generation = 0
        """Grows when the configuration changes: what was said about tags before holds no more."""
        self.wall_ns = wall_ns
        self.mono_ns = mono_ns
        self._groups: dict[str, Current] = {}
        self._flawed = False
        self.configure(settings)

    def configure(self, settings: GatewaySettings) -> None:
        """Take up another configuration. Groups that are the same in both keep their values."""
        groups = [
            (link, device, group) for link in settings.links for device in link.devices for group in device.groups
        ]
        before, self._groups = self._groups, {}
        rows = rows_of([group for _, _, group in groups], settings.recent_bytes)
        for (_, _, group), count in zip(groups, rows, strict=True):
            layout = group.poll.layout
            current = before.get(layout.digest)
            if current is None or current.fast != is_fast(group):
                current = Current(layout, fast=is_fast(group))
            longer = None if current.coarse is None else current.coarse.track
            current.keep(
                _track(layout, current.track, count.fine, ranged=current.fast),
                _track(layout, longer, count.coarse, ranged=True),
            )
            self._groups[layout.digest] = current
        self.directory = Directory(
            [
                Group(index, link, device, group, self._groups[group.poll.layout.digest])
                for index, (link, device, group) in enumerate(groups)
            ],
            settings.sinks,
        )
        self.generation += 1

    def take(self, batch: Batch, values: Sequence[Value], qualities: Sequence[int] | None) -> None:
        """A batch with its values as they are published, before anything is held back by a report filter.

        One of a group that is just being taken out is nobody's any more.
        """
        current = self._groups.get(batch.layout.digest)
        if current is None:
            return
        try:
            current.take(batch, values, qualities)
        except Exception:
            # What is only looked at must never stop what is collected.
            if not self._flawed:
                self._flawed = True
                log.exception("the live values of %s can't be kept", batch.layout.source)

    def reported(self, record: Record) -> None:
        """What the journal took of a group last: what sinks publish."""
        if (current := self._groups.get(record.batch.layout.digest)) is not None and not record.batch.history:
            current.reported(record)


def is_fast(group: GroupSettings) -> bool:
    return group.poll.subscribed or group.poll.interval_s < FAST_S


def _track(layout: Layout, old: Track | None, rows: int, *, ranged: bool) -> Track | None:
    """A track of so many rows with what the old one holds."""
    if old is not None and old.rows == rows:
        return old
    if not rows:
        return None
    new = Track(layout, rows, ranged=ranged)
    if old is not None:
        new.carry(old)
    return new
