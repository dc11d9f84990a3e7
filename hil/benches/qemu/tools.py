"""The emulator and what prepares its disks: from the image's toolbox where there is one, else from this machine.

The toolbox is a Debian of its own, so its programs are started with its loader and its libraries. No root is needed.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from hil.benches.bench import BoxFailed

_CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "tidegate" / "image"
_LIBRARIES = "usr/lib/x86_64-linux-gnu"
_LOADER = "lib64/ld-linux-x86-64.so.2"
_FIRMWARE = "usr/lib/u-boot/qemu_arm64/u-boot.bin"


@dataclass(frozen=True, slots=True)
class Tools:
    """Of a root directory: a toolbox's, or this machine's."""

    root: Path

    @property
    def firmware(self) -> Path:
        """U-Boot for the emulated board."""
        return self.root / _FIRMWARE

    def command(self, program: str, *arguments: str | Path) -> list[str]:
        """Raises BoxFailed if there is no such program."""
        found = next(
            (
                self.root / place / program
                for place in ("usr/bin", "usr/sbin")
                if (self.root / place / program).exists()
            ),
            None,
        )
        if found is None:
            raise BoxFailed(f"{program} is missing in {self.root}: run make image, or install it")
        words = [str(found), *map(str, arguments)]
        if self.root == Path("/"):
            return words
        paths = f"{self.root / _LIBRARIES}:{self.root / _LIBRARIES}/systemd"
        return [str(self.root / _LOADER), "--library-path", paths, *words]

    def run(self, program: str, *arguments: str | Path, **environment: str) -> str:
        """Its output. Raises BoxFailed with what it complained of."""
        ran = subprocess.run(
            self.command(program, *arguments),
            capture_output=True,
            text=True,
            env={**os.environ, **environment},
            check=False,
        )
        if ran.returncode != 0:
            raise BoxFailed(f"{program} failed: {ran.stderr.strip() or ran.stdout.strip()}")
        return ran.stdout

    def emulator(self, *arguments: str) -> list[str]:
        data = ["-L", str(self.root / "usr/share/qemu"), "-L", str(self.root / "usr/lib/ipxe/qemu")]
        return self.command("qemu-system-aarch64", *data, *arguments)


def find_tools() -> Tools:
    """The newest toolbox, else this machine's own. Raises BoxFailed."""
    made = sorted(_CACHE.glob("toolbox-*"), key=lambda path: path.stat().st_mtime, reverse=True)
    for root in (*made, Path("/")):
        if (root / "usr/bin/qemu-system-aarch64").exists() and (root / _FIRMWARE).exists():
            return Tools(root)
    raise BoxFailed("there is no emulator: run make image, or apt-get install qemu-system-arm qemu-utils u-boot-qemu")
