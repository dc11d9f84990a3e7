"""Anything may come in from a wire: nothing but the declared errors, nothing slow, and no value that wasn't sent."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from drivers.modbus import KIND, pdu
from drivers.modbus.address import Table
from drivers.modbus.errors import EchoDiffers, Refused, ReplyTimeout
from drivers.modbus.pdu import Exchange
from drivers.modbus.transport.conversation import BusState, Conversation
from drivers.modbus.transport.numbered import DatagramConversation
from drivers.modbus.transport.speech import speech_of
from gateway.driver import LinkDown
from tests.support import raw_line, raw_modbus
from tests.support.effort import times
from tests.support.stopwatch import stopwatch

FRAMES = times(200_000)
LIMIT_S = 0.1
UNIT = 17
DECLARED = (ReplyTimeout, Refused, EchoDiffers, LinkDown)

EXCHANGES: tuple[tuple[Exchange, bytes], ...] = (
    (pdu.read(Table.HOLDING_REGISTERS, 100, 10), bytes((3, 20)) + bytes(range(20))),
    (pdu.read(Table.INPUT_REGISTERS, 5, 1), bytes((4, 2, 7, 8))),
    (pdu.read(Table.COILS, 0, 20), bytes((1, 3, 0xAA, 0x55, 0x0F))),
    (pdu.write_registers(9, (77,), multiple=False), bytes((6, 0, 9, 0, 77))),
    (pdu.write_registers(9, (77, 78), multiple=True), bytes((16, 0, 9, 0, 2))),
    (pdu.mask_write(4, 0xFF00, 0x0011), bytes((22, 0, 4, 0xFF, 0, 0, 0x11))),
)


class Deaf(asyncio.Transport):
    """Takes everything, says nothing."""

    def write(self, data: bytes | bytearray | memoryview) -> None: ...
    def sendto(self, data: bytes) -> None: ...
    def abort(self) -> None: ...


@dataclass
class Target:
    """One way in: a transport's conversation, its framing written independently, and how bytes are handed over."""

    transport: str

    def __post_init__(self) -> None:
        serial = self.transport in ("rtu", "ascii")
        where = {"device": "/dev/ttyS0"} if serial else {"host": "plc"}
        self.options = KIND.link_options(transport=self.transport, timeout_ms=60_000, **where)
        self.speech = speech_of(self.options)
        self.state = BusState("link1", self.options)

    def open(self) -> Conversation[Any]:
        conversation = self.speech.converse(self.state)
        conversation.connection_made(Deaf())
        return conversation

    def frame(self, body: bytes, transaction: int) -> bytes:
        match self.transport:
            case "rtu":
                return raw_line.rtu(UNIT, body)
            case "ascii":
                return raw_line.ascii_(UNIT, body)
            case _:
                return raw_modbus.frame(transaction, UNIT, body)


class Fuzzer:
    """Makes frames nobody should trust out of ones that are right."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def of(self, right: bytes, others: Callable[[], bytes]) -> bytes:
        chance = self.chance
        data = bytearray(right)
        for _ in range(chance.choice((0, 1, 1, 1, 2, 5))):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(8):
                case 0 if data:
                    data[min(at, len(data) - 1)] ^= 1 << chance.randrange(8)
                case 1 if data:
                    data[min(at, len(data) - 1)] = chance.randrange(256)
                case 2:
                    del data[at:]
                case 3:
                    del data[:at]
                case 4:
                    data[at:at] = chance.randbytes(chance.choice((1, 2, 7, 300)))
                case 5:
                    data += others()
                case 6:
                    data[:0] = others()
                case _:
                    data = bytearray(chance.randbytes(chance.choice((0, 1, 6, 12, 64, 600))))
        return bytes(data)

    def pieces(self, data: bytes) -> list[bytes]:
        if len(data) < 2 or self.chance.random() < 0.7:
            return [data]
        cut = self.chance.randrange(1, len(data))
        return [data[:cut], data[cut:]]


async def fuzz(target: Target, frames: int, seed: int) -> tuple[Counter[str], float]:
    """Returns what came of the frames, and the most that one took, in seconds of CPU."""
    fuzzer, outcomes = Fuzzer(seed), Counter[str]()
    chance = fuzzer.chance
    conversation, heard = target.open(), b""
    prepared = [(target.speech.prepare(UNIT, exchange), exchange, reply) for exchange, reply in EXCHANGES]
    with stopwatch() as watch:
        for _ in range(frames):
            request, exchange, reply = chance.choice(prepared)
            if chance.random() < 0.1:
                reply = bytes((reply[0] | 0x80, chance.randrange(256)))
            try:
                waiter = conversation.send(request)
            except LinkDown:
                conversation = target.open()
                waiter = conversation.send(request)
            transaction = target.state.transaction

            def other(transaction: int = transaction) -> bytes:
                body = chance.choice(
                    (chance.choice(EXCHANGES)[1], bytes((chance.randrange(128, 256), chance.randrange(256))))
                )
                return target.frame(body, transaction - chance.randrange(3) & 0xFFFF)

            data = fuzzer.of(target.frame(reply, transaction), other)
            # A stream goes on: what was left of one frame may become part of the next.
            heard = heard[-1000:] + data
            with watch:
                for piece in fuzzer.pieces(data):
                    if isinstance(conversation, DatagramConversation):
                        conversation.datagram_received(piece, None)
                    else:
                        conversation.data_received(piece)
            if not waiter.done():
                outcomes["no answer"] += 1
                conversation._fail_waiter(ReplyTimeout())
            error = waiter.exception()
            if error is None:
                body = exchange.head + waiter.result()
                assert target.frame(body, transaction).lower() in heard.lower(), (heard.hex(), body.hex())
                outcomes["answered"] += 1
            else:
                assert isinstance(error, DECLARED), repr(error)
                outcomes[type(error).__name__] += 1
    conversation.give_up("the end")
    return outcomes, watch.slowest_s


@pytest.mark.parametrize("transport", ["tcp", "udp", "rtu", "ascii"])
def test_no_frame_does_harm(transport: str) -> None:
    outcomes, longest = asyncio.run(fuzz(Target(transport), FRAMES // 4, seed=7))
    assert longest < LIMIT_S
    # It must have reached all ends, or it tried nothing.
    assert min(outcomes["answered"], outcomes["no answer"], outcomes["Refused"]) > FRAMES // 4000, outcomes


@pytest.mark.parametrize("transport", ["tcp", "udp", "rtu", "ascii"])
def test_pure_noise_is_never_an_answer(transport: str) -> None:
    async def listen() -> None:
        target = Target(transport)
        chance = random.Random(3)
        for _ in range(2000):
            conversation = target.open()
            waiter = conversation.send(target.speech.prepare(UNIT, EXCHANGES[0][0]))
            for _ in range(10):
                conversation.data_received(chance.randbytes(chance.randrange(1, 300)))
            if waiter.done():
                assert isinstance(waiter.exception(), DECLARED)
            conversation.give_up("the end")
            if waiter.done():
                waiter.exception()

    asyncio.run(listen())
