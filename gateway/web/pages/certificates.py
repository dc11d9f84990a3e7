"""Certificates: whom the drivers trust and who waits for it, those for brokers, and the page's own."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import Response

from gateway.actors import Role
from gateway.control.client import segment
from gateway.web.certificate import Pair
from gateway.web.visit import Page, Visit

log = logging.getLogger(__name__)

_MAX_FILE = 64 << 10
_MAX_FORM = 3 * _MAX_FILE
_DAY_S = 86_400
_SOON_S = 30 * _DAY_S
_PROGRAM_S = 30.0
_STATES = {
    "own": ("good", "Own"),
    "trusted": ("good", "Trusted"),
    "issuer": ("good", "Authority"),
    "quarantined": ("uncertain", "Waits to be trusted"),
}


async def _show(visit: Visit) -> Response:
    known = [_described(each) for each in await visit.get("/v1/certificates") if each["holder"] != "page"]
    return visit.render(
        "system_certificates.html",
        known=known,
        stores=sorted({each["driver"] for each in known if each["driver"]}),
        page=_described(await _of_page(visit.services.state)),
        copies=[("Command line", "tidegate cert list")],
    )


async def _change(visit: Visit) -> Response:
    form = await visit.form()
    action, driver = str(form.get("action", "")), segment(str(form.get("driver", "")))
    try:
        match action:
            case "accept" | "reject":
                fingerprint = segment(str(form.get("fingerprint", "")))
                await visit.post(f"/v1/certificates/{driver}/{fingerprint}/{action}")
            case "renew":
                await visit.post(f"/v1/certificates/{driver}/renew")
            case "add":
                await visit.post(f"/v1/certificates/{driver}/add", await _file(form.get("file"), "certificate"))
            case _:
                raise HTTPException(400)
    finally:
        await form.close()
    return visit.goto("/system/certificates")


async def _replace(visit: Visit) -> Response:
    """Another certificate for the page itself: one that is sent with its key, or a new one of its own making."""
    form = await visit.form()
    try:
        if form.get("action") == "make":
            await _program(str(visit.services.state))
        else:
            certificate = await _file(form.get("certificate"), "certificate")
            key = await _file(form.get("key"), "key")
            await asyncio.to_thread(_keep, Pair.of(visit.services.state), certificate, key)
    finally:
        await form.close()
    log.info("%s replaced the page's certificate", visit.actor.name)
    return visit.goto("/system/certificates")


def _keep(pair: Pair, certificate: bytes, key: bytes) -> None:
    """Only if they fit together. Blocking. Raises HTTPException."""
    with tempfile.TemporaryDirectory() as directory:
        trial = Pair(Path(directory) / "certificate.pem", Path(directory) / "key.pem")
        trial.keep(certificate, key)
        try:
            trial.context()
        except (OSError, ValueError) as error:
            why = "they don't belong together" if "MISMATCH" in str(error) else "they can't be read as PEM"
            if isinstance(error, ssl.SSLError) and "PASSWORD" in str(error).upper():
                why = "the key is locked with a passphrase"
            raise HTTPException(422, f"this certificate and key can't be used: {why}") from None
    try:
        pair.keep(certificate, key)
    except OSError as error:
        raise HTTPException(507, f"it can't be kept: {error.strerror or error}") from None


async def _file(given: Any, what: str) -> bytes:
    body = await given.read(_MAX_FILE + 1) if isinstance(given, UploadFile) else b""
    if not body or len(body) > _MAX_FILE:
        raise HTTPException(
            422, f"no file with a {what} was chosen" if not body else f"that file is too large for a {what}"
        )
    return body


async def _of_page(state: Path) -> dict[str, Any]:
    """The page's own, as the control API tells of others."""
    found: dict[str, Any] = json.loads(await _program("--about", str(state)))
    return {**found, "holder": "page", "driver": None, "state": "own"}


async def _program(*arguments: str) -> bytes:
    """What needs a library that would stay in memory for nothing runs by itself. Raises HTTPException."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.web.certificate", *arguments), stdin=asyncio.subprocess.DEVNULL, stdout=pipe
    )
    try:
        async with asyncio.timeout(_PROGRAM_S):
            out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        raise HTTPException(500, "the page's certificate can't be made or read; the log says why")
    return out


def _described(certificate: dict[str, Any]) -> dict[str, Any]:
    left_s = certificate["not_after_s"] - time.time()
    kind, word = _STATES.get(certificate["state"], ("off", certificate["state"]))
    if left_s < 0:
        kind, word = "bad", f"{word}, expired"
    elif left_s < _SOON_S:
        kind, word = "uncertain", f"{word}, expires soon"
    return {**certificate, "kind": kind, "word": word, "left_s": left_s}


PAGES = (
    Page("/system/certificates", _show),
    Page("/system/certificates", _change, Role.ADMIN, ("POST",), _MAX_FORM),
    Page("/system/certificates/page", _replace, Role.ADMIN, ("POST",), _MAX_FORM),
)
