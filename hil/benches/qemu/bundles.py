"""Releases to update to: the image's own root under another version, signed by the key it trusts.

It is the same system, so that a test of updates tests updates. A broken one differs by one line: its gateway's unit
starts a program that fails.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from hil.benches.bench import BoxFailed
from hil.benches.qemu.tools import Tools
from image.keys import signer
from image.places import places
from image.toolbox import toolbox

_ABOUT = "/usr/lib/tidegate/appliance/release"
_UNIT = "/usr/lib/systemd/system/tidegate.service"
_SECTOR = 512
_ROOT_ENTRY = 446 + 16
"""In the partition table: the second of four."""
# Level 1: these are read once.
_QUICK = "-comp zstd -Xcompression-level 1"


class Bundles:
    """Made when they are asked for, and kept."""

    def __init__(self, tools: Tools, image: Path, directory: Path) -> None:
        self._tools = tools
        self._image = image
        self._directory = directory

    def get(self, version: str, *, broken: bool = False) -> Path:
        """Raises BoxFailed or what the image's build raises."""
        bundle = self._directory / f"{version}.raucb"
        if not bundle.exists():
            folder = self._directory / f"bundle-{version}"
            folder.mkdir()
            root = folder / "rootfs.ext4"
            self._copy_root(root)
            about = self._read(root, _ABOUT)
            self._replace(root, _ABOUT, re.sub(r"(?m)^VERSION=.*$", f"VERSION={version}", about))
            if broken:
                unit = self._read(root, _UNIT)
                self._replace(root, _UNIT, re.sub(r"(?m)^ExecStart=.*$", "ExecStart=/usr/bin/false", unit))
            self._sign(folder, version, about, bundle)
            shutil.rmtree(folder)
        return bundle

    def _copy_root(self, out: Path) -> None:
        """Slot A's file system, as it was delivered."""
        with self._image.open("rb") as image, out.open("wb") as root:
            table = image.read(_SECTOR)
            first = int.from_bytes(table[_ROOT_ENTRY + 8 : _ROOT_ENTRY + 12], "little")
            count = int.from_bytes(table[_ROOT_ENTRY + 12 : _ROOT_ENTRY + 16], "little")
            image.seek(first * _SECTOR)
            left = count * _SECTOR
            while left:
                piece = image.read(min(left, 1 << 20))
                if piece.count(0) == len(piece):
                    root.seek(len(piece), 1)
                else:
                    root.write(piece)
                left -= len(piece)
            root.truncate(count * _SECTOR)

    def _read(self, root: Path, path: str) -> str:
        text = self._tools.run("debugfs", "-R", f"cat {path}", root)
        if not text:
            raise BoxFailed(f"the image has no {path}")
        return text

    def _replace(self, root: Path, path: str, text: str) -> None:
        fresh = root.with_name("fresh")
        fresh.write_text(text)
        script = root.with_name("script")
        script.write_text(f"rm {path}\nwrite {fresh} {path}\nset_inode_field {path} mode 0100644\n")
        self._tools.run("debugfs", "-w", "-f", script, root)
        if self._read(root, path) != text:
            raise BoxFailed(f"{path} can't be changed in the image's root")
        fresh.unlink()
        script.unlink()

    def _sign(self, folder: Path, version: str, about: str, out: Path) -> None:
        compatible = re.search(r"(?m)^COMPATIBLE=(.*)$", about)
        assert compatible is not None, about
        manifest = f"[update]\ncompatible={compatible[1]}\nversion={version}\n\n[bundle]\nformat=verity\n"
        (folder / "manifest.raucm").write_text(f"{manifest}\n[image.rootfs]\nfilename=rootfs.ext4\n")
        where = places(self._directory)
        who = signer(where.cache / "keys")
        options = (f"--cert={who.certificate}", f"--key={who.key}", f"--keyring={who.keyring}")
        toolbox(where).run(["rauc", "bundle", *options, f"--mksquashfs-args={_QUICK}", folder, out])
