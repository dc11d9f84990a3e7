"""The kernel's marks of damaged characters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator


class MarkReader:
    """Takes the kernel's marks out of what was read (termios(3), PARMRK).

    ``FF FF`` is the character FF; ``FF 00 x`` is a damaged character, or a break if x is 00.
    """

    _MARK = re.compile(rb"\xff(?:\xff|\x00.)", re.DOTALL)
    _UNFINISHED = re.compile(rb"(?:[^\xff]|\xff\xff|\xff\x00.)*(\xff\x00?)\Z", re.DOTALL)

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterable[bytes | None]:
        """Good characters in the order they came; None where one was damaged."""
        if not self._rest and b"\xff" not in data:
            return (data,)
        return self._sort(self._rest + data)

    def _sort(self, data: bytes) -> Iterator[bytes | None]:
        unfinished = self._UNFINISHED.match(data)
        self._rest = unfinished[1] if unfinished else b""
        end = len(data) - len(self._rest)
        good = bytearray()
        at = 0
        for mark in self._MARK.finditer(data, 0, end):
            good += data[at : mark.start()]
            at = mark.end()
            if mark[0] == b"\xff\xff":
                good += b"\xff"
                continue
            if good:
                yield bytes(good)
                good.clear()
            yield None
        good += data[at:end]
        if good:
            yield bytes(good)
