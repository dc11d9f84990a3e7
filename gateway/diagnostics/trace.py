"""Wire traces: what goes over a running link, kept for a while, decoded, and off by itself.

While nobody traces a link, nothing of this exists. A trace ends by time or by bytes, whichever comes first; what it
keeps is bounded, and the oldest frames make room. Decoding is done for whoever looks, never when a frame comes.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.diagnostics import pcap
from gateway.settings import LinkSettings
from gateway.wire import Direction, Dissection, Frame, Take

DEFAULT_S = 60.0
MAX_S = 900.0
KEPT_BYTES = 4 << 20
"""Of one trace, the objects around the bytes included."""
SEEN_BYTES = 64 << 20
"""After so many a trace ends: a fast link shouldn't be watched for long for nothing."""
MAX_TRACES = 4
"""Running and ended ones together; an ended one makes room for a new one."""
_OVERHEAD = 200
"""Bytes that a kept frame takes beside its data."""


class Untraceable(Exception):
    """There is nothing to trace, in one sentence with its mend behind a colon."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One frame of a trace."""

    number: int
    """From 1, without gaps; what was dropped has had its number."""
    frame: Frame
    asked: Frame | None
    """What was sent to the same unit before."""


class Trace:
    """One recording of one link, or of what concerns one device on it."""

    def __init__(self, id_: str, link: LinkSettings, device: str, for_s: float, seen_bytes: int = SEEN_BYTES) -> None:
        self.id = id_
        self.link = link
        self.device = device
        self.for_s = for_s
        self.began_ns = time.time_ns()
        self.began_mono_ns = time.monotonic_ns()
        self.ended: str | None = None
        """Why it ended; None while it runs."""
        self.seen = 0
        """Frames so far, dropped ones included."""
        self.seen_bytes = 0
        self._seen_limit = seen_bytes
        kind = link.kind
        self._names = {kind.unit_of(each.options): each.name for each in link.devices}
        self._unit = next(kind.unit_of(each.options) for each in link.devices if each.name == device)
        self._kept: deque[Entry] = deque()
        self._kept_bytes = 0
        self._asked: dict[str, Frame] = {}
        self._news = asyncio.Event()
        self._on_end: Callable[[], None] = lambda: None

    @property
    def dropped(self) -> int:
        """Frames that made room for newer ones."""
        return self.seen - len(self._kept)

    def when_ended(self, call: Callable[[], None]) -> None:
        self._on_end = call

    def take(self, frame: Frame) -> None:
        """See :data:`gateway.wire.Take`."""
        if self.ended is not None or not self._concerns(frame):
            return
        self.seen += 1
        self.seen_bytes += len(frame.data)
        self._kept.append(Entry(self.seen, frame, self._asked.get(frame.unit)))
        self._kept_bytes += len(frame.data) + _OVERHEAD
        while self._kept_bytes > KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popleft().frame.data) + _OVERHEAD
        if frame.direction is Direction.SENT:
            self._asked[frame.unit] = frame
        self._tell()
        if self.seen_bytes >= self._seen_limit:
            self.end(f"{self._seen_limit >> 20} MiB were seen")

    def _concerns(self, frame: Frame) -> bool:
        """What can't be told whose it is concerns everybody on the line."""
        return not self._unit or frame.unit in ("", self._unit) or frame.unit not in self._names

    def end(self, why: str) -> None:
        """Idempotent."""
        if self.ended is None:
            self.ended = why
            self._on_end()
            self._tell()

    def _tell(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    def entries(self) -> Sequence[Entry]:
        """Those that are kept, in order."""
        return list(self._kept)

    async def follow(self, after: int = 0) -> AsyncGenerator[Entry, None]:
        """Entries numbered beyond `after` as they come, until the trace ends. A gap: some were dropped."""
        while True:
            news = self._news
            for entry in [each for each in self._kept if each.number > after]:
                after = entry.number
                yield entry
            if news.is_set():
                continue
            if self.ended is not None:
                return
            await news.wait()

    def dissect(self, entry: Entry) -> Dissection:
        assert self.link.kind.dissect is not None
        return self.link.kind.dissect(entry.frame, entry.asked)

    def describe(self, entry: Entry) -> dict[str, Any]:
        """JSON-ready: the frame, when and whose it was, and what it means."""
        frame, meaning = entry.frame, self.dissect(entry)
        return {
            "number": entry.number,
            "timestamp_ns": frame.ns,
            "since_start_ms": round((frame.mono_ns - self.began_mono_ns) / 1e6, 3),
            "direction": frame.direction.value,
            "device": self._names.get(frame.unit, "") if frame.unit or len(self._names) == 1 else "",
            "unit": frame.unit,
            "form": frame.form,
            "note": frame.note,
            "size": len(frame.data),
            "hex": frame.data.hex(),
            "summary": meaning.summary,
            "fault": meaning.fault,
            "parts": [
                {"name": part.name, "offset": part.offset, "length": part.length, "text": part.text}
                for part in meaning.parts
            ],
        }

    def status(self) -> dict[str, Any]:
        left_s = self.for_s - (time.monotonic_ns() - self.began_mono_ns) / 1e9
        return {
            "id": self.id,
            "link": self.link.name,
            "device": self.device,
            "driver": self.link.kind.name,
            "began_ns": self.began_ns,
            "seconds": self.for_s,
            "left_s": 0.0 if self.ended is not None else round(max(0.0, left_s), 1),
            "ended": self.ended,
            "frames": self.seen,
            "bytes": self.seen_bytes,
            "dropped": self.dropped,
            "pcap": self.link.kind.capture(self.link.options) is not None,
        }

    def pcap(self) -> bytes:
        """What is kept, as a capture file. Raises Untraceable if no analyser knows such frames."""
        capture = self.link.kind.capture(self.link.options)
        if capture is None:
            raise Untraceable(
                f"what the driver {self.link.kind.name!r} shows fits no capture file: save the trace as JSON"
            )
        endpoints = self.link.kind.endpoints(self.link.options)
        return pcap.write([entry.frame for entry in self._kept], capture, endpoints[0].host if endpoints else "")


class Tracing:
    """All traces of a gateway."""

    def __init__(self, attach: Callable[[str, Take | None], None]) -> None:
        """`attach`: hands a link's frames to a listener, or to nobody (None); KeyError for a link that doesn't run."""
        self._attach = attach
        self._numbers = itertools.count(1)
        self._traces: dict[str, Trace] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def start(self, link: LinkSettings, device: str, for_s: float = DEFAULT_S) -> Trace:
        """Raises Untraceable."""
        if link.kind.dissect is None:
            raise Untraceable(f"the driver {link.kind.name!r} can't be traced")
        self._make_room()
        trace = Trace(str(next(self._numbers)), link, device, min(for_s, MAX_S))
        trace.when_ended(lambda: self._ended(trace))
        self._traces[trace.id] = trace
        try:
            self._listen(link.name)
        except KeyError:
            del self._traces[trace.id]
            raise Untraceable(f"the link {link.name!r} doesn't run: apply the configuration first") from None
        loop = asyncio.get_running_loop()
        self._timers[trace.id] = loop.call_later(trace.for_s, trace.end, "its time is over")
        return trace

    def __getitem__(self, id_: str) -> Trace:
        """Raises KeyError."""
        return self._traces[id_]

    def all(self) -> Sequence[Trace]:
        return list(self._traces.values())

    def forget(self, id_: str) -> None:
        """End it and let go of what it keeps. Raises KeyError."""
        trace = self._traces[id_]
        trace.end("it was stopped")
        del self._traces[id_]

    def close(self) -> None:
        for trace in self._traces.values():
            trace.end("the gateway is stopping")

    def _make_room(self) -> None:
        while len(self._traces) >= MAX_TRACES:
            ended = next((each.id for each in self._traces.values() if each.ended is not None), None)
            if ended is None:
                raise Untraceable(f"{MAX_TRACES} traces run already: stop one of them")
            del self._traces[ended]

    def _ended(self, trace: Trace) -> None:
        timer = self._timers.pop(trace.id, None)
        if timer is not None:
            timer.cancel()
        try:
            self._listen(trace.link.name)
        except KeyError:
            return  # the link went before its trace

    def _listen(self, link: str) -> None:
        """Hear the link if any of its traces runs."""
        takes = [each.take for each in self._traces.values() if each.link.name == link and each.ended is None]
        if not takes:
            self._attach(link, None)
        elif len(takes) == 1:
            self._attach(link, takes[0])
        else:

            def to_all(frame: Frame) -> None:
                for take in takes:
                    take(frame)

            self._attach(link, to_all)
