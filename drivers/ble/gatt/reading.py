"""Reading several characteristics of a device, one after the other, so that none of them spoils the rest."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from drivers.ble.gatt.connection import Connection
from drivers.ble.gatt.errors import NoAnswer, NotThere, Refused
from drivers.ble.plan import Request, Target
from gateway.driver import DeviceSilent
from gateway.model import Quality, Value

_log = logging.getLogger(__name__)

_SHY_FIRST_S = 60.0
_SHY_MAX_S = 3600.0
_READ_LIMIT_S = 20.0
"""What hasn't been asked for by then is left for the next read: the link has other devices."""

Take = Callable[[Request, Sequence[Value], Sequence[int]], None]
"""(request, values of its columns, their qualities)"""


@dataclass(slots=True)
class _Shy:
    """A characteristic that left a request unanswered: protected, or out of order, or the whole device was silent."""

    delay_s: float
    retry_at: float
    """Monotonic seconds."""


class Reader:
    """Remembers which characteristics of a device don't answer, and asks for them last, and ever more rarely."""

    def __init__(self, name: str, connection: Connection) -> None:
        self._name = name
        self._connection = connection
        self._shy: dict[Target, _Shy] = {}
        self._said: set[str] = set()

    async def read(self, requests: Sequence[Request], take: Take) -> DeviceSilent | None:
        """Read each once and hand it to `take`, good or bad. Returns what ended it before its end, or None.

        Raises LinkDown, or DeviceSilent if nothing was answered.
        """
        answered = False
        begun = time.monotonic()
        failed: DeviceSilent | None = None
        for request in self.in_order(requests):
            late = time.monotonic() - begun > _READ_LIMIT_S
            if failed or (answered and (late or self.resting(request.target))):
                _fail(request, Quality.BAD_TIMEOUT, take)
                continue
            try:
                async with self._connection.use():
                    data = await self._connection.read(request.target)
            except NoAnswer as error:
                self.hesitate(request.target, others_answer=answered)
                if not answered:
                    raise DeviceSilent(str(error)) from None
                self._say(str(error))
                _fail(request, Quality.BAD_TIMEOUT, take)
            except DeviceSilent as error:
                if not answered:
                    raise
                failed = error
                _fail(request, Quality.BAD_TIMEOUT, take)
            except Refused as error:
                answered = True
                self._say(str(error))
                _fail(request, error.quality, take)
            except NotThere as error:
                self._say(str(error))
                _fail(request, Quality.BAD_NODE_ID_UNKNOWN, take)
                answered = True
            else:
                answered = True
                self._shy.pop(request.target, None)
                take(request, *decoded(request, data))
        return failed

    def in_order(self, requests: Sequence[Request]) -> Sequence[Request]:
        """Those that may not answer last: the rest is done by then."""
        return sorted(requests, key=lambda request: request.target in self._shy)

    def resting(self, target: Target) -> bool:
        """Whether it is left alone for now."""
        shy = self._shy.get(target)
        return shy is not None and time.monotonic() < shy.retry_at

    def hesitate(self, target: Target, *, others_answer: bool) -> None:
        """It left a request unanswered. If others answer, the fault is its own, and it is asked more rarely."""
        shy = self._shy.setdefault(target, _Shy(0.0, 0.0))
        if others_answer:
            shy.delay_s = min(max(_SHY_FIRST_S, 2 * shy.delay_s), _SHY_MAX_S)
            shy.retry_at = time.monotonic() + shy.delay_s

    def _say(self, complaint: str) -> None:
        """Once."""
        if complaint not in self._said:
            self._said.add(complaint)
            _log.warning("device %s: %s", self._name, complaint)


def decoded(request: Request, data: bytes) -> tuple[Sequence[Value], Sequence[int]]:
    """The values of a request's columns and their qualities."""
    values: list[Value] = []
    codes: list[int] = []
    for codec in request.codecs:
        try:
            value = codec.decode(data)
            code = int(Quality.BAD_SENSOR_FAILURE) if value is None else 0
        except ValueError:
            value, code = None, int(Quality.BAD_DECODING_ERROR)
        values.append(value)
        codes.append(code)
    return values, codes


def _fail(request: Request, quality: int, take: Take) -> None:
    take(request, [None] * len(request.columns), [int(quality)] * len(request.columns))
