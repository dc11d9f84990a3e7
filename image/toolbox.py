"""The toolbox: a chroot of Debian 13 with every tool of the build, so that the machine's own release doesn't matter.

Commands run in it with a mount namespace of their own: what they mount is gone with them, whatever happens.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from image.errors import BuildError
from image.mirrors import mirrors, proxies
from image.places import CHECKOUT, Places, key_of
from image.steps import step

SUITES = ("trixie", "trixie-updates", "trixie-security")
_PACKAGES = (
    "arch-test",
    "binutils-aarch64-linux-gnu",
    "ca-certificates",
    "debian-archive-keyring",
    "dosfstools",
    "e2fsprogs",
    "genimage",
    "ipxe-qemu",
    "kmod",
    "mmdebstrap",
    "mtools",
    "openssl",
    "python3",
    "qemu-system-arm",
    "qemu-user",
    "qemu-utils",
    "rauc",
    "squashfs-tools",
    "u-boot-qemu",
    "u-boot-tools",
    "xz-utils",
    "zstd",
)
DEBIAN_OPTIONS = (
    '--aptopt=APT::Install-Recommends "false"',
    '--aptopt=Acquire::Languages "none"',
    '--aptopt=Acquire::Retries "5"',
    "--dpkgopt=force-unsafe-io",
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-include=/usr/share/doc/*/copyright",
    "--dpkgopt=path-exclude=/usr/share/info/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)
"""What every Debian system made here has in common: nothing recommended, no manuals, no translations."""

_BINFMT = "/proc/sys/fs/binfmt_misc"
_EMULATOR = "tidegate-aarch64"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Toolbox:
    """A toolbox that is ready. The folders in ``binds`` are at the same place inside as outside."""

    root: Path
    binds: tuple[Path, ...]

    def seeing(self, *files: Path) -> Toolbox:
        """The same toolbox with the folders of these files in it."""
        return replace(self, binds=tuple(dict.fromkeys([*self.binds, *(file.parent for file in files)])))

    def run(
        self, command: Iterable[str | Path], *, env: Mapping[str, str] | None = None, data: bytes | None = None
    ) -> bytes:
        """Run a command inside and return its standard output. Raises BuildError with the end of its errors."""
        words = [str(word) for word in command]
        variables = {"PATH": _PATH, "HOME": "/root", "LC_ALL": "C.UTF-8", "TZ": "UTC", **(env or {})}
        chroot = ["chroot", str(self.root), "/usr/bin/env", "-i", *(f"{k}={v}" for k, v in variables.items()), *words]
        script = "\n".join(["set -e", *self._mounts(), shlex.join(["exec", *chroot])])
        done = subprocess.run(
            ["unshare", "--mount", "--propagation", "private", "sh", "-c", script],
            input=data if data is not None else b"",
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip().splitlines()[-25:]
            raise BuildError("\n".join([f"{words[0]} failed in the toolbox {self.root}:", *said]))
        return done.stdout

    def script(self, text: str, *arguments: str | Path, env: Mapping[str, str] | None = None) -> bytes:
        """Run lines of shell inside, stopped by the first that fails; ``$1`` and so on are ``arguments``."""
        return self.run(["sh", "-euc", text, "sh", *arguments], env=env)

    def _mounts(self) -> list[str]:
        lines = [
            f"mount -t proc proc {self._inside('/proc')}",
            f"mount -t binfmt_misc binfmt_misc {self._inside(_BINFMT)}",
            f"mount --rbind /dev {self._inside('/dev')}",
            f"mount -t tmpfs tmpfs {self._inside('/tmp')}",
            f"mount -t tmpfs tmpfs {self._inside('/run')}",
            # The kernel forgets its emulators with the last mount of their file system.
            f"cd {self._inside(_BINFMT)}",
            f"[ -e {_EMULATOR} ] || printf %s {shlex.quote(self._emulator_rule())} > register || [ -e {_EMULATOR} ]",
            "cd /",
        ]
        # Name resolution as on the machine itself.
        lines += (
            f"touch {self._inside(file)} && mount --bind {file} {self._inside(file)}"
            for file in ("/etc/resolv.conf", "/etc/hosts")
            if Path(file).exists()
        )
        for folder in self.binds:
            inside = self._inside(str(folder))
            lines.append(f"mkdir -p {inside} && mount --bind {shlex.quote(str(folder))} {inside}")
        return lines

    def _emulator_rule(self) -> str:
        """How the kernel knows programs for arm64, and what runs them; binfmt_misc in the kernel's documentation.

        F opens the emulator at once, so that nothing has to be copied into what runs under it; P and O keep the
        program's own name and file; C takes its set-user-ID bit.
        """
        magic = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
        mask = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
        return f":{_EMULATOR}:M::{magic}:{mask}:{self.root}/usr/bin/qemu-aarch64:OCPF"

    def _inside(self, path: str) -> str:
        return shlex.quote(f"{self.root}{path}")


def toolbox(where: Places) -> Toolbox:
    """The toolbox for these places, made where the cache hasn't got it. Needs root."""
    if os.geteuid() != 0:
        raise BuildError("an image is built as root, since it mounts and changes owners: run `sudo make image`")
    root = where.cache / f"toolbox-{key_of([*SUITES, *_PACKAGES, *DEBIAN_OPTIONS])}"
    with step("toolbox") as current:
        current.note = "cached" if root.is_dir() else "made"
        if not root.is_dir():
            _make(root, where)
    where.out.mkdir(parents=True, exist_ok=True)
    return Toolbox(root, (CHECKOUT, where.out, where.cache))


def _make(root: Path, where: Places) -> None:
    if shutil.which("mmdebstrap") is None:
        raise BuildError("mmdebstrap is missing: run `make image`, which installs it, or `apt-get install mmdebstrap`")
    where.cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=where.cache, prefix=".toolbox-") as fresh:
        done = subprocess.run(
            [
                *("mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"),
                *DEBIAN_OPTIONS,
                *(f"--aptopt={proxy}" for proxy in proxies()),
                f"--include={','.join(_PACKAGES)}",
                *(SUITES[0], f"{fresh}/root", "-"),
            ],
            input=mirrors().sources(SUITES, "main"),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise BuildError("\n".join(["mmdebstrap can't make the toolbox:", *done.stderr.splitlines()[-25:]]))
        Path(fresh, "root").rename(root)
