"""Modbus/TCP Security (MB-TCP-Security 3.6): TLS from the first byte, both ends with a certificate.

The files are read anew for each connection, so that a renewed certificate needs no restart. What can be known to be
wrong with them is said before anything is sent. Which role a certificate gives is the device's affair.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from drivers.modbus.link import LinkOptions
from drivers.modbus.transport.conversation import C
from drivers.modbus.transport.stream import StreamDial
from gateway.driver import LinkDown

_UNTRUSTED = {18, 19, 20, 21}
"""X509_V_ERR_*: self-signed (alone, in the chain), no local issuer, leaf not verifiable."""
_NOT_YET_VALID, _EXPIRED = 9, 10
_WRONG_NAME = {62, 64}


class TlsDial(StreamDial):
    """Opens TLS connections to one endpoint. Implements :class:`drivers.modbus.transport.wire.Dial`."""

    def __init__(self, host: str, port: int, options: LinkOptions) -> None:
        super().__init__(host, port, options)
        self._name = options.server_name or host

    async def _open(self, converse: Callable[[], C]) -> C:
        context = client_context(self._options)

        def explained() -> C:
            conversation = converse()

            def explain(error: Exception | None) -> str | None:
                # With TLS 1.3 the device judges our certificate only after the handshake.
                return None if conversation.answered else self._explain(error) or self._hung_up()

            conversation.explain = explain
            return conversation

        return await self._connect(explained, context, self._name)

    def _failure(self, error: OSError | UnicodeError) -> str:
        meaning = self._explain(error)
        return f"{self.peer} can't be spoken to by TLS: {meaning}" if meaning else super()._failure(error)

    def _explain(self, error: Exception | None) -> str | None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return self._why_untrusted(error)
        if isinstance(error, ssl.SSLError):
            return self._why_failed(error)
        if isinstance(error, ConnectionResetError | ConnectionAbortedError):
            return self._hung_up()
        return None

    def _hung_up(self) -> str:
        """The device says nothing about why."""
        own = self._options.certificate
        if own is None:
            return "it hung up on us, most often for want of a certificate of ours: set certificate and key"
        return f"it hung up on us; does it speak TLS on this port, and trust the CA of our certificate {own}?"

    def _why_untrusted(self, error: ssl.SSLCertVerificationError) -> str:
        """We refuse the device."""
        ca = self._options.ca
        if error.verify_code in _UNTRUSTED:
            return f"its certificate isn't signed by a CA in {ca} ({error.verify_message}): add the one that signed it"
        if error.verify_code in _WRONG_NAME:
            return f"its certificate isn't for {self._name!r}: set server_name to a name it is for"
        if error.verify_code == _EXPIRED:
            return "its certificate has expired: renew it in the device, or set this machine's clock right"
        if error.verify_code == _NOT_YET_VALID:
            return "its certificate isn't valid yet: set this machine's clock right"
        return f"its certificate isn't accepted ({error.verify_message})"

    def _why_failed(self, error: ssl.SSLError) -> str:
        """The device refuses us, in its own way or by an alert."""
        own = self._options.certificate
        reason = (error.reason or "").replace(" ", "_").upper()
        sentences = {
            "CERTIFICATE_REQUIRED": "it wants a certificate of ours: set certificate and key",
            "HANDSHAKE_FAILURE": "it refuses the handshake"
            + ("" if own else ", most often for want of a certificate of ours: set certificate and key"),
            "UNKNOWN_CA": f"it doesn't trust the CA of our certificate {own}: give the device that CA, or use another",
            "CERTIFICATE_EXPIRED": f"it says that our certificate {own} has expired: renew it",
            "CERTIFICATE_REVOKED": f"it says that our certificate {own} was revoked: get a new one",
            "BAD_CERTIFICATE": f"it refuses our certificate {own}: check that it is meant for clients",
            "CERTIFICATE_UNKNOWN": f"it refuses our certificate {own}: check that it is meant for clients",
            "ACCESS_DENIED": f"it denies access to our certificate {own}: check its role",
            "PROTOCOL_VERSION": "it speaks no TLS version from 1.2 on: update it",
            "UNSUPPORTED_PROTOCOL": "it speaks no TLS version from 1.2 on: update it",
            "WRONG_VERSION_NUMBER": "it doesn't speak TLS on this port: Modbus/TCP Security is usually on 802",
            "RECORD_LAYER_FAILURE": "it doesn't speak TLS on this port: Modbus/TCP Security is usually on 802",
            "UNEXPECTED_EOF_WHILE_READING": self._hung_up(),
        }
        for end, sentence in sentences.items():
            if reason.endswith(end):
                return sentence
        return f"TLS failed ({_words(error)})"


def client_context(options: LinkOptions) -> ssl.SSLContext:
    """TLS 1.2 or newer, the device's certificate and name checked, ours shown. Reads files. Raises LinkDown."""
    assert options.ca is not None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Under every Python the same: 3.13 refuses by default any CA without a key usage extension, which most plants have.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    try:
        context.load_verify_locations(cafile=options.ca)
    except OSError as error:
        raise _unusable("CA file", options.ca, error) from None
    if options.certificate is not None:
        _check_dates(options.certificate)
        try:
            context.load_cert_chain(options.certificate, options.key, password=_no_password)
        except _PasswordNeeded:
            raise LinkDown(
                f"the private key in {options.key or options.certificate} needs a password: take it off "
                "(openssl pkey -in OLD -out NEW) and guard the file by its permissions"
            ) from None
        except ssl.SSLError as error:
            if error.reason == "KEY_VALUES_MISMATCH":
                raise LinkDown(
                    f"the private key in {options.key or options.certificate} doesn't belong to {options.certificate}: "
                    "give the key of this certificate"
                ) from None
            raise _unusable("certificate or its key", options.key or options.certificate, error) from None
        except OSError as error:
            raise _unusable("certificate or its key", options.key or options.certificate, error) from None
    return context


def _check_dates(certificate: Path) -> None:
    """Raises LinkDown if ours is out of date: the device would only hang up."""
    try:
        own = x509.load_pem_x509_certificate(certificate.read_bytes())
    except OSError as error:
        raise _unusable("certificate", certificate, error) from None
    except ValueError:
        raise LinkDown(f"{certificate} holds no certificate in PEM form: give a file with BEGIN CERTIFICATE") from None
    now = datetime.now(UTC)
    if now > own.not_valid_after_utc:
        raise LinkDown(f"our certificate {certificate} expired on {own.not_valid_after_utc:%Y-%m-%d}: renew it")
    if now < own.not_valid_before_utc:
        raise LinkDown(
            f"our certificate {certificate} is only valid from {own.not_valid_before_utc:%Y-%m-%d}: "
            "set this machine's clock right"
        )


class _PasswordNeeded(Exception):
    """OpenSSL would ask the terminal; a gateway has none."""


def _no_password() -> str:
    raise _PasswordNeeded


def _unusable(what: str, path: Path, error: OSError) -> LinkDown:
    why = _words(error) if isinstance(error, ssl.SSLError) else error.strerror or str(error)
    return LinkDown(f"the {what} {path} can't be used ({why}): mend the path or the file")


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error)).replace("_", " ").lower()
