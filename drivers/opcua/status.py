"""Status codes as people read them (OPC 10000-6 annex A.2)."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from gateway.model import quality_name

_TEXTS = Path(__file__).with_name("status_texts.tsv")
"""Code and text of each."""

MASK = 0xFFFF_0000
"""What remains of a status code without its info bits."""

BAD = 0x80000000
"""The severity bit."""
BAD_TIMEOUT = 0x800A0000
BAD_SECURE_CHANNEL_ID_INVALID = 0x80220000
BAD_SESSION_ID_INVALID = 0x80250000
BAD_SESSION_CLOSED = 0x80260000
BAD_SESSION_NOT_ACTIVATED = 0x80270000
BAD_SUBSCRIPTION_ID_INVALID = 0x80280000
BAD_NO_SUBSCRIPTION = 0x80790000
BAD_TOO_MANY_PUBLISH_REQUESTS = 0x80780000
BAD_NO_CONTINUATION_POINTS = 0x804B0000
BAD_NO_MATCH = 0x806F0000
BAD_NODE_ID_UNKNOWN = 0x80340000
BAD_TOO_MANY_MONITORED_ITEMS = 0x80DB0000
BAD_MONITORED_ITEM_FILTER_INVALID = 0x80430000
BAD_MONITORED_ITEM_FILTER_UNSUPPORTED = 0x80440000
BAD_FILTER_NOT_ALLOWED = 0x80450000
BAD_SERVICE_UNSUPPORTED = 0x800B0000
BAD_SHUTDOWN = 0x800C0000
BAD_REQUEST_TOO_LARGE = 0x80B80000
BAD_SERVER_HALTED = 0x800E0000
BAD_USER_ACCESS_DENIED = 0x801F0000
BAD_LICENSE_EXPIRED = 0x810E0000
BAD_CERTIFICATE_INVALID = 0x80120000
BAD_SECURITY_CHECKS_FAILED = 0x80130000
BAD_CERTIFICATE_TIME_INVALID = 0x80140000
BAD_CERTIFICATE_UNTRUSTED = 0x801A0000
BAD_CERTIFICATE_ISSUER_REVOKED = 0x801E0000
BAD_CERTIFICATE_CHAIN_INCOMPLETE = 0x810D0000
BAD_CERTIFICATE_POLICY_CHECK_FAILED = 0x81140000
BAD_IDENTITY_TOKEN_INVALID = 0x80200000
BAD_IDENTITY_TOKEN_REJECTED = 0x80210000
BAD_USER_SIGNATURE_INVALID = 0x80570000

SESSION_GONE = frozenset(
    {
        BAD_SECURE_CHANNEL_ID_INVALID,
        BAD_SESSION_ID_INVALID,
        BAD_SESSION_CLOSED,
        BAD_SESSION_NOT_ACTIVATED,
    }
)
HOPELESS = frozenset(
    {
        BAD_SERVICE_UNSUPPORTED,
        BAD_USER_ACCESS_DENIED,
        BAD_SERVER_HALTED,
        BAD_SHUTDOWN,
        BAD_LICENSE_EXPIRED,
    }
)
"""Refusals of a whole request that a smaller one won't get round."""


class ServiceFailed(Exception):
    """The other side refused a whole request, or broke the connection off, with a status code."""

    def __init__(self, code: int) -> None:
        self.code = code
        super().__init__(sentence(code))


def name(code: int) -> str:
    """The standard's name, or the hexadecimal form of a code that has none."""
    return quality_name(code)


def sentence(code: int) -> str:
    """``BadUserAccessDenied (user does not have permission to perform the requested operation)``."""
    text = _text(code)
    return f"{name(code)} ({text[0].lower()}{text[1:].rstrip('.')})" if text else name(code)


@lru_cache(maxsize=256)
def _text(code: int) -> str:
    """From the standard's table, which is read for each code that is met: few are."""
    key = f"{code & MASK:08X}\t"
    for line in _TEXTS.read_text(encoding="utf-8").splitlines():
        if line.startswith(key):
            return line.removeprefix(key)
    return ""
