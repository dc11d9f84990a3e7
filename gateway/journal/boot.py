"""The boot number: counts starts of the gateway, in a small file of its own so that it outlives a corrupt journal."""

from __future__ import annotations

import logging
from pathlib import Path

from gateway.ops.files import write_atomically

_log = logging.getLogger(__name__)


def next_boot(path: Path, seen: int) -> int:
    """Count one more start: above the number in the file and above `seen`, the highest the journal knows of.

    Raises OSError if it can't be written: numbers must not repeat.
    """
    try:
        last = int(path.read_bytes())
    except FileNotFoundError:
        last = 0
    except ValueError:
        _log.warning("%s holds no number; going on from boot %d, the last the journal knows of", path, seen)
        last = 0
    boot = max(last, seen) + 1
    write_atomically(path, b"%d\n" % boot)
    return boot
