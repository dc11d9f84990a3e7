"""Bundles that somebody has changed: a genuine one's end is the manifest, signed, and eight bytes with its length."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path


def _with_another_byte(genuine: Path, forged: Path) -> None:
    shutil.copyfile(genuine, forged)
    with forged.open("r+b") as file:
        file.seek(genuine.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def _with_another_signature(genuine: Path, forged: Path) -> None:
    content, signature = _parts(genuine)
    changed = bytearray(signature)
    changed[-100] ^= 1
    _join(forged, content, bytes(changed))


def _signed_by_a_stranger(genuine: Path, forged: Path) -> None:
    """The manifest as it is, under a signature that is sound in itself."""
    content, signature = _parts(genuine)
    place = forged.parent
    key, certificate = place / "stranger.key", place / "stranger.pem"
    subject = ("-subj", "/CN=stranger", "-addext", "extendedKeyUsage=codeSigning", "-days", "3650")
    kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    _openssl("req", "-x509", *kind, "-keyout", key, "-out", certificate, *subject)
    manifest = _openssl("cms", "-verify", "-noverify", "-inform", "DER", "-binary", text=signature)
    signer = ("-signer", certificate, "-inkey", key, "-md", "sha256")
    _join(forged, content, _openssl("cms", "-sign", "-nodetach", "-binary", "-outform", "DER", *signer, text=manifest))


def _parts(bundle: Path) -> tuple[bytes, bytes]:
    """Its content and the signature with the manifest; the last eight bytes say how long that is."""
    whole = bundle.read_bytes()
    size = int.from_bytes(whole[-8:], "big")
    return whole[: -8 - size], whole[-8 - size : -8]


def _join(bundle: Path, content: bytes, signature: bytes) -> None:
    bundle.write_bytes(content + signature + len(signature).to_bytes(8, "big"))


def _openssl(*words: str | Path, text: bytes = b"") -> bytes:
    return subprocess.run(["openssl", *words], input=text, capture_output=True, check=True).stdout


FORGERIES: Mapping[str, tuple[Callable[[Path, Path], None], str]] = {
    "other content": (_with_another_byte, r"."),
    "another signature": (_with_another_signature, r"signature doesn't fit it"),
    "a stranger's signature": (_signed_by_a_stranger, r"whom this machine doesn't trust"),
}
"""How a genuine bundle is forged, and what a box then says."""
