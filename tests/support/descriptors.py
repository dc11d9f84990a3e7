"""How many file descriptors this process has open."""

from __future__ import annotations

import gc
import os


def descriptors() -> int:
    """After collecting garbage: what only a forgotten object holds is no leak."""
    gc.collect()
    return len(os.listdir("/proc/self/fd"))
