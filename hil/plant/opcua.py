"""A machine's OPC UA server: one folder of variables that follow the machine. Anonymous and unsecured."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from asyncua import Server, ua
from asyncua.server.address_space import NodeData

from hil.free_port import free_port
from hil.plant.registers import DeviceMap, Row, assign, getter, resolve

NAMESPACE = "urn:tidewater:bottling"
# It warns of every start that nothing is secured, which here is so on purpose.
logging.getLogger("asyncua").setLevel(logging.ERROR)

_TYPES = {
    "bool": ua.VariantType.Boolean,
    "uint16": ua.VariantType.UInt16,
    "uint32": ua.VariantType.UInt32,
    "float32": ua.VariantType.Float,
    "float64": ua.VariantType.Double,
    "string": ua.VariantType.String,
}


class OpcUaServer:
    """``async with`` starts it; `port` is where it listens."""

    def __init__(self, device: DeviceMap, process: Any, host: str, port: int) -> None:
        """`port` 0 takes any free one."""
        self._device = device
        self._machine = resolve(process, device.machine)
        self._host = host
        self.port = port
        self._server = Server()
        self._feeds: list[tuple[Row, ua.NodeId, Callable[[], Any]]] = []
        self._shown: list[Any] = []

    async def __aenter__(self) -> OpcUaServer:
        """Raises OSError if the port can't be had."""
        # The server tells its clients where it is, so it must know before it listens.
        self.port = self.port or free_port(self._host)
        server = self._server
        await server.init()
        server.set_endpoint(f"opc.tcp://{self._host}:{self.port}/")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        index = await server.register_namespace(NAMESPACE)
        folder = await server.nodes.objects.add_object(_node_id(self._device.name, index), self._device.name)
        for row in self._device.rows:
            get = getter(self._machine, row.source)
            node = await folder.add_variable(_node_id(row.address, index), row.address, _variant(row, get()))
            if row.writable:
                await node.set_writable()
                write = self._setter(row)
                # asyncua calls it with the value, too, whatever its annotation says.
                server.iserver.aspace.set_attribute_value_setter(node.nodeid, ua.AttributeIds.Value, write)  # type: ignore[arg-type]
            self._feeds.append((row, node.nodeid, get))
        self._shown = [None] * len(self._feeds)
        await self.refresh()
        await server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop()

    async def refresh(self) -> None:
        """Take over the machine's present state: what has changed is written, and so reaches the subscribers."""
        for at, (row, node, get) in enumerate(self._feeds):
            value = get()
            if value != self._shown[at]:
                self._shown[at] = list(value) if isinstance(value, list) else value
                await self._server.write_attribute_value(node, ua.DataValue(_variant(row, value)))

    def _setter(self, row: Row) -> Callable[[NodeData, ua.AttributeIds, ua.DataValue], None]:
        """What a write does: from a client or from `refresh`, the machine has the value and the node shows it."""

        def write(node: NodeData, attribute: ua.AttributeIds, value: ua.DataValue) -> None:
            assert value.Value is not None
            assign(self._machine, row.source, value.Value.Value)
            node.attributes[attribute].value = value

        return write


def _node_id(name: str, index: int) -> ua.NodeId:
    return ua.NodeId(ua.String(name), ua.Int16(index))


def _variant(row: Row, value: Any) -> ua.Variant:
    return ua.Variant(list(value) if row.count is not None else value, _TYPES[row.type])
