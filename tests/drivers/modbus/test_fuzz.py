"""Random replies and random registers: nothing but the declared errors, and never for long."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import pytest

from drivers.common.codec import BlockCodec
from drivers.common.words import Encoding
from drivers.modbus import pdu
from drivers.modbus.address import DATA_TABLES
from drivers.modbus.bus import ModbusBus
from drivers.modbus.errors import EchoDiffers, Refused, ReplyTimeout
from drivers.modbus.matrix import CANDIDATES
from drivers.modbus.pdu import Exchange
from gateway.driver import DeviceSilent, LinkDown
from gateway.model import DataType, Value
from tests.drivers.modbus.conftest import Plant
from tests.drivers.modbus.points import group, point
from tests.support import raw_modbus as raw
from tests.support.effort import times
from tests.support.raw_modbus import RawSlave
from tests.support.stopwatch import stopwatch

FRAMES = times(4000)
SLOWEST_S = 0.1


def exchanges(chance: random.Random) -> Exchange:
    address = chance.randrange(60000)
    return chance.choice(
        [
            lambda: pdu.read(chance.choice(DATA_TABLES), address, chance.randrange(1, 126)),
            lambda: pdu.write_coils(address, [True] * chance.randrange(1, 30), multiple=False),
            lambda: pdu.write_registers(address, [7] * chance.randrange(1, 30), multiple=False),
            lambda: pdu.mask_write(address, 0xFFFE, 1),
            lambda: pdu.read_write_registers(address, [7] * chance.randrange(1, 30)),
            lambda: pdu.read_identification(chance.randrange(1, 4), chance.randrange(256)),
            lambda: pdu.report_server_id(),
        ]
    )()


def damaged(chance: random.Random, frame: bytes) -> bytes:
    """The right frame, or something like it."""
    data = bytearray(frame)
    match chance.randrange(8):
        case 0:
            return chance.randbytes(chance.randrange(1, 300))
        case 1:
            del data[chance.randrange(len(data)) :]
        case 2:
            data += chance.randbytes(chance.randrange(1, 20))
        case 3:
            for _ in range(chance.randrange(1, 4)):
                data[chance.randrange(len(data))] = chance.randrange(256)
        case 4:
            data[7:] = chance.randbytes(chance.randrange(1, 254))
            data[4:6] = (len(data) - 6).to_bytes(2, "big")
        case 5:
            data[7:] = bytes((43, 14, data[9] if len(data) > 9 else 1)) + chance.randbytes(chance.randrange(0, 60))
            data[4:6] = (len(data) - 6).to_bytes(2, "big")
        case 6:
            data[7:] = bytes((data[7] | 0x80, chance.randrange(256)))
            data[4:6] = (len(data) - 6).to_bytes(2, "big")
        case _:
            pass
    return bytes(data)


@pytest.mark.timeout(3600)
async def test_no_reply_does_more_than_a_declared_error(plant: Plant, slave: RawSlave) -> None:
    chance = random.Random(20261125)
    slave.unsupported = set()
    slave.objects = {number: chance.randbytes(30) for number in (0, 1, 2, 4, 0x80)}
    slave.server_id = b"a device"

    async def fuzz(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        send(damaged(chance, raw.frame(request.transaction, request.unit, slave.reply(request))))

    slave.always(fuzz)
    await plant.device(slave.port, link={"timeout_ms": 2, "timeouts_before_reconnect": 0})
    bus: ModbusBus[Any] = plant.buses[-1]
    outcomes: dict[str, int] = {}
    with stopwatch() as watch:
        for _ in range(FRAMES // 4):
            exchange = exchanges(chance)
            # A slave that remembers every request costs time of its own in the end.
            slave.requests.clear()
            with watch:
                try:
                    data = await bus.transact(bus.prepare(1, exchange))
                except (ReplyTimeout, Refused, EchoDiffers, LinkDown) as error:
                    outcome = type(error).__name__
                    if isinstance(error, LinkDown):
                        await bus.connect()
                else:
                    outcome = "data"
                    if exchange.function == 43:
                        pdu.identification_page(data)
            outcomes[outcome] = outcomes.get(outcome, 0) + 1
    assert {"data", "LinkDown", "Refused"} <= outcomes.keys(), outcomes
    assert watch.slowest_s < SLOWEST_S


def test_identification_replies_tell_their_size_or_are_refused() -> None:
    """The parser alone, on whatever bytes: it never asks for more than a PDU can have without being found out."""
    chance = random.Random(43)
    with stopwatch() as watch:
        for _ in range(FRAMES):
            reply = bytes((43, 14, 1)) + chance.randbytes(chance.randrange(0, 250))
            exchange = pdu.read_identification(1, 0)
            with watch:
                size = exchange.size_of(reply)
                assert size >= 7
                # What is told from a beginning is never too much.
                assert exchange.size_of(reply[: chance.randrange(len(reply) + 1)]) <= size
                if size == len(reply):
                    page = pdu.identification_page(reply[3:])
                    assert len(page.objects) <= reply[6]
    assert watch.slowest_s < SLOWEST_S


def random_fields(chance: random.Random, registers: int) -> Iterator[tuple[int, Encoding]]:
    for _ in range(chance.randrange(1, 30)):
        _, encoding, _ = chance.choice(CANDIDATES)
        if encoding.registers <= registers:
            yield chance.randrange(registers - encoding.registers + 1), encoding


def test_no_register_contents_do_more_than_a_bad_value() -> None:
    chance = random.Random(7)
    blocks = 0
    with stopwatch() as watch:
        while blocks < FRAMES // 4:
            registers = chance.randrange(8, 125)
            fields = list(random_fields(chance, registers))
            codec = BlockCodec(fields, registers)
            for _ in range(20):
                block = chance.choice([chance.randbytes(2 * registers), bytes(2 * registers), b"\xff" * 2 * registers])
                with watch:
                    values = codec.decode(block)
                blocks += 1
                for position, value in zip(codec.order, values, strict=True):
                    check(fields[position][1], value)
    assert watch.slowest_s < SLOWEST_S


def check(encoding: Encoding, value: Value) -> None:
    if value is None:
        assert encoding.fallible
    elif encoding.type.is_text:
        assert isinstance(value, str)
        assert encoding.type is not DataType.DATETIME or value.endswith("Z")
    else:
        assert isinstance(value, int | float)


async def test_a_reader_that_is_lied_to_stays_in_its_contract(plant: Plant, slave: RawSlave) -> None:
    """The whole driver: plan, learn, identify, over exceptions of every number."""
    chance = random.Random(11)

    async def moody(slave: RawSlave, request: raw.Request, send: raw.Send) -> None:
        await chance.choice([raw.answer, raw.answer, raw.exception(chance.randrange(256)), raw.exception(2)])(
            slave, request, send
        )

    slave.always(moody)
    device = await plant.device(slave.port)
    plan = device.plan(
        group(*(point(f"t{index}", f"hr:{3 * index}") for index in range(40)), point("v", "id:vendor", DataType.STRING))
    )
    for _ in range(max(50, FRAMES // 100)):
        try:
            batch = await device.read(plan)
        except DeviceSilent:
            continue
        for index, value in enumerate(batch.values[:40]):
            assert value in (None, slave.holding[3 * index])
        assert len(batch.values) == len(batch.qualities or batch.values) == 41
