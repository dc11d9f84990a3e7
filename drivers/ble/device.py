"""One Bluetooth LE device: listened to, read, written and browsed."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from itertools import chain

from drivers.ble.bus import BleBus
from drivers.ble.gatt.browsing import browse
from drivers.ble.gatt.connection import Connection
from drivers.ble.gatt.errors import NoAnswer, NotThere, Refused
from drivers.ble.gatt.reading import Reader
from drivers.ble.hearing import COMMON, Hearing
from drivers.ble.identity import identify
from drivers.ble.options import DeviceOptions, TagOptions
from drivers.ble.plan import BlePlan, Request, Target, codec_of, plan
from drivers.ble.subscription import Subscription
from gateway.driver import DeviceSilent, Item, LinkDown, NotWritten, Plan, Point, PollGroup, Receiver, WriteDiffers
from gateway.model import Batch, Quality, Value

_log = logging.getLogger(__name__)


class BleDevice:
    """Implements Driver, Subscribes, Releases, Writes, Browses and Identifies of :mod:`gateway.driver`."""

    def __init__(self, bus: BleBus, name: str, options: DeviceOptions) -> None:
        self._bus = bus
        self._name = name
        self._options = options
        self._hearing = Hearing(name, options, bus.counters)
        self._connection = Connection(bus, self._hearing, options)
        self._reader = Reader(name, self._connection)
        bus.attach(name, self._hearing, self._connection.drop)

    def plan(self, group: PollGroup) -> BlePlan:
        return plan(group, self._options)

    # -- reading

    async def read(self, plan: Plan) -> Batch:
        """See :meth:`gateway.driver.Driver.read`. Adverts heard within the advert timeout are taken as they are."""
        assert isinstance(plan, BlePlan)
        self._bus.require_open()
        values: list[Value] = [None] * len(plan.group.points)
        codes = list(plan.base_qualities)
        for column in chain.from_iterable(plan.events.values()):
            codes[column] = int(Quality.BAD_WAITING_FOR_INITIAL_DATA)  # nothing is current about an event

        def take(request: Request, found: Sequence[Value], qualities: Sequence[int]) -> None:
            for column, value, code in zip(request.columns, found, qualities, strict=True):
                values[column], codes[column] = value, code

        silent: DeviceSilent | None = None
        if plan.requests:
            try:
                await self._reader.read(plan.requests, take)
            except DeviceSilent as error:
                if not plan.fields:
                    raise
                silent = error
                for request in plan.requests:
                    none = [None] * len(request.columns)
                    take(request, none, [int(Quality.BAD_TIMEOUT)] * len(none))
        if plan.fields or plan.events:
            await self._listen(plan, values, codes, alone=silent is not None or not plan.requests)
        return Batch(plan.group.layout, time.time_ns(), time.monotonic_ns(), values, codes if any(codes) else None)

    async def _listen(self, plan: BlePlan, values: list[Value], codes: list[int], *, alone: bool) -> None:
        timeout_s = self._options.advert_timeout_ms / 1000
        wanted = frozenset(plan.fields) or frozenset({"last_seen"})
        missing = Quality.BAD_NO_COMMUNICATION
        if not self._hearing.prepare():
            wanted, missing = wanted & COMMON.keys(), Quality.BAD_CONFIGURATION_ERROR
        try:
            heard = await self._bus.bounded(self._hearing.fresh(wanted), timeout_s + 1)
        except DeviceSilent:
            if alone:
                raise
            heard = {}
        if self._hearing.doubted:
            missing = Quality.BAD_DECODING_ERROR
        for name, columns in plan.fields.items():
            if name in heard:
                value = heard[name]
                code = int(Quality.BAD_SENSOR_FAILURE) if value is None else 0
            else:
                value, code = None, int(Quality.BAD_NO_COMMUNICATION if name in COMMON else missing)
            for column in columns:
                values[column], codes[column] = value, code

    # -- subscribing

    async def subscribe(self, plan: Plan, receiver: Receiver) -> None:
        """See :meth:`gateway.driver.Subscribes.subscribe`. Never waits for the device."""
        assert isinstance(plan, BlePlan)
        self._bus.require_open()
        key = self._name, plan.group.name
        former = self._bus.subscriptions.get(key)
        if former is not None:
            former.end()
        self._hearing.prepare()
        subscription = self._bus.subscriptions[key] = Subscription(
            plan, receiver, self._bus, self._hearing, self._connection, self._reader
        )
        subscription.begin()

    async def release(self, group: str | None) -> None:
        """See :meth:`gateway.driver.Releases.release`. The connection goes with the device."""
        subscriptions = self._bus.subscriptions
        for key, subscription in [*subscriptions.items()]:
            if subscription.belongs_to(self._hearing) and group in (None, key[1]):
                del subscriptions[key]
                subscription.end()
        if group is None:
            self._bus.detach(self._name, self._hearing)

    # -- writing

    async def write(self, point: Point, value: Value) -> Value:
        """See :meth:`gateway.driver.Writes.write`."""
        tag = point.options
        assert isinstance(tag, TagOptions)
        if tag.characteristic is None:
            raise NotWritten(f"{point.path} can't be written: it is a field of an advert")
        try:
            codec = codec_of(point)
            wanted = codec.encode(value)
        except ValueError as error:
            raise NotWritten(f"{point.path} can't be written: {error}") from None
        target = Target(tag.characteristic, tag.service)
        try:
            async with self._connection.use():
                properties = self._writable(target)
                await self._send(point, target, wanted)
                if "read" not in properties:
                    raise WriteDiffers(f"{point.path} was written, but the device lets nobody read it back")
                return await self._read_back(point, target, wanted)
        except NotThere as error:
            raise NotWritten(f"{point.path} can't be written: {error}") from None

    def _writable(self, target: Target) -> Sequence[str]:
        properties = self._connection.find(target).properties
        if not {"write", "write-without-response"} & set(properties):
            raise NotThere(f"{target} is read-only")
        return properties

    async def _send(self, point: Point, target: Target, wanted: bytes) -> None:
        unknown = f"whether {point.path} was written is unknown"
        try:
            await self._connection.write(target, wanted)
        except (NoAnswer, DeviceSilent) as error:
            raise DeviceSilent(f"{error}; {unknown}") from None
        except Refused as error:
            raise NotWritten(f"{point.path} can't be written: {error}") from None
        except LinkDown as error:
            raise LinkDown(f"{error}; {unknown}") from None

    async def _read_back(self, point: Point, target: Target, wanted: bytes) -> Value:
        try:
            data = await self._connection.read(target)
        except (NoAnswer, DeviceSilent) as error:
            raise DeviceSilent(f"{error}; {point.path} was written, what it is now is unknown") from None
        except Refused as error:
            raise WriteDiffers(f"{point.path} was written but can't be read back: {error}") from None
        except LinkDown as error:
            raise LinkDown(f"{error}; {point.path} was written, what it is now is unknown") from None
        for (device, _), subscription in self._bus.subscriptions.items():
            if device == self._name:
                subscription.written(target, data)
        if data != wanted:
            raise WriteDiffers(f"{point.path} was written as {wanted.hex()} but reads {data.hex()} now")
        return codec_of(point).decode(data)

    # -- browsing

    def browse(self, start: str | None, depth: int | None) -> AsyncIterator[Item]:
        """See :meth:`gateway.driver.Browses.browse`: services, and in them characteristics with what they read now."""
        return browse(self._connection, start, depth)

    async def identify(self) -> Mapping[str, str]:
        """See :meth:`gateway.driver.Identifies.identify`."""
        return await identify(self._bus, self._hearing, self._connection, self._options)
