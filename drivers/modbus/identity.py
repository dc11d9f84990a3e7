"""Who a device says it is: function 43/14, asked once per connection and then seldom.

The objects are texts in ASCII (Modbus Application Protocol 1.1b3, §6.21); many devices use UTF-8, which includes it.
"""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterator

from drivers.modbus import pdu
from drivers.modbus.address import OBJECTS
from drivers.modbus.errors import EXCEPTION_QUALITIES, Refused, ReplyTimeout
from drivers.modbus.pdu import Exchange
from gateway.driver import LinkDown
from gateway.model import Quality

_REFRESH_S = 3600.0
_RETRY_S = 60.0
_RETRY_MAX_S = 86_400.0
_MAX_PAGES = 64
"""More replies than this for one device are no identification."""
_LAST_OF_LEVEL = {1: 0x02, 2: 0x7F, 3: 0xFF}

Ask = Callable[[Exchange], Awaitable[bytes]]


async def read_objects(ask: Ask, level: int) -> dict[int, bytes]:
    """All objects up to `level` (1 basic, 2 regular, 3 extended) that the device has.

    Raises what `ask` raises. A device that never comes to an end is left off where it begins to repeat itself.
    """
    objects: dict[int, bytes] = {}
    first = 0
    for _ in range(_MAX_PAGES):
        page = pdu.identification_page(await ask(pdu.read_identification(level, first)))
        objects |= page.objects
        if page.next_object is None or page.next_object <= first:
            break
        first = page.next_object
    return objects


def level_of(objects: Collection[int]) -> int:
    """The lowest level that has them all."""
    highest = max(objects, default=0)
    return next(level for level, last in _LAST_OF_LEVEL.items() if highest <= last)


def text_of(data: bytes) -> str | None:
    """An object as text without what fills it up, or None if it isn't text."""
    try:
        return data.partition(b"\0")[0].decode().strip(" ")
    except UnicodeDecodeError:
        return None


class Identity:
    """What a device said about itself, and when to ask again."""

    def __init__(self) -> None:
        self.version = 0
        """Changes with every answer, and with every failure to get one."""
        self._objects: dict[int, bytes] | None = None
        self._quality = int(Quality.BAD_WAITING_FOR_INITIAL_DATA)
        self._level = 0
        self._connection = -1
        self._due_at = -math.inf
        self._retry_s = _RETRY_S

    def is_due(self, objects: Collection[int], connection: int) -> bool:
        """Whether to ask. After a reconnect another device may stand there."""
        moved = self._objects is not None and connection != self._connection
        return moved or level_of(objects) > self._level or self._due_at <= time.monotonic()

    async def refresh(self, ask: Ask, objects: Collection[int], connection: int) -> None:
        """Ask the device. Raises ReplyTimeout and LinkDown, after noting it: some hang up on what they don't know, and
        asking them again on each new connection would never end."""
        self._level = max(self._level, level_of(objects))
        self._connection = connection
        self.version += 1
        try:
            self._objects = await read_objects(ask, self._level)
        except Refused as fault:
            self._failed(EXCEPTION_QUALITIES.get(fault.code, Quality.BAD))
        except ReplyTimeout:
            self._failed(Quality.BAD_TIMEOUT)
            raise
        except LinkDown:
            self._failed(Quality.BAD_NO_COMMUNICATION)
            raise
        else:
            self._retry_s = _RETRY_S
            self._due_at = time.monotonic() + _REFRESH_S

    def _failed(self, quality: int) -> None:
        self._objects = None
        self._quality = int(quality)
        self._due_at = time.monotonic() + self._retry_s
        self._retry_s = min(2 * self._retry_s, _RETRY_MAX_S)

    def value(self, number: int) -> tuple[str | None, int]:
        """Value and quality of one object."""
        if self._objects is None:
            return None, self._quality
        data = self._objects.get(number)
        if data is None:
            return None, int(Quality.BAD_NODE_ID_INVALID)
        text = text_of(data)
        return text, 0 if text is not None else int(Quality.BAD_DECODING_ERROR)

    def describe(self, objects: Collection[int]) -> Iterator[str]:
        """One line for the request it takes, if any."""
        if objects:
            names = {number: name for name, number in OBJECTS.items()}
            wanted = ", ".join(f"id:{names.get(number, hex(number))}" for number in sorted(set(objects)))
            yield f"on every connection, then hourly: read device identification {wanted} (function 43/14)"
