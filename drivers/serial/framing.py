"""Where a frame begins and ends in a stream of bytes, and whether it is whole: decoding, and encoding for requests.

===========================  ==========================================================================================
framing                      a frame is
===========================  ==========================================================================================
`end` (and `start`)          what stands between the delimiters; `escape` lets them occur inside
`length` (and `start`)       that many bytes
`length_at` (and `start`)    as many bytes as a number inside says
`gap_ms` alone               what comes without a pause
===========================  ==========================================================================================

A decoder is told of every byte in the order they came and gives whole frames with a right checksum, nothing else:

- it starts out of step (a port may be opened in the middle of a frame): with a start delimiter it waits for that,
  without one for an end delimiter or a pause, so that the tail of a frame is never taken for a frame;
- after bytes that are no frame it goes on at the next start, and counts what it left out;
- a frame of which the line damaged a character is dropped;
- it holds at most `max_length` bytes and some delimiters.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from drivers.serial.checksum import function_of, size_of
from drivers.serial.instrument import Checksum, Framing

_UNFINISHED, _AGAIN, _NO_FRAME, _TOO_LONG = range(4)
"""What looking for a frame at the buffer's beginning came to: more bytes are needed; go on with what is left; no frame
begins here; one that is longer than allowed does."""

FIXED_GAP_S = 0.1
"""A frame whose size is known is given up after a pause of this length, where no `gap_ms` says otherwise."""
FIRST_QUIET_S = 0.25
"""What comes after so much silence is the beginning of a frame."""


class Frame(NamedTuple):
    """One whole frame."""

    content: bytes
    """Without start, end, escapes and checksum, unless they are kept."""
    at: int
    """Position of its first byte in all that was received."""


@dataclass(frozen=True, slots=True)
class _Check:
    """A checksum, prepared."""

    function: Callable[[bytes], int]
    size: int
    """Bytes on the wire."""
    options: Checksum

    @classmethod
    def of(cls, options: Checksum | None) -> _Check | None:
        if options is None:
            return None
        size = size_of(options.kind)
        return cls(function_of(options.kind), 2 * size if options.format == "hex" else size, options)

    @property
    def trailing(self) -> int:
        """Bytes it takes after the end delimiter."""
        return self.size if self.options.place == "after-end" else 0

    @property
    def inside(self) -> int:
        """Bytes it takes at the end of the content, separator included."""
        return 0 if self.trailing else self.size + len(self.options.separator)

    def covered(self, start: bytes, data: bytes, end: bytes) -> bytes:
        return (
            (start if self.options.over_start else b"")
            + data[self.options.skip :]
            + (end if self.options.over_end else b"")
        )

    def written(self, covered: bytes) -> bytes:
        number = self.function(covered)
        if self.options.format == "hex":
            if self.size == 2:
                return b"%02X" % number
            return number.to_bytes(self.size // 2, self.options.byte_order).hex().upper().encode()
        return number.to_bytes(self.size, self.options.byte_order)


def encode(framing: Framing, content: bytes) -> bytes:
    """`content` as a frame: delimiters, escapes, length and checksum as the framing says.

    A length field is part of the content and is overwritten. Raises ValueError if there is no room for it.
    """
    check = _Check.of(framing.checksum)
    ends = framing.end
    end = ends[0] if ends else b""
    if framing.length_at is not None:
        content = _with_length(framing, content, check)
    if check is None:
        return framing.start + _escaped(framing, content) + end
    written = check.written(check.covered(framing.start, content, end))
    if check.trailing:
        return framing.start + _escaped(framing, content) + end + written
    return framing.start + _escaped(framing, content + check.options.separator + written) + end


def _with_length(framing: Framing, content: bytes, check: _Check | None) -> bytes:
    assert framing.length_at is not None
    at = framing.length_at - len(framing.start)
    if not 0 <= at <= len(content) - framing.length_size:
        raise ValueError("the length field lies outside what is to be sent")
    ends = framing.end
    total = len(framing.start) + len(content) + (len(ends[0]) if ends else 0)
    total += (check.inside + check.trailing) if check else 0
    field = (total - framing.length_adjust).to_bytes(framing.length_size, framing.length_byte_order)
    return content[:at] + field + content[at + framing.length_size :]


def _escaped(framing: Framing, content: bytes) -> bytes:
    if not framing.escape:
        return content
    special = {framing.escape}
    if not framing.start.startswith(framing.escape):
        special |= {framing.start, *framing.end}
    pattern = b"|".join(re.escape(each) for each in special if each)
    return re.sub(pattern, lambda match: framing.escape + match[0], content)


class Decoder:
    """Finds the frames of one framing. `counters`: ``frames``, ``skipped_bytes``, ``bad_checksums``, ``too_long``."""

    def __init__(self, framing: Framing, counters: Counter[str], position: int = 0) -> None:
        """`position`: how much was received before it was made."""
        self._framing = framing
        self._counters = counters
        self._start = framing.start
        self._check = _Check.of(framing.checksum)
        self._trailing = self._check.trailing if self._check else 0
        self._slice = framing.max_length
        self._buffer = bytearray()
        self._base = position
        """Position of the buffer's first byte in all that was received."""
        self._searched = 0
        """Bytes of the buffer that are known to hold no end."""
        self.synced = bool(self._start)
        """False while the tail of a frame may be coming in, which has no start of its own to be known by."""
        gap_ms = framing.gap_ms
        sized = framing.length is not None or framing.length_at is not None
        self.gap_s: float | None = gap_ms / 1000 if gap_ms is not None else FIXED_GAP_S if sized else None
        """Pause that ends, or spoils, a frame."""
        self._gap_ends = not sized and not framing.end
        self._end = re.compile(b"|".join(re.escape(end) for end in framing.end)) if framing.end else None
        self._longest_end = max(map(len, framing.end), default=0)
        self._most = (2 if framing.escape else 1) * framing.max_length + len(self._start) + self._longest_end
        self._most += (self._check.inside if self._check else 0) + self._trailing
        """Bytes of a frame at most."""
        self._hunting = False
        """Frames of known size: a checksum was wrong, and none was right since."""
        self._length = framing.length
        self._look = self._sized if sized else self._escaped if framing.escape else self._delimited
        self._escapes = _escape_pattern(framing) if framing.escape else None

    @property
    def pending(self) -> bool:
        """Whether a frame is under way."""
        return bool(self._buffer)

    # -- what happens on the line

    def feed(self, data: bytes, quiet_s: float) -> list[Frame]:
        """`data` came after `quiet_s` seconds of silence."""
        frames: list[Frame] = []
        if self.gap_s is not None and quiet_s >= self.gap_s:
            frames = self.pause()
        elif quiet_s >= FIRST_QUIET_S and not self.synced:
            self.sync()
        # In slices, so that neither the buffer nor the work on it grows with what came at once.
        for at in range(0, len(data), self._slice):
            self._buffer += data[at : at + self._slice]
            self._find(frames)
        return frames

    def pause(self) -> list[Frame]:
        """The line has been silent for `gap_s`."""
        if not self._gap_ends:
            self._skip(len(self._buffer))
            self.synced = True
            return []
        frames: list[Frame] = []
        if self._buffer and self.synced:
            self._take(len(self._buffer), b"", frames)
        self._skip(len(self._buffer))
        self.synced = True
        return frames

    def spoil(self) -> None:
        """A character was damaged: the frame it belongs to is lost."""
        self._skip(len(self._buffer))
        self.synced = bool(self._start)

    def sync(self) -> None:
        """What comes next is the beginning of a frame."""
        self._skip(len(self._buffer))
        self.synced = True

    def forget(self) -> None:
        """What is under way was a frame of another framing."""
        self._drop(len(self._buffer))
        self.synced = True

    # -- finding frames

    def _find(self, frames: list[Frame]) -> None:
        buffer = self._buffer
        if self._gap_ends:
            if len(buffer) > self._most:
                self._too_long()
            if not self.synced:
                self._skip(len(buffer))
            return
        while buffer:
            if self._start:
                if not buffer.startswith(self._start) and not self._to_start(0):
                    return
            elif not self.synced and not self._to_end():
                return
            found = self._look(frames)
            if found == _UNFINISHED and len(buffer) > self._most:
                found = _TOO_LONG
            if found == _UNFINISHED:
                return
            if found == _TOO_LONG:
                self._too_long()
            elif found == _NO_FRAME:
                self._to_start(1)

    def _to_start(self, search_from: int) -> bool:
        """Skip to the next start; False if there is none, or only its beginning. Without start delimiter: one byte."""
        buffer, start = self._buffer, self._start
        self._searched = 0
        if not start:
            self._skip(search_from)
            return True
        at = buffer.find(start, search_from)
        if at >= 0:
            self._skip(at)
            return True
        # The last bytes may be the beginning of a start.
        for size in range(min(len(start) - 1, len(buffer) - search_from), 0, -1):
            if buffer.endswith(start[:size]):
                self._skip(len(buffer) - size)
                return False
        self._skip(len(buffer))
        return False

    def _to_end(self) -> bool:
        """Skip through the next end; False if there is none yet."""
        if self._end is None:
            # A frame of known size without a start: only a pause tells where one begins.
            self._skip(len(self._buffer))
            return False
        match = self._end.search(self._buffer)
        if match is None:
            self._skip(max(0, len(self._buffer) - self._longest_end + 1))
            return False
        after = match.end() + self._trailing
        if len(self._buffer) < after:
            return False
        self._skip(after)
        self.synced = True
        return True

    def _too_long(self) -> None:
        self._counters["too_long"] += 1
        if self._start:
            self._to_start(1)
        else:
            self.synced = False

    def _delimited(self, frames: list[Frame]) -> int:
        assert self._end is not None
        buffer, start = self._buffer, self._start
        match = self._end.search(buffer, max(self._searched, len(start)))
        if match is None:
            self._searched = max(len(start), len(buffer) - self._longest_end + 1)
            return _UNFINISHED
        size = match.end() + self._trailing
        if len(buffer) < size:
            self._searched = match.start()
            return _UNFINISHED
        if size > self._most:
            return _TOO_LONG
        if start:
            # The end of an earlier frame got lost if another start stands before this one. A checksum may well
            # contain one, so with it the earlier start is tried first.
            last = buffer.rfind(start, 1, match.start())
            if last > 0 and (self._check is None or not self._right(bytes(buffer[:size]), match[0])):
                end = match[0]
                self._skip(last)
                self._take(size - last, end, frames)
                return _AGAIN
        self._take(size, match[0], frames)
        return _AGAIN

    def _sized(self, frames: list[Frame]) -> int:
        framing, buffer = self._framing, self._buffer
        if self._length is not None:
            size = len(self._start) + self._length + (len(framing.end[0]) if framing.end else 0) + self._trailing
        else:
            assert framing.length_at is not None
            after = framing.length_at + framing.length_size
            if len(buffer) < after:
                return _UNFINISHED
            number = int.from_bytes(buffer[framing.length_at : after], framing.length_byte_order)
            size = number + framing.length_adjust
            if not max(after, self._trailing + len(self._start)) <= size <= self._most:
                return _NO_FRAME
        if len(buffer) < size:
            return _UNFINISHED
        end = b""
        if framing.end:
            end = framing.end[0]
            if not buffer.endswith(end, 0, size - self._trailing):
                return _NO_FRAME
        raw = bytes(buffer[:size])
        if self._check is not None and not self._right(raw, end):
            self._bad_checksum()
            return _NO_FRAME
        self._take(size, end, frames)
        return _AGAIN

    def _escaped(self, frames: list[Frame]) -> int:
        """Walk over the escapes of the frame at hand; they are few."""
        assert self._escapes is not None
        framing, buffer = self._framing, bytes(self._buffer)
        content = bytearray()
        at = len(self._start)
        for match in self._escapes.finditer(buffer, at):
            token = match[0]
            content += buffer[at : match.start()]
            at = match.end()
            if token in framing.end:
                size = at + self._trailing
                if len(buffer) < size:
                    return _UNFINISHED
                if size > self._most:
                    return _TOO_LONG
                place = self._base
                self._drop(size)
                self._finish(self._start + content + buffer[match.start() : size], place, token, frames)
                return _AGAIN
            if token == self._start:
                self._skip(match.start())
                return _AGAIN if len(buffer) > at else _UNFINISHED
            if token == framing.escape:
                return _UNFINISHED  # its second byte is still to come
            if self._start.startswith(framing.escape) and token != framing.escape * 2:
                return _NO_FRAME
            content += token[1:]
        return _UNFINISHED

    # -- taking frames

    def _take(self, size: int, end: bytes, frames: list[Frame]) -> None:
        """The first `size` bytes are a frame if the checksum says so."""
        raw = bytes(self._buffer[:size])
        self._drop(size)
        self._finish(raw, self._base - size, end, frames)

    def _finish(self, raw: bytes, at: int, end: bytes, frames: list[Frame]) -> None:
        content = self._content(raw, end)
        if content is None:
            self._bad_checksum()
            self._counters["skipped_bytes"] += len(raw)
            return
        self._hunting = False
        if content:
            self._counters["frames"] += 1
            frames.append(Frame(content, at))

    def _bad_checksum(self) -> None:
        # While the next frame is searched for byte by byte, every try has a wrong one.
        if not self._hunting:
            self._counters["bad_checksums"] += 1
        self._hunting = bool(self._look == self._sized)

    def _right(self, raw: bytes, end: bytes) -> bool:
        return self._content(raw, end) is not None

    def _content(self, raw: bytes, end: bytes) -> bytes | None:
        """What a frame holds; None if its checksum is wrong. `raw` has no escapes any more."""
        body = raw[len(self._start) : len(raw) - len(end) - self._trailing]
        check = self._check
        if check is None:
            return raw if self._framing.keep else body
        data = body[: len(body) - check.inside] if check.inside else body
        given = raw[len(raw) - check.size :] if check.trailing else body[len(data) :]
        if len(body) < check.inside:
            return None
        right = check.written(check.covered(self._start, data, end))
        if not check.trailing:
            right = check.options.separator + right
        if given != right and (check.options.format == "binary" or given.upper() != right.upper()):
            return None
        return raw if self._framing.keep else data

    def _skip(self, count: int) -> None:
        if count:
            self._counters["skipped_bytes"] += count
            self._drop(count)

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._base += count
        self._searched = 0


def _escape_pattern(framing: Framing) -> re.Pattern[bytes]:
    """What is special inside a frame with escapes: an escape and its second byte, a start, an end."""
    tokens = [re.escape(framing.escape) + b"[\\x00-\\xff]"]
    if not framing.start.startswith(framing.escape):
        tokens += [re.escape(each) for each in (framing.start, *framing.end) if each]
    return re.compile(b"|".join((*tokens, re.escape(framing.escape))), re.DOTALL)
