"""Writes that wait for their turn on a link. Each is sent at most once, and only while somebody waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

from gateway.driver import DeviceSilent, LinkDown, Point, WriteFailed, Writes
from gateway.model import Value, quality_name
from gateway.pipeline import NotRepresentable, to_published, to_wire
from gateway.settings import TagRules
from gateway.southbound.unit import Circuit, Device

MAX_WAITING = 64


@dataclass(slots=True, eq=False)
class Write:
    """One value on its way to a device."""

    device: Device
    point: Point
    rules: TagRules
    wire: Value
    done: asyncio.Future[Value]

    def succeed(self, wire: Value) -> None:
        """`wire` is what the device read back."""
        published, quality = to_published(self.rules, wire)
        if quality:
            self.fail(WriteFailed(f"{self.point.path} was written; reading it back: {quality_name(quality)}"))
        elif not self.done.done():
            self.done.set_result(published)

    def fail(self, error: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(error)


class WriteQueue:
    """Those of one link, first come first served."""

    def __init__(self, link: str) -> None:
        self._link = link
        self._waiting: deque[Write] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(self, device: Device, path: str, value: Value, *, connected: bool) -> asyncio.Future[Value]:
        """Raises what :meth:`Supervisor.write` raises; nothing was sent then."""
        point, rules = _writable(device, path)
        try:
            wire = to_wire(rules, value)
        except NotRepresentable as error:
            raise WriteFailed(f"{device.name}/{path}: {error}; nothing was sent") from None
        if not connected:
            raise LinkDown(f"link {self._link} is down; nothing was sent")
        if device.circuit is not Circuit.CLOSED or device.driver is None:
            raise DeviceSilent(f"device {device.name} isn't answering; nothing was sent")
        if not isinstance(device.driver, Writes):
            raise WriteFailed(f"the driver of {device.name} can't write")
        if len(self._waiting) >= MAX_WAITING:
            raise WriteFailed(f"{MAX_WAITING} writes are waiting on link {self._link}; nothing was sent")
        done: asyncio.Future[Value] = asyncio.get_running_loop().create_future()
        self._waiting.append(Write(device, point, rules, wire, done))
        return done

    def take(self) -> tuple[Write, Writes] | None:
        """The next one with the driver to send it, or None if nobody waits for it or it can't be sent any more."""
        write = self._waiting.popleft()
        driver: object = write.device.driver
        if write.done.done():
            return None
        if write.device.circuit is not Circuit.CLOSED or not isinstance(driver, Writes):
            write.fail(DeviceSilent(f"device {write.device.name} stopped answering; nothing was sent"))
            return None
        return write, driver

    def fail_all(self, sentence: str) -> None:
        while self._waiting:
            self._waiting.popleft().fail(LinkDown(f"link {self._link}{sentence}; nothing was sent"))


def _writable(device: Device, path: str) -> tuple[Point, TagRules]:
    for settings in device.settings.groups:
        for point, tag, rules in zip(settings.poll.points, settings.poll.layout.tags, settings.rules, strict=True):
            if tag.path == path:
                if not tag.writable:
                    raise WriteFailed(f"{device.name}/{path} isn't declared writable; nothing was sent")
                return point, rules
    raise KeyError(path)
