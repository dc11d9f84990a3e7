"""The suite's own example of a device that only talks: one JSON object a line over TCP, whether or not anybody asks.

It proves that a driver without a single request can pass the suite, and shows the author of one how.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field

from gateway.driver import DeviceSilent, DriverKind, LinkDown, Point, PointError, PollGroup, Receiver
from gateway.model import Batch, DataType, Quality, Value
from tests.conformance.adapters.adapter import TIMEOUT_S

PAUSE_S = TIMEOUT_S / 10


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _LinkOptions(_Options):
    port: int = Field(description="TCP port on 127.0.0.1.")
    timeout_s: float = Field(description="How long to wait for the next line.")


class _TagOptions(_Options):
    key: str = Field(description="Key in the object.")


@dataclass(frozen=True)
class _Plan:
    group: PollGroup
    errors: Sequence[PointError]

    @property
    def asks(self) -> bool:
        return len(self.errors) < len(self.group.points)

    def describe(self) -> Sequence[str]:
        return ["wait for the next line"] if self.asks else []

    def batch(self, body: dict[str, Value]) -> Batch:
        wrong = {error.path for error in self.errors}
        values, codes = [], []
        for point in self.group.points:
            key = point.options.key
            good = key in body and point.path not in wrong
            values.append(body[key] if good else None)
            codes.append(0 if good else _code(point.path in wrong))
        mono_ns = time.monotonic_ns()
        return Batch(self.group.layout, time.time_ns(), mono_ns, values, codes if any(codes) else None)


def _code(impossible: bool) -> int:
    return int(Quality.BAD_CONFIGURATION_ERROR if impossible else Quality.BAD_NODE_ID_UNKNOWN)


class TalkerBus:
    def __init__(self, options: _LinkOptions) -> None:
        self.options = options
        self.subscriptions: dict[tuple[str, str], tuple[_Plan, Receiver]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._listening: asyncio.Task[None] | None = None
        self._waiting: asyncio.Future[dict[str, Value]] | None = None

    async def connect(self) -> None:
        await self.close()
        peer = f"127.0.0.1:{self.options.port}"
        try:
            async with asyncio.timeout(self.options.timeout_s):
                reader, self._writer = await asyncio.open_connection("127.0.0.1", self.options.port)
        except (OSError, TimeoutError) as error:
            raise LinkDown(f"can't reach {peer}: {error}") from None
        self._listening = asyncio.create_task(self._listen(reader))

    async def close(self) -> None:
        self.subscriptions.clear()
        self._fail()
        listening, self._listening = self._listening, None
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        if listening is not None:
            listening.cancel()
            await asyncio.wait([listening])
        if writer is not None:
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def require_connection(self) -> None:
        if self._listening is None or self._listening.done():
            raise LinkDown("there is no connection")

    async def next_line(self) -> dict[str, Value]:
        self.require_connection()
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self.options.timeout_s):
                return await self._waiting
        except TimeoutError:
            raise DeviceSilent(f"no line within {self.options.timeout_s} s") from None
        finally:
            self._waiting = None

    def _fail(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(LinkDown("the peer closed the connection"))

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while line := await reader.readline():
                body = json.loads(line)
                if self._waiting is not None and not self._waiting.done():
                    self._waiting.set_result(body)
                for plan, receiver in [*self.subscriptions.values()]:
                    receiver.take(plan.batch(body))
        self._fail()
        for _, receiver in [*self.subscriptions.values()]:
            receiver.down("the peer closed the connection")


class TalkerDriver:
    def __init__(self, bus: TalkerBus, name: str) -> None:
        self._bus = bus
        self._name = name
        self._subscribed: dict[str, Receiver] = {}

    def plan(self, group: PollGroup) -> _Plan:
        return _Plan(
            group, [PointError(each.path, "the key is empty") for each in group.points if not each.options.key]
        )

    async def read(self, plan: _Plan) -> Batch:
        return plan.batch(await self._bus.next_line() if plan.asks else {})

    async def subscribe(self, plan: _Plan, receiver: Receiver) -> None:
        self._bus.require_connection()
        self._bus.subscriptions[self._name, plan.group.name] = plan, receiver
        wrong = {error.path for error in plan.errors}
        columns = [column for column, point in enumerate(plan.group.points) if point.path in wrong]
        if columns:
            whole = plan.batch({})
            codes = [_code(impossible=True)] * len(columns)
            receiver.take(Batch(whole.layout, whole.read_ns, whole.mono_ns, [None] * len(columns), codes, columns))
        self._subscribed[plan.group.name] = receiver

    async def release(self, group: str | None) -> None:
        for name in [*self._subscribed] if group is None else [group]:
            receiver = self._subscribed.pop(name, None)
            if (held := self._bus.subscriptions.get((self._name, name))) is not None and held[1] is receiver:
                del self._bus.subscriptions[self._name, name]


TALKER = DriverKind(
    name="talker",
    summary="A device that says one JSON object a line.",
    link_options=_LinkOptions,
    device_options=_Options,
    tag_options=_TagOptions,
    open_bus=lambda name, options, site: TalkerBus(options),
    open_device=lambda bus, name, options: TalkerDriver(cast(TalkerBus, bus), name),
    address_key="key",
    describe_link=lambda options: f"127.0.0.1:{options.port}",
    subscribes=True,
)


class TalkerAdapter:
    kind = TALKER
    timeout_s = TIMEOUT_S
    silence_is_loss = False  # a device that only talks may have nothing to say
    connects_slowly = False

    def __init__(self) -> None:
        self._body: dict[str, Value] = {"speed": 1450, "run": True, "name": "Filler"}
        self.points = (_point("speed", DataType.UINT16), _point("run", DataType.BOOL), _point("name", DataType.STRING))
        self.impossible = Point("wrong", DataType.BOOL, _TagOptions(key=""))
        self.missing = _point("absent", DataType.UINT16)
        self._quiet = False
        self._port = 0
        self._server: asyncio.Server | None = None
        self._talks: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def values(self) -> Sequence[Value]:
        return tuple(self._body.values())

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self._port, reuse_address=True)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self.disconnect()

    def link_options(self) -> Any:
        return _LinkOptions(port=self._port, timeout_s=self.timeout_s)

    def device_options(self) -> Any:
        return _Options()

    def silence(self) -> None:
        self._quiet = True

    def speak(self) -> None:
        self._quiet = False

    async def change(self) -> tuple[int, Value]:
        speed = cast(int, self._body["speed"]) + 1
        self._body["speed"] = speed
        return 0, speed

    async def disconnect(self) -> None:
        talks = [*self._talks]
        for talk in talks:
            talk.cancel()
        if talks:
            await asyncio.wait(talks)

    def _accept(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._talk(writer))
        self._talks[talk] = writer
        talk.add_done_callback(self._talks.pop)

    async def _talk(self, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                if not self._quiet:
                    writer.write(json.dumps(self._body).encode() + b"\n")
                    await writer.drain()
                await asyncio.sleep(PAUSE_S)
        except OSError:
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


def _point(key: str, type_: DataType) -> Point:
    return Point(key, type_, _TagOptions(key=key))
