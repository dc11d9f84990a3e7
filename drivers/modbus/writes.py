"""Writing one value: sent once, echo checked, read back, compared bit by bit. Never repeated."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from drivers.common.codec import BitCodec, decode
from drivers.common.words import bits_to_bytes, encode, mask
from drivers.modbus import pdu
from drivers.modbus.address import Table
from drivers.modbus.bus import ModbusBus
from drivers.modbus.errors import UNREACHED, EchoDiffers, Refused, ReplyTimeout
from drivers.modbus.options import DeviceOptions
from drivers.modbus.pdu import Exchange
from drivers.modbus.plan import BROADCAST
from drivers.modbus.points import Located, locate
from gateway.driver import DeviceSilent, LinkDown, NotWritten, Point, WriteDiffers, WriteFailed
from gateway.model import Value

_log = logging.getLogger(__name__)

P = TypeVar("P")
_ILLEGAL_FUNCTION = 1
_DONE_NOTHING = frozenset((1, 2, 3, 6, 7))
"""Exceptions by which a device says that it didn't even begin; 4, say, is a failure while it was at it."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What a write is to make of its place, as wire bytes."""

    place: Located
    wanted: bytes
    ones: bytes
    """Ones where the value sits; what is outside belongs to others."""
    decode: Callable[[bytes], Value]

    @property
    def is_partial(self) -> bool:
        """Whether others share the registers."""
        encoding = self.place.encoding
        return encoding is not None and encoding.partial and self.ones.count(0xFF) < len(self.ones)

    @property
    def registers(self) -> tuple[int, ...]:
        return _registers(self.wanted)

    def is_done(self, data: bytes) -> bool:
        return _masked(data, self.ones) == _masked(self.wanted, self.ones)


class Writer(Generic[P]):
    """Writes to one device. Implements :class:`gateway.driver.Writes` and Previews."""

    def __init__(self, bus: ModbusBus[P], name: str, options: DeviceOptions) -> None:
        self._bus = bus
        self._name = name
        self._options = options
        self._mask_write = options.mask_write

    async def write(self, point: Point, value: Value) -> Value:
        """See :meth:`gateway.driver.Writes.write`."""
        change = self._checked_change(point, value)
        data = await self._sent(point, self._send(change))
        if data is None:
            data = await self._read_back(point, change.place)
        now = change.decode(data)
        if not change.is_done(data):
            raise WriteDiffers(f"{point.path} was written but reads {now!r} now")
        return now

    def preview(self, point: Point, value: Value) -> Sequence[str]:
        """See :meth:`gateway.driver.Previews.preview`. Reading back isn't among them, but for function 23."""
        change = self._checked_change(point, value)
        span = change.place.span
        if not change.is_partial:
            return [self._shown(self._whole(change))]
        if self._mask_write and span.count == 1:
            return [self._shown(self._masked_part(change))]
        return [
            self._shown(pdu.read(Table.HOLDING_REGISTERS, span.address, span.count)),
            f"function {self._rewritten(change, bytes(len(change.ones))).function}: "
            f"the same registers with {change.wanted.hex(' ')} under the mask {change.ones.hex(' ')}",
        ]

    def _shown(self, exchange: Exchange) -> str:
        framed = self._bus.show(self._bus.prepare(self._options.unit, exchange))
        return f"function {exchange.function}: {framed}"

    def _checked_change(self, point: Point, value: Value) -> _Change:
        """Raises NotWritten."""
        try:
            return self._change(point, value)
        except ValueError as error:
            raise NotWritten(f"{point.path} can't be written: {error}") from None

    def _change(self, point: Point, value: Value) -> _Change:
        """Raises ValueError, in one sentence, for what can't be written."""
        place = locate(point, self._options)
        if not place.table.writable:
            raise ValueError(f"{place.table.title} are read-only")
        if self._bus.broadcasts and self._options.unit == 0:
            raise ValueError(BROADCAST)
        if place.encoding is None:
            return self._change_of_coils(place, value)
        wanted = encode(place.encoding, value)
        limit = pdu.MAX_READ_WRITE_REGISTERS if self._options.read_write_multiple else pdu.MAX_WRITE_REGISTERS
        if place.span.count > limit:
            raise ValueError(f"it takes {place.span.count} registers, one write holds {limit}")
        encoding = place.encoding
        return _Change(place, wanted, mask(encoding), lambda data: decode(encoding, data))

    def _change_of_coils(self, place: Located, value: Value) -> _Change:
        count = place.span.count
        if count > pdu.MAX_WRITE_BITS:
            raise ValueError(f"it takes {count} coils, one write holds {pdu.MAX_WRITE_BITS}")
        values = (value,) if place.count is None else value
        if not isinstance(values, tuple | list) or len(values) != count:
            raise ValueError(f"{value!r} is not an array of {count} elements")
        size = (count + 7) // 8
        codec = BitCodec([(0, place.count)], count)
        return _Change(
            place,
            bits_to_bytes(values, size=size),
            bits_to_bytes((True,) * count, size=size),
            lambda data: codec.decode(data)[0],
        )

    # -- on the wire

    async def _sent(self, point: Point, sending: Awaitable[bytes | None]) -> bytes | None:
        """What `sending` gives, its faults in the contract's words."""
        unknown = f"whether {point.path} was written is unknown"
        try:
            return await sending
        except ReplyTimeout as error:
            raise DeviceSilent(f"unit {self._options.unit} at {self._bus.peer}: {error}; {unknown}") from None
        except Refused as error:
            if error.code in UNREACHED:
                raise DeviceSilent(f"unit {self._options.unit} behind {self._bus.peer}: {error}; {unknown}") from None
            refused = f"{point.path}: the device refused the write with {error}"
            if error.code in _DONE_NOTHING:
                raise NotWritten(refused) from None
            raise WriteFailed(f"{refused}; {unknown}") from None
        except EchoDiffers:
            raise WriteFailed(f"{point.path}: the device confirmed another write than this one; {unknown}") from None
        except LinkDown as error:
            raise LinkDown(f"{error}; {unknown}") from None

    async def _send(self, change: _Change) -> bytes | None:
        """Write. What was read back in the same transaction, or None if it is still to be read."""
        if change.is_partial:
            await self._change_part(change)
            return None
        data = await self._exchange(self._whole(change))
        return data if change.place.encoding is not None and self._options.read_write_multiple else None

    def _whole(self, change: _Change) -> Exchange:
        """The one request for what shares its place with nobody."""
        address, multiple = change.place.span.address, self._options.write_multiple
        if change.place.encoding is None:
            values = BitCodec([(0, change.place.span.count)], change.place.span.count).decode(change.wanted)[0]
            assert isinstance(values, tuple)
            return pdu.write_coils(address, [bool(value) for value in values], multiple=multiple)
        if self._options.read_write_multiple:
            return pdu.read_write_registers(address, change.registers)
        return pdu.write_registers(address, change.registers, multiple=multiple)

    def _masked_part(self, change: _Change) -> Exchange:
        ((set_bits,), (own_bits,)) = change.registers, _registers(change.ones)
        return pdu.mask_write(change.place.span.address, 0xFFFF & ~own_bits, set_bits)

    def _rewritten(self, change: _Change, current: bytes) -> Exchange:
        """The registers as they are but for the bits that change."""
        changed = bytes(now & ~one | new for now, one, new in zip(current, change.ones, change.wanted, strict=True))
        return pdu.write_registers(
            change.place.span.address, _registers(changed), multiple=self._options.write_multiple
        )

    async def _change_part(self, change: _Change) -> None:
        """Change some bits of registers: of one by function 22, else by reading, changing and writing them."""
        span = change.place.span
        if self._mask_write and span.count == 1:
            try:
                await self._exchange(self._masked_part(change))
            except Refused as error:
                # A refused function has done nothing, so what follows is no repetition of a write.
                if error.code != _ILLEGAL_FUNCTION:
                    raise
                self._mask_write = False
                _log.info("device %s has no function 22: registers are read, changed and written instead", self._name)
            else:
                return
        current = await self._exchange(pdu.read(Table.HOLDING_REGISTERS, span.address, span.count))
        await self._exchange(self._rewritten(change, current))

    async def _read_back(self, point: Point, place: Located) -> bytes:
        if self._options.read_back_delay_ms:
            await asyncio.sleep(self._options.read_back_delay_ms / 1000)
        written = f"{point.path} was written, what it is now is unknown"
        start = 0 if self._options.read_from_zero else place.span.address
        try:
            data = await self._exchange(pdu.read(place.table, start, place.span.end - start))
        except ReplyTimeout as error:
            raise DeviceSilent(f"unit {self._options.unit} at {self._bus.peer}: {error}; {written}") from None
        except Refused as error:
            raise WriteDiffers(f"{point.path} was written but can't be read back: {error}") from None
        except LinkDown as error:
            raise LinkDown(f"{error}; {written}") from None
        if place.encoding is not None:
            return data[2 * (place.span.address - start) :]
        bits = int.from_bytes(data, "little") >> place.span.address - start
        return bits.to_bytes(len(data), "little")[: (place.span.count + 7) // 8]

    async def _exchange(self, exchange: Exchange) -> bytes:
        return await self._bus.transact(self._bus.prepare(self._options.unit, exchange))


def _masked(data: bytes, ones: bytes) -> bytes:
    return bytes(byte & one for byte, one in zip(data, ones, strict=True))


def _registers(data: bytes) -> tuple[int, ...]:
    return tuple(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
