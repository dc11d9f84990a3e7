"""What time it is, and whether that is known.

A board without a battery starts in 1970 or at the date of its image. So the wall clock is never taken below the later
of the software's own date and the last time that was saved, and it counts as *trusted* only while the kernel says
that something (NTP, PTP, GPS) disciplines it. Order never depends on it: that is what sequence numbers and the
monotonic clock are for.
"""

from __future__ import annotations

import ctypes
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from gateway.ops.files import write_atomically

_log = logging.getLogger(__name__)

_POLL_NS: Final = 2_000_000_000
_TIMESYNCD_MARK: Final = Path("/run/systemd/timesync/synchronized")
_STA_UNSYNC: Final = 0x40
_TIME_ERROR: Final = 5


class _Timex(ctypes.Structure):
    """The head of ``struct timex`` (linux/timex.h), and room for the rest of it."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("_rest", ctypes.c_byte * 256),
    )


def kernel_synchronised() -> bool:
    """True if the kernel's clock is disciplined, or systemd-timesyncd has set it since boot. Reads only."""
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        state = -1  # no such call here, or a sandbox that forbids it
    if 0 <= state != _TIME_ERROR and not timex.status & _STA_UNSYNC:
        return True
    return _TIMESYNCD_MARK.exists()


class Clock:
    """Wall and monotonic time of this process. Safe to read from any thread; every read is cheap."""

    def __init__(
        self,
        mode: str = "auto",
        directory: Path | None = None,
        *,
        synchronised: Callable[[], bool] = kernel_synchronised,
        wall_ns: Callable[[], int] = time.time_ns,
        mono_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """`mode` is ``auto`` or ``trusted``. The last known time is kept in the file ``clock`` of `directory`."""
        self._always = mode == "trusted"
        self._path = None if directory is None else directory / "clock"
        self._synchronised = synchronised
        self._wall_ns = wall_ns
        self.mono_ns: Callable[[], int] = mono_ns
        """CLOCK_MONOTONIC, ns."""
        self._floor_ns = max(Path(__file__).stat().st_mtime_ns, self._saved())
        self._floor_mono_ns = mono_ns()
        self._trusted = self._always or synchronised()
        self._next_poll_ns = self._floor_mono_ns + _POLL_NS

    def now_ns(self) -> int:
        """Wall clock, ns since 1970 UTC; while it isn't trusted, never before the last time known."""
        wall = self._wall_ns()
        if self._trusted:
            return wall
        return max(wall, self._floor_ns + self.mono_ns() - self._floor_mono_ns)

    @property
    def trusted(self) -> bool:
        """Whether the wall clock is known to be right. Asks the kernel every 2 s at most."""
        if not self._always:
            mono = self.mono_ns()
            if mono >= self._next_poll_ns:
                self._next_poll_ns = mono + _POLL_NS
                self._poll()
        return self._trusted

    def _poll(self) -> None:
        trusted = self._synchronised()
        if trusted == self._trusted:
            return
        if not trusted:  # from here on, time goes on from the last one trusted
            self._floor_ns = max(self._floor_ns, self._wall_ns())
            self._floor_mono_ns = self.mono_ns()
        self._trusted = trusted
        _log.info("the wall clock is %s", "trusted" if trusted else "no longer trusted: nothing disciplines it")

    def save(self) -> None:
        """Keep the time for the next start. Called by the journal's owner thread, as it does I/O. Raises OSError."""
        if self._path is not None:
            write_atomically(self._path, b"%d\n" % self.now_ns())

    def _saved(self) -> int:
        if self._path is None:
            return 0
        try:
            return int(self._path.read_bytes())
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            _log.warning("the last known time can't be read from %s: %s", os.fspath(self._path), error)
            return 0
