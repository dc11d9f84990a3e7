"""``python -m tidegate_appliance.timekeeper restore|save``: on a board without a battery time never goes back.

What is known of it at the start is the latest of the release's own date, what was saved last, and what
systemd-timesyncd and the gateway noted meanwhile. Setting the clock from that doesn't make it right: the kernel goes
on calling it unsynchronised, so the gateway goes on marking its values until a time server has answered.

Only the standard library, as this runs before anything else does.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

_RELEASE = "usr/lib/tidegate/appliance/release"
_TIMESYNCD = "data/state/timesync/clock"
"""Its time of modification is what counts (systemd-timesyncd.service(8))."""
_GATEWAY = "data/state/tidegate/clock"
"""ns since 1970, as gateway.ops.clock writes it."""
_OWN = "data/appliance/clock"
_LATEST_NS = 4_102_444_800_000_000_000
"""2100: a file from later than that was written under a clock that was wrong."""


def restore(root: Path, now_ns: Callable[[], int], set_ns: Callable[[int], object]) -> int:
    """Set the clock forward to the latest time known; never back. Returns by how many ns."""
    latest = max((known for known in _known(root) if known < _LATEST_NS), default=0)
    behind = latest - now_ns()
    if behind <= 0:
        return 0
    set_ns(latest)
    return behind


def save(root: Path) -> None:
    """Note the time, durably. Raises OSError."""
    path = root / _OWN
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        os.utime(handle)
        os.fsync(handle)
    finally:
        os.close(handle)


def _known(root: Path) -> Iterator[int]:
    for name in (_RELEASE, _TIMESYNCD, _OWN):
        with contextlib.suppress(OSError):
            yield (root / name).stat().st_mtime_ns
    with contextlib.suppress(OSError, ValueError):
        yield int((root / _GATEWAY).read_bytes())


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["restore"]:
            ahead_ns = restore(Path("/"), time.time_ns, lambda ns: time.clock_settime_ns(time.CLOCK_REALTIME, ns))
            if ahead_ns:
                print(f"the clock was {ahead_ns / 1e9:.0f} s behind the latest time known")  # noqa: T201 - the log
        case ["save"]:
            save(Path("/"))
        case _:
            sys.exit("usage: python -m tidegate_appliance.timekeeper restore|save")
