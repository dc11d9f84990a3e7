"""What asyncua does by itself, shown with asyncua, and what the driver does instead."""

from __future__ import annotations

import asyncio
import inspect
import struct
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.client.client import Client
from asyncua.client.ua_client import UASocketProtocol
from asyncua.common.subscription import Subscription
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, variant_from_binary

from drivers.opcua.binary import Malformed, Reader
from drivers.opcua.channel import Channel
from drivers.opcua.conversation import CHUNK_BYTES
from drivers.opcua.session import SESSION_MARGIN_S
from drivers.opcua.values import ticks_to_text
from gateway.model import DataType
from tests.drivers.opcua import tables
from tests.drivers.opcua.rig import connected, point
from tests.support import raw_opcua as raw
from tests.support.opcua_server import OpcUaServer
from tests.support.stopwatch import stopwatch


def test_the_tables_are_those_of_the_standard_as_asyncua_knows_them() -> None:
    assert (tables.FOLDER / "status_texts.tsv").read_text() == tables.status_texts()
    assert (tables.FOLDER / "standard_structures.json").read_bytes() == tables.standard_structures()


def test_five_bytes_cost_asyncua_a_list_as_long_as_they_say() -> None:
    bomb = b"\x80" + struct.pack("<i", 200_000)  # 100 million in earnest: 11 s and 900 MB
    assert len(variant_from_binary(Buffer(bomb)).Value) == 200_000
    with stopwatch() as watch, watch, pytest.raises(Malformed):
        Reader(b"\x80" + struct.pack("<i", 100_000_000)).variant()
    assert watch.slowest_s < 0.05


def test_asyncua_takes_an_additional_header_apart_before_anything_is_proved() -> None:
    """What this driver makes of it is in test_hostile.py."""
    pair = b"\x00\x00" + raw.string("key") + b"\x80" + struct.pack("<i", 200_000)
    extra = b"\x01\x00" + struct.pack("<H", 14846) + b"\x01" + raw.string(pair)
    message = raw.response(raw.OPEN, raw.header(1, extra=extra), raw.opened())
    response = struct_from_binary(ua.OpenSecureChannelResponse, Buffer(message))
    assert len(response.ResponseHeader.AdditionalHeader.Value.Value) == 200_000


def test_asyncua_cuts_times_to_the_microsecond() -> None:
    ticks = 116_444_736_000_000_009
    moment = variant_from_binary(Buffer(b"\x0d" + struct.pack("<q", ticks))).Value
    assert moment == datetime(1970, 1, 1, tzinfo=UTC)
    assert ticks_to_text(ticks) == "1970-01-01T00:00:00.0000009Z"


async def test_asyncua_gathers_whatever_a_chunk_announces() -> None:
    announced = b"MSGF" + struct.pack("<I", 2**31 - 1) + bytes(100)
    stock = UASocketProtocol()
    for _ in range(100):
        stock.data_received(announced if stock.receive_buffer is None else bytes(1000))
    assert len(stock.receive_buffer or b"") > CHUNK_BYTES
    reasons: list[str] = []
    ours = Channel(1.0, None, 1 << 20, reasons.append)
    ours.data_received(announced)
    assert len(ours._pending) == 0
    assert "isn't OPC UA" in ours.why


async def test_asyncua_asks_for_sessions_of_an_hour() -> None:
    assert Client("opc.tcp://127.0.0.1").session_timeout == 3_600_000
    assert SESSION_MARGIN_S < 60


def test_asyncua_queues_one_value_unless_told() -> None:
    assert inspect.signature(Subscription.subscribe_data_change).parameters["queuesize"].default == 0


@pytest.mark.integration
async def test_a_stalled_client_loses_values_with_asyncuas_queue_and_none_with_ours(server: OpcUaServer) -> None:
    seen: list[int] = []
    last = asyncio.Event()

    class Handler:
        def datachange_notification(self, _node: object, value: int, _data: object) -> None:
            seen.append(value)
            if value == 1049:
                last.set()

    async with Client(server.url) as client:
        subscription = await client.create_subscription(500, Handler())
        await subscription.subscribe_data_change(client.get_node("ns=2;s=Mode"), queuesize=1)
        async with connected(server.url, {"publishing_ms": 500}) as rig:
            ear = await rig.listen(rig.plan(point("Mode", DataType.INT16)))
            await ear.until(lambda: ear.of(0))
            server.ask("write_many", node="Mode", values=list(range(1000, 1050)))
            await ear.until(lambda: ear.values()[-1] == 1049)
            async with asyncio.timeout(10):
                await last.wait()
    assert ear.values()[-50:] == list(range(1000, 1050))
    assert len([value for value in seen if value >= 1000]) < 50


def test_asyncua_raises_more_than_its_own_errors() -> None:
    with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is the point
        variant_from_binary(Buffer(b"\x98\x01\x00\x00\x00" * 5000 + b"\x01\x01"))
    assert not isinstance(caught.value, ua.uaerrors.UaError)
    with pytest.raises(Malformed):
        Reader(b"\x98\x01\x00\x00\x00" * 5000 + b"\x01\x01").variant()
