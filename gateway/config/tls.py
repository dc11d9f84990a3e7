"""Trying TLS files before anything is started: there, readable, PEM, and belonging together."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

from gateway.secrets import open_plain, readable_by_others
from gateway.settings import TlsSettings

_MOST_BYTES = 4 << 20
"""Of one file: the certificates of every authority that browsers trust have a tenth of that."""


class _NeedsPassword(Exception):
    """Raised out of OpenSSL's password callback, which would otherwise ask on the terminal."""


def check_tls(tls: TlsSettings, *, files: bool) -> Iterator[tuple[str, str, str]]:
    """(key, message, mend) for everything wrong. `files`: look at the files too."""
    if tls.key is not None and tls.certificate is None:
        yield "key", "a key is given without its certificate", "add certificate, or take key out"
    if not files:
        return
    broken = False
    for name, path in (("ca", tls.ca), ("certificate", tls.certificate), ("key", tls.key)):
        if path is not None and (wrong := unreadable(path)):
            yield name, *wrong
            broken = True
    secret = tls.key or tls.certificate
    if broken:
        return
    if tls.ca is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cafile=tls.ca)
        except (ssl.SSLError, ValueError):
            yield "ca", f"{tls.ca} holds no certificate in PEM form", "give a file with -----BEGIN CERTIFICATE-----"
    if tls.certificate is not None:
        yield from _check_pair(tls.certificate, tls.key)
    if secret is not None and (wrong := exposed(secret)):
        yield "key" if tls.key else "certificate", *wrong


def exposed(path: Path) -> tuple[str, str] | None:
    """(message, mend) if a readable file holds a private key that every user can read."""
    if _holds_key(path) and readable_by_others(path):
        return f"the private key in {path} can be read by every user", f"run chmod o-rwx {path}"
    return None


def unreadable(path: Path) -> tuple[str, str] | None:
    """(message, mend) if the file isn't there or can't be read."""
    try:
        with open_plain(path) as file:
            if len(file.read(_MOST_BYTES + 1)) > _MOST_BYTES:
                return f"the file {path} is larger than {_MOST_BYTES >> 20} MiB", "is it the right file?"
    except FileNotFoundError:
        return f"the file {path} doesn't exist", "create it, or mend the path"
    except PermissionError:
        return f"the file {path} can't be read: permission denied", "give the gateway's user the right to read it"
    except OSError as error:
        return f"the file {path} can't be read: {error.strerror}", "mend the path"
    return None


def _holds_key(path: Path) -> bool:
    return b"PRIVATE KEY-----" in path.read_bytes()


def _check_pair(certificate: Path, key: Path | None) -> Iterator[tuple[str, str, str]]:
    if b"-----BEGIN CERTIFICATE-----" not in certificate.read_bytes():
        yield (
            "certificate",
            f"{certificate} holds no certificate in PEM form",
            "give a file with -----BEGIN CERTIFICATE-----",
        )
        return
    name, path = ("key", key) if key else ("certificate", certificate)
    if not _holds_key(path):
        hint = "give a file with -----BEGIN PRIVATE KEY-----" if key else "add key, with the file that holds it"
        yield name, f"{path} holds no private key in PEM form", hint
        return

    def ask() -> str:
        raise _NeedsPassword

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate, key, password=ask)
    except _NeedsPassword:
        hint = "take the password off (openssl pkey -in OLD -out NEW) and guard the file by its permissions"
        yield name, f"the private key in {path} needs a password", hint
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            yield name, f"the private key in {path} doesn't belong to {certificate}", "give the key of this certificate"
        else:
            reason = (error.reason or "unknown reason").lower().replace("_", " ")
            yield "certificate", f"{certificate} and {path} can't be used: {reason}", "write both files again"
