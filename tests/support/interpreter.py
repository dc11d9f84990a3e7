"""A Python of its own, for what a process may only do once: importing."""

from __future__ import annotations

import subprocess
import sys


def run(code: str) -> str:
    """What `code` prints in a fresh interpreter."""
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
