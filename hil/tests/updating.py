"""How a release gets into a box: handed over, installed, started, proved."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hil.benches.page import Declined
from hil.tests.box import Box


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
PART = 4 << 20
"""Bytes of one part of an upload."""
_PAUSE_S = 1.0
_INSTALL_S = 600.0


class InstallFailed(Exception):
    """The box said so."""


def upload(box: Box, bundle: Path) -> str:
    """Hand a bundle over as the page does. Returns its path in the box."""
    size = bundle.stat().st_size
    with bundle.open("rb") as file:
        while part := file.read(PART):
            offset = file.tell() - len(part)
            answer = box.api.send("PUT", f"/v1/update/upload?offset={offset}&size={size}", part)
    path = answer["path"]
    assert isinstance(path, str), answer
    return path


def install(box: Box, path: str, *, for_s: float | None = None) -> bool:
    """Write it to the other slot. `for_s`: watch no longer than that; False: it wasn't done by then.

    Raises InstallFailed.
    """
    end = time.monotonic() + (box.patient(_INSTALL_S) if for_s is None else for_s)
    box.api.call("POST", "/v1/update/install", {"path": path})
    while time.monotonic() < end:
        latest = box.api.get("/v1/update")["installation"]
        if latest is not None and latest["state"] == "failed":
            raise InstallFailed(latest["detail"])
        if latest is not None and latest["state"] == "done":
            return True
        time.sleep(_PAUSE_S)
    assert for_s is not None, f"not installed within {box.patient(_INSTALL_S):.0f} s: {latest}"
    return False


def update(box: Box, path: str, *, for_s: float | None = None) -> str:
    """Install it and restart. `for_s`: until then, however far it has come; else until it has started.

    Returns what it was at.
    """
    began = time.monotonic()
    started = box.bench.expect_start()
    if not install(box, path, for_s=for_s):
        return "while it was written"
    box.api.call("POST", "/v1/machine/restart")
    if for_s is None:
        started(120)
        return "started"
    stage = "while it restarted"
    while (left_s := for_s - (time.monotonic() - began)) > 0:
        stage = _stage(box, min(left_s, _PAUSE_S))
        time.sleep(min(_PAUSE_S, max(0.0, for_s - (time.monotonic() - began))))
    return stage


def _stage(box: Box, within_s: float) -> str:
    """Asked for no longer than that: the moment of a power cut doesn't wait for an answer."""
    try:
        trial = box.api.within(within_s).get("/v1/update")["trial"]
    except (OSError, http.client.HTTPException, Declined):
        return "while it restarted"
    if trial is None:
        return "after it had proved itself"
    return "before it restarted" if trial["state"] == "waiting" else "while it was on trial"


def chosen(box: Box) -> list[tuple[str, bool, bool]]:
    """Of each slot: its name, whether it runs, whether it runs next."""
    return [(slot["name"], slot["booted"], slot["next"]) for slot in box.api.get("/v1/update")["slots"]]


def healthy(box: Box) -> dict[str, Any]:
    """The slot that runs, once it has proved itself and nothing is on trial."""

    def look() -> dict[str, Any] | None:
        said = box.api.get("/v1/update")
        running = next((slot for slot in said["slots"] if slot["booted"]), None)
        trial = said["trial"]
        settled = trial is None or trial["state"] == "fallen"
        return running if running is not None and running["good"] and settled else None

    found: dict[str, Any] = box.until(look, 600, "a slot that has proved itself runs")
    return found
