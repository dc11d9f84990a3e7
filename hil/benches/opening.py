"""From a bench's name to the bench."""

from __future__ import annotations

from pathlib import Path

from hil.benches.bench import Bench
from hil.benches.declaration import Local, Qemu, declared


def open_bench(name: str, directory: Path, logs: Path) -> Bench:
    """`directory`: for what it needs while it runs; `logs`: where its console log is left. Raises BenchInvalid."""
    declaration = declared(name)
    title = Path(name).stem
    log = logs / f"{title}-console.log"
    match declaration.bench:
        case Local():
            from hil.benches.local import LocalBench

            return LocalBench(title, declaration, directory, log)
        case Qemu():
            from hil.benches.qemu.bench import QemuBench

            return QemuBench(title, declaration, directory, log)
    from hil.benches.ssh import SshBench

    return SshBench(title, declaration, directory, log)
