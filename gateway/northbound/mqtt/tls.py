"""TLS towards a broker: the client's context, and OpenSSL's errors in plain words."""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.northbound.mqtt.errors import ConnectFailed
from gateway.settings import TlsSettings


class _PassphraseNeeded(Exception):
    """OpenSSL would ask the terminal; a gateway has none."""


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, with the server's certificate and name checked. Reads files. Raises ConnectFailed.

    The files were checked when the configuration was loaded. What is wrong with them now happened since, most likely
    while somebody is replacing them, so this says which and leaves the full diagnosis to ``tidegate check``.
    """
    try:
        context = ssl.create_default_context(cafile=settings.ca)
    except OSError as error:
        raise _unusable("CA file", settings.ca, error) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # The same files must do under every Python. 3.13 turned both on by default; the first refuses any CA without a key
    # usage extension, which is how `openssl req -x509` makes them and most plants have theirs.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    if settings.certificate is not None:
        try:
            context.load_cert_chain(settings.certificate, settings.key, password=_no_passphrase)
        except (OSError, _PassphraseNeeded) as error:
            raise _unusable("client certificate or its key", settings.certificate, error) from None
    return context


_UNTRUSTED = {18, 19, 20, 21}
"""X509_V_ERR_*: self-signed (alone, in the chain), no local issuer, leaf not verifiable."""
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAME = {62, 64}

_ALERTS = {
    "CERTIFICATE_REQUIRED": "the broker wants a client certificate: set certificate and key in [sink.tls]",
    "HANDSHAKE_FAILURE": "the broker refuses the handshake, most often for want of a client certificate: "
    "set certificate and key in [sink.tls]",
    "UNKNOWN_CA": "the broker doesn't trust the CA of our client certificate: give the broker that CA, or use another",
    "CERTIFICATE_EXPIRED": "our client certificate has expired: renew it",
    "CERTIFICATE_REVOKED": "our client certificate was revoked: get a new one",
    "BAD_CERTIFICATE": "the broker refuses our client certificate: check that it is meant for clients",
    "CERTIFICATE_UNKNOWN": "the broker refuses our client certificate: check that it is meant for clients",
    "PROTOCOL_VERSION": "the broker speaks no TLS version from 1.2 on: update it",
    "UNSUPPORTED_PROTOCOL": "the broker speaks no TLS version from 1.2 on: update it",
}
NOT_TLS = "what answers there doesn't speak TLS: check the port (MQTT over TLS is usually 8883)"
_NOT_TLS_REASONS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "UNEXPECTED_EOF_WHILE_READING")


def explain(error: ssl.SSLError, name: str) -> str:
    """What a TLS failure with the server `name` means and how to mend it, as a clause."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in _UNTRUSTED:
            return (
                f"the broker's certificate isn't signed by a trusted CA ({error.verify_message}): "
                "set ca in [sink.tls] to the CA that signed it"
            )
        if code in _WRONG_NAME:
            return f"the broker's certificate isn't for {name!r}: set server_name in [sink.tls] to a name it is for"
        if code == _EXPIRED:
            return "the broker's certificate has expired: renew it, or set this machine's clock right"
        if code == _NOT_YET_VALID:
            return "the broker's certificate isn't valid yet: set this machine's clock right"
        return f"the broker's certificate isn't accepted ({error.verify_message})"
    reason = (error.reason or "").replace(" ", "_").upper()
    for alert, sentence in _ALERTS.items():
        if reason.endswith(alert):
            return sentence
    if any(mark in reason for mark in _NOT_TLS_REASONS):
        return NOT_TLS
    return f"TLS failed ({_words(error)})"


def _unusable(what: str, path: Path | None, error: Exception) -> ConnectFailed:
    if isinstance(error, ssl.SSLError):
        why = _words(error)
    elif isinstance(error, OSError):
        why = error.strerror or str(error)
    else:
        why = "it needs a passphrase"
    return ConnectFailed(f"the {what} {path} can't be used ({why}): tidegate check says how to mend it")


def _no_passphrase() -> str:
    raise _PassphraseNeeded


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
