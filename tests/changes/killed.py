"""A change of several files in a process that is killed at a chosen moment: ``python killed.py MAIN NEW``.

Reads steps from stdin, one a line. For each it forks a child that applies and confirms the change in the directory it
was given, and is killed by SIGKILL, by itself, right before its N-th call that touches the file system (negative: right
behind it). Prints ``killed`` or ``done``. One process that forks is a hundred times faster than a hundred processes.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.changes import commit
from gateway.config.archive import unpack_tree
from gateway.config.document import in_place

TOUCHING = ("open", "write", "fsync", "replace", "unlink", "mkdir", "chmod", "chown", "close")


def kill_at(step: int) -> None:
    """Arrange for this process to die around its N-th touching call."""
    calls = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal calls
            calls += 1
            if calls == step:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return real(*arguments, **named)
            finally:
                if calls == -step:
                    os.kill(os.getpid(), signal.SIGKILL)

        return call

    for name in TOUCHING:
        setattr(os, name, dying(getattr(os, name)))


def main() -> None:
    new, _ = unpack_tree(Path(sys.argv[1]).read_bytes())
    for line in sys.stdin:
        step, target = line.split(" ", 1)
        child = os.fork()
        if not child:
            path = Path(target.strip())
            old = in_place(path)
            kill_at(int(step))
            commit.commit(commit.prepare(path, old, new))
            commit.finish(path)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write("killed\n" if os.WIFSIGNALED(status) else "done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
