"""An OPC UA server in a process of its own: asyncua's, with one node for every kind of value, steered over a pipe.

::

    with OpcUaServer() as server:
        ...connect to server.url...
        server.ask("write", node="Speed", value=1500)

Every command is a line of JSON on standard input and answered by one on standard output.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

NAMESPACE = "http://acme.example/line"
HOST = "127.0.0.1"
_START_S = 60.0


class OpcUaServer:
    """The test's side. Use it as a context manager; `stop` and `start` keep the port."""

    def __init__(self, *arguments: str) -> None:
        self._arguments = arguments
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"opc.tcp://{HOST}:{self.port}/line"

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self, *arguments: str) -> OpcUaServer:
        command = [sys.executable, "-m", "tests.support.opcua_server", "--port", str(self.port)]
        self._process = subprocess.Popen(
            [*command, *(arguments or self._arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            cwd=Path(__file__).parents[2],
        )
        self.port = self._answer()["port"]
        return self

    def stop(self) -> None:
        """Orderly, as far as the sockets go: connections end at once."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()

    def ask(self, command: str, **arguments: Any) -> Any:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"command": command, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()["result"]

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the OPC UA server ended by itself"
        body: dict[str, Any] = json.loads(line)
        assert "error" not in body, body["error"]
        return body

    def __enter__(self) -> OpcUaServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class _Process:
    """The server's side."""

    def __init__(self, options: Any) -> None:
        from asyncua import Server

        self.options = options
        self.server = Server()
        self.variables: dict[str, Any] = {}
        self.types: dict[str, Any] = {}
        self.calls = 0
        self.changing: asyncio.Task[None] | None = None

    async def run(self) -> None:
        from asyncua import ua

        server = self.server
        await server.init()
        server.set_endpoint(f"opc.tcp://{HOST}:{self.options.port}/line")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        for number in range(self.options.namespaces_before):
            await server.register_namespace(f"http://acme.example/other{number}")
        self.namespace = await server.register_namespace(NAMESPACE)
        await self._build()
        async with server:
            bound = server.bserver._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
            print(json.dumps({"port": bound}), flush=True)  # noqa: T201
            await self._serve()

    async def _build(self) -> None:
        from asyncua import ua

        self.line = await self.server.nodes.objects.add_object(self.namespace, "Line")
        kind = ua.VariantType
        moment = datetime(2026, 1, 31, 12, 0, 0, 123456, tzinfo=UTC)
        for name, value, variant_type in (
            ("Speed", 1450, kind.UInt16),
            ("Run", True, kind.Boolean),
            ("Level", 100.0, kind.Float),
            ("Name", "Filler", kind.String),
            ("Mode", -2, kind.Int16),
            ("SByte", -128, kind.SByte),
            ("Byte", 255, kind.Byte),
            ("Int32", -(2**31), kind.Int32),
            ("UInt32", 2**32 - 1, kind.UInt32),
            ("Int64", -(2**63), kind.Int64),
            ("UInt64", 2**64 - 1, kind.UInt64),
            ("Double", 0.1, kind.Double),
            ("DateTime", moment, kind.DateTime),
            ("Guid", uuid.UUID("00112233-4455-6677-8899-aabbccddeeff"), kind.Guid),
            ("ByteString", b"\x01\xfe", kind.ByteString),
            ("XmlElement", "<a/>", kind.XmlElement),
            ("NodeId", ua.NodeId("Speed", self.namespace), kind.NodeId),
            ("StatusCode", ua.StatusCode(0x80340000), kind.StatusCode),
            ("QualifiedName", ua.QualifiedName("Q", self.namespace), kind.QualifiedName),
            ("LocalizedText", ua.LocalizedText("Füller", "de"), kind.LocalizedText),
            ("Structure", ua.EUInformation("http://units", 4408652, ua.LocalizedText("C")), kind.ExtensionObject),
            ("Array", [1, -2, 3], kind.Int32),
            ("Empty", [], kind.Int32),
            ("Texts", ["a", "b"], kind.String),
        ):
            await self._add(name, value, variant_type)
        matrix = ua.Variant([[1, 2, 3], [4, 5, 6]], kind.Int32)
        self.variables["Matrix"] = await self.line.add_variable(
            ua.NodeId("Matrix", self.namespace), ua.QualifiedName("Matrix", self.namespace), matrix
        )
        for number in range(self.options.items):
            await self._add(f"Item{number}", 0.0, kind.Double)
        for name in self.options.history.split(",") if self.options.history else ():
            await self.server.historize_node_data_change(self.variables[name])
        await self._add_methods()
        self.events = await self.server.get_event_generator()

    async def _add(self, name: str, value: Any, variant_type: Any) -> None:
        from asyncua import ua

        variable = await self.line.add_variable(
            ua.NodeId(name, self.namespace), ua.QualifiedName(name, self.namespace), value, variant_type
        )
        await variable.set_writable()
        self.variables[name] = variable
        self.types[name] = variant_type

    async def _add_methods(self) -> None:
        from asyncua import ua, uamethod

        @uamethod
        def add(_parent: Any, one: int, other: int) -> int:
            self.calls += 1
            return one + other

        integer = ua.VariantType.Int32
        await self.line.add_method(
            ua.NodeId("Add", self.namespace),
            ua.QualifiedName("Add", self.namespace),
            add,
            [integer, integer],
            [integer],
        )

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            body = json.loads(line)
            command = getattr(self, f"do_{body.pop('command')}")
            try:
                answer = {"result": await command(**body)}
            except Exception as error:  # noqa: BLE001 - told to the test
                answer = {"error": repr(error)}
            print(json.dumps(answer), flush=True)  # noqa: T201

    # -- commands

    async def do_write(
        self, node: str, value: Any, status: int = 0, age_s: float = 0.0, source_us: int | None = None
    ) -> int:
        """Give a node a value; returns its source time in microseconds since 1970."""
        from asyncua import ua

        variable = self.variables[node]
        moment = datetime.now(UTC) - timedelta(seconds=age_s)
        if source_us is not None:
            moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=source_us)
        variant = ua.Variant(value, self.types[node])
        data = ua.DataValue(variant, ua.StatusCode(status), moment, moment)
        await self.server.write_attribute_value(variable.nodeid, data)
        return round(moment.timestamp() * 1e6)

    async def do_write_many(self, node: str, values: Sequence[Any]) -> list[int]:
        """Several values, one after another, with the times they got."""
        return [await self.do_write(node, value) for value in values]

    async def do_read(self, node: str) -> Any:
        return await self.variables[node].read_value()

    async def do_sessions(self) -> int:
        return len(self.server.iserver._external_sessions)

    async def do_subscriptions(self) -> int:
        return len(self.server.iserver.subscription_service.subscriptions)

    async def do_calls(self) -> int:
        return self.calls

    async def do_event(self, message: str, severity: int = 500) -> None:
        self.events.event.Severity = severity
        await self.events.trigger(message=message)

    async def do_drop_items(self) -> int:
        """Make every monitored item deaf, as a faulty server would, and tell nobody."""
        dropped = 0
        for subscription in self.server.iserver.subscription_service.subscriptions.values():
            service = subscription.monitored_item_srv
            for handle in list(service._monitored_datachange):
                service.aspace.delete_datachange_callback(handle)
                dropped += 1
        return dropped

    async def do_stall_subscriptions(self) -> int:
        """Stop every subscription's publishing without ending it or its session."""
        stalled = 0
        for subscription in self.server.iserver.subscription_service.subscriptions.values():
            if subscription._task is not None and subscription.pub_request_callback is not None:
                subscription._task.cancel()
                stalled += 1
        return stalled

    async def do_change(self, interval_s: float) -> None:
        """Give every `Item` a new value each interval, from now on."""
        from asyncua import ua

        nodes = [node for name, node in self.variables.items() if name.startswith("Item")]

        async def change() -> None:
            number = 0.0
            due = time.monotonic()
            while True:
                number += 1.0
                moment = datetime.now(UTC)
                for node in nodes:
                    data = ua.DataValue(ua.Variant(number, ua.VariantType.Double), ua.StatusCode(), moment, moment)
                    await self.server.write_attribute_value(node.nodeid, data)
                due += interval_s
                await asyncio.sleep(max(0.0, due - time.monotonic()))

        self.changing = asyncio.create_task(change())

    async def do_still(self) -> None:
        if self.changing is not None:
            self.changing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.changing


def _main() -> None:
    import argparse
    import logging

    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--namespaces-before", type=int, default=0)
    parser.add_argument("--items", type=int, default=0)
    parser.add_argument("--history", default="")
    asyncio.run(_Process(parser.parse_args()).run())


if __name__ == "__main__":
    _main()
