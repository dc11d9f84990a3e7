"""An OPC UA server with items that all change every interval: asyncua's, driven through `bench.control`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from asyncua import ua
from asyncua.server.server import Server

from bench.control import Message, serve
from bench.subscribed import NAMESPACE


async def _main(items: int, interval_s: float) -> None:
    server = Server()
    await server.init()
    server.set_endpoint("opc.tcp://127.0.0.1:0/bench")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    namespace = await server.register_namespace(NAMESPACE)
    folder = await server.nodes.objects.add_object(namespace, "Items")
    nodes = []
    for number in range(items):
        node_id = ua.NodeId.from_string(f"ns={namespace};s=Item{number}")
        nodes.append(await folder.add_variable(node_id, f"{namespace}:Item{number}", 0.0, ua.VariantType.Double))
    changes = 0

    async def change() -> None:
        nonlocal changes
        due = time.monotonic()
        while True:
            changes += 1
            moment = datetime.now(UTC)
            for node in nodes:
                value = ua.Variant(float(changes), ua.VariantType.Double)
                data = ua.DataValue(value, ua.StatusCode(), moment, moment)  # type: ignore[arg-type]
                await server.write_attribute_value(node.nodeid, data)
            due += interval_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    def counts(_: Message) -> Mapping[str, Any]:
        return {"changes": changes}

    async with server:
        port = server.bserver._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        changing = asyncio.create_task(change())
        await serve({"counts": counts}, {"port": port})
        changing.cancel()


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--interval-ms", type=int, required=True)
    options = parser.parse_args()
    asyncio.run(_main(options.items, options.interval_ms / 1000))
