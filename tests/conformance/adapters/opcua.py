"""OPC UA, against asyncua's server in a process of its own, behind a proxy that can stall and break."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Sequence
from typing import Any

from drivers.opcua import KIND as OPCUA
from gateway.driver import Point
from gateway.model import DataType, Value
from tests.support.opcua_server import HOST, NAMESPACE, OpcUaServer
from tests.support.opcua_tap import Tap
from tests.support.proxy import Proxy


@functools.cache
def _server() -> OpcUaServer:
    """One for all tests: it takes seconds to start."""
    server = OpcUaServer().start()
    atexit.register(server.stop)
    return server


def _node(name: str) -> Any:
    return OPCUA.tag_options(node=f"nsu={NAMESPACE};s={name}")


class OpcUaAdapter:
    kind = OPCUA
    timeout_s = 0.4
    silence_is_loss = True
    connects_slowly = True  # a channel, a session and what the server must be asked about itself
    requests_per_read = 3

    def __init__(self) -> None:
        self.points = (
            Point("speed", DataType.UINT16, _node("Speed")),
            Point("run", DataType.BOOL, _node("Run")),
            Point("level", DataType.FLOAT32, _node("Level")),
            Point("name", DataType.STRING, _node("Name")),
            Point("mode", DataType.INT16, _node("Mode")),
        )
        self._values: list[Value] = [1450, True, 100.0, "Filler", -2]
        self.impossible = Point("wrong", DataType.FLOAT16, _node("Level"))
        self.missing = Point("absent", DataType.UINT16, _node("Absent"))
        self.writable = self.points[0]
        self.written = 900
        self._tap = Tap()
        server = _server()
        server.ask("write", node="Speed", value=1450)
        self._proxy = Proxy(HOST, server.port, self._tap.connection)

    @property
    def values(self) -> Sequence[Value]:
        return tuple(self._values)

    async def start(self) -> None:
        self.speak()
        await self._proxy.__aenter__()

    async def stop(self) -> None:
        await self._proxy.__aexit__(None, None, None)

    def link_options(self) -> Any:
        return OPCUA.link_options(
            url=f"opc.tcp://{HOST}:{self._proxy.port}/line",
            security_policy="None",
            timeout_ms=int(1000 * self.timeout_s),
            connect_timeout_ms=2000,
            max_nodes_per_read=2,
        )

    def device_options(self) -> Any:
        return OPCUA.device_options(publishing_ms=50)

    def silence(self) -> None:
        self._proxy.freeze()

    def slow_down(self, delay_s: float) -> None:
        self._proxy.delay(delay_s / 2)  # there and back

    def speak(self) -> None:
        self._proxy.delay(0.0)
        self._proxy.thaw()

    async def disconnect(self) -> None:
        await self._proxy.reset()

    async def asked(self, count: int) -> None:
        await self._tap.asked(count)

    def requests(self) -> int:
        return self._tap.requests

    async def change(self) -> tuple[int, Value]:
        speed = self._values[0]
        assert isinstance(speed, int)
        self._values[0] = speed + 1
        _server().ask("write", node="Speed", value=speed + 1)
        return 0, speed + 1
