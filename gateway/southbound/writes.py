"""Writes that wait for their turn on a link. Each is sent at most once, and only while somebody waits for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from gateway.driver import (
    DeviceSilent,
    Driver,
    LinkDown,
    NotAsExpected,
    NotWritten,
    Point,
    PollGroup,
    WriteDiffers,
    Writes,
)
from gateway.model import Layout, Tag, Value, is_bad, quality_name
from gateway.pipeline import NotRepresentable, to_published, to_wire
from gateway.settings import TagRules
from gateway.southbound.unit import Circuit, Device

MAX_WAITING = 64


@dataclass(slots=True, eq=False)
class Write:
    """One value on its way to a device."""

    device: Device
    point: Point
    tag: Tag
    rules: TagRules
    wire: Value
    expected: Value
    """As published; None: the device may read anything."""
    done: asyncio.Future[Value]
    sending: Callable[[], None]
    """Called right before it is sent: until then nothing has happened."""
    timer: asyncio.TimerHandle | None = None
    """Ends its waiting."""
    begun: bool = False

    @property
    def doubt(self) -> str:
        """What is known of its outcome while it isn't over."""
        return "the outcome is unknown" if self.begun else "nothing was sent"

    def expire(self) -> None:
        self.fail(
            NotWritten(f"{self.device.name}/{self.point.path}: its time ran out while it waited; nothing was sent")
        )

    async def compare(self, driver: Driver) -> None:
        """Read the device and raise NotWritten unless it reads what is expected. Raises LinkDown or DeviceSilent."""
        where = f"{self.device.name}/{self.point.path}"
        layout = Layout(self.device.name, "write", (), (self.tag,))
        try:
            batch = await driver.read(driver.plan(PollGroup("write", layout, (self.point,), 0.0)))
        except (DeviceSilent, LinkDown) as error:
            raise type(error)(f"{error}; nothing was sent") from None
        now, quality = to_published(self.rules, batch.values[0])
        if batch.qualities is not None and is_bad(batch.qualities[0]):
            quality = batch.qualities[0]
        if is_bad(quality):
            raise NotWritten(f"{where} can't be compared, it is {quality_name(quality)} now; nothing was sent")
        if now != self.expected or isinstance(now, bool) != isinstance(self.expected, bool):
            raise NotAsExpected(f"{where} reads {now!r} now, not {self.expected!r}; nothing was sent")

    def start(self) -> None:
        """It is sent now: from here on its time no longer runs out."""
        if self.timer is not None:
            self.timer.cancel()
        self.begun = True
        self.sending()

    def succeed(self, wire: Value) -> None:
        """`wire` is what the device read back."""
        published, quality = to_published(self.rules, wire)
        if quality:
            self.fail(WriteDiffers(f"{self.point.path} was written; reading it back: {quality_name(quality)}"))
        elif not self.done.done():
            self.done.set_result(published)

    def fail(self, error: Exception) -> None:
        if self.timer is not None:
            self.timer.cancel()
        if not self.done.done():
            self.done.set_exception(error)


class WriteQueue:
    """Those of one link, first come first served."""

    def __init__(self, link: str) -> None:
        self._link = link
        self._waiting: deque[Write] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def put(
        self,
        device: Device,
        path: str,
        value: Value,
        expected: Value,
        expires: float | None,
        sending: Callable[[], None],
        *,
        connected: bool,
    ) -> asyncio.Future[Value]:
        """Raises what :meth:`Supervisor.write` raises; nothing was sent then."""
        point, tag, rules, wire = to_be_written(device, path, value)
        if not connected:
            raise LinkDown(f"link {self._link} is down; nothing was sent")
        if device.circuit is not Circuit.CLOSED or device.driver is None:
            raise DeviceSilent(f"device {device.name} isn't answering; nothing was sent")
        if not isinstance(device.driver, Writes):
            raise NotWritten(f"the driver of {device.name} can't write; nothing was sent")
        if len(self._waiting) >= MAX_WAITING:
            raise NotWritten(f"{MAX_WAITING} writes are waiting on link {self._link}; nothing was sent")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Value] = loop.create_future()
        write = Write(device, point, tag, rules, wire, expected, done, sending)
        if expires is not None:
            write.timer = loop.call_at(expires, write.expire)
        self._waiting.append(write)
        return done

    def take(self) -> tuple[Write, Writes] | None:
        """The next one with the driver to send it, or None if nobody waits for it or it can't be sent any more."""
        write = self._waiting.popleft()
        driver: object = write.device.driver
        if write.done.done():
            if write.timer is not None:
                write.timer.cancel()
            return None
        if write.device.circuit is not Circuit.CLOSED or not isinstance(driver, Writes):
            write.fail(DeviceSilent(f"device {write.device.name} stopped answering; nothing was sent"))
            return None
        return write, driver

    def fail_all(self, sentence: str) -> None:
        while self._waiting:
            self._waiting.popleft().fail(LinkDown(f"link {self._link}{sentence}; nothing was sent"))


def to_be_written(device: Device, path: str, value: Value) -> tuple[Point, Tag, TagRules, Value]:
    """Where a published value is to be written, under which rules, and as what. Raises KeyError or NotWritten."""
    point, tag, rules = _writable(device, path)
    try:
        return point, tag, rules, to_wire(rules, value)
    except NotRepresentable as error:
        raise NotWritten(f"{device.name}/{path}: {error}; nothing was sent") from None


def _writable(device: Device, path: str) -> tuple[Point, Tag, TagRules]:
    for settings in device.settings.groups:
        for point, tag, rules in zip(settings.poll.points, settings.poll.layout.tags, settings.rules, strict=True):
            if tag.path == path:
                if not tag.writable:
                    raise NotWritten(f"{device.name}/{path} isn't declared writable; nothing was sent")
                return point, tag, rules
    raise KeyError(path)
