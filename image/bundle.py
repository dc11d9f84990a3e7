"""An update bundle: a slot's root file system, signed, each block verified as it is read (RAUC's "verity" format)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from image.keys import Signer
from image.release import Release
from image.toolbox import Toolbox

_SLOT = "rootfs"


def bundle(root_file: Path, release: Release, signer: Signer, box: Toolbox, work: Path, out: Path) -> None:
    """Write the bundle ``out`` of the file system in ``root_file``, and check it against the keyring boxes trust."""
    folder = work / "bundle"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.link(root_file, folder / f"{_SLOT}.ext4")
    (folder / "manifest.raucm").write_text(manifest(release))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.unlink(missing_ok=True)
    box.seeing(out).run(
        [
            # As a box checks it: /etc/rauc/system.conf.
            *("rauc", f"--confopt=keyring:path={signer.keyring}", "--confopt=keyring:check-purpose=codesign"),
            *("bundle", f"--cert={signer.certificate}", f"--key={signer.key}"),
            *("--mksquashfs-args=-comp zstd -Xcompression-level 9 -b 256k", folder, out),
        ]
    )
    shutil.rmtree(folder)


def manifest(release: Release) -> str:
    """What RAUC reads of a bundle before anything else."""
    return (
        f"[update]\ncompatible={release.compatible}\nversion={release.version}\nbuild={release.commit}\n\n"
        f"[bundle]\nformat=verity\n\n[image.{_SLOT}]\nfilename={_SLOT}.ext4\n"
    )
