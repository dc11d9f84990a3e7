"""TLS towards a broker: the client's context, the check of its files, and OpenSSL's errors in plain words."""

from __future__ import annotations

import ssl
from pathlib import Path

from gateway.northbound.mqtt.errors import ConnectFailed
from gateway.settings import TlsSettings


class _PassphraseNeeded(Exception):
    """OpenSSL would ask the terminal; a gateway has none."""


def check_tls(settings: TlsSettings) -> list[str]:
    """What is wrong with the files, one sentence each; empty if a connection could be tried with them."""
    problems = []
    for what, key, path, mark in (
        ("CA file", "ca", settings.ca, "-----BEGIN CERTIFICATE-----"),
        ("client certificate", "certificate", settings.certificate, "-----BEGIN CERTIFICATE-----"),
        ("client key", "key", settings.key, "PRIVATE KEY-----"),
    ):
        if path is not None and (problem := _check_file(what, key, path, mark)):
            problems.append(problem)
    if settings.certificate is not None and settings.key is None:
        problems.append(f"the client certificate {settings.certificate} has no key: set key as well")
    if settings.key is not None and settings.certificate is None:
        problems.append(f"the client key {settings.key} has no certificate: set certificate as well")
    if problems:
        return problems
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if settings.ca is not None:
        try:
            context.load_verify_locations(cafile=settings.ca)
        except ssl.SSLError as error:
            problems.append(f"the CA file {settings.ca} is damaged ({_words(error)}): copy it again")
    if settings.certificate is not None and settings.key is not None:
        try:
            context.load_cert_chain(settings.certificate, settings.key, password=_no_passphrase)
        except _PassphraseNeeded:
            problems.append(
                f"the client key {settings.key} is protected by a passphrase, which nobody is there to type: "
                "store it without one (openssl pkey -in KEY -out KEY) and let only the gateway's user read it"
            )
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                problems.append(
                    f"the client key {settings.key} doesn't belong to the certificate {settings.certificate}: "
                    "use the key the certificate was requested with"
                )
            else:
                problems.append(
                    f"the client certificate {settings.certificate} or its key {settings.key} is damaged "
                    f"({_words(error)}): copy both again"
                )
    return problems


def client_context(settings: TlsSettings) -> ssl.SSLContext:
    """TLS 1.2 or newer, with the server's certificate and name checked. Reads files. Raises ConnectFailed."""
    problems = check_tls(settings)
    if problems:
        raise ConnectFailed("; ".join(problems))
    context = ssl.create_default_context(cafile=settings.ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if settings.certificate is not None:
        context.load_cert_chain(settings.certificate, settings.key, password=_no_passphrase)
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


def _check_file(what: str, key: str, path: Path, mark: str) -> str | None:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return f"the {what} {path} doesn't exist: create it, or mend {key}"
    except PermissionError:
        return f"the {what} {path} can't be read: give the gateway's user the right to read it"
    except OSError as error:
        return f"the {what} {path} can't be read ({error.strerror}): mend {key}"
    if mark.encode() not in text:
        return f"the {what} {path} isn't in PEM form (no {mark!r} in it): convert it with openssl, or mend {key}"
    return None


def _no_passphrase() -> str:
    raise _PassphraseNeeded


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
