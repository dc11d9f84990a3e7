"""Run a command that can't outlive its parent: ``tether.py PARENT_PID COMMAND…``, run as a script.

The kernel kills the command when the parent dies, however that comes about (PR_SET_PDEATHSIG of prctl(2)). Setting it
in the child between fork and exec from Python isn't safe in a process with threads, so this is a process of its own,
replaced by the command. Uses nothing but the standard library, so that it starts in some 20 ms with ``python -I -S``.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        sys.exit(f"tether: prctl failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("tether: the parent is gone already")
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"tether: can't run {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
