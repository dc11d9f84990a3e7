"""Secrets that the gateway makes itself: claim codes and tokens. Only their hashes are kept."""

from __future__ import annotations

import hashlib
import secrets

# Crockford's base 32: no I, L, O and U. Sixteen of them are 80 bits.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_GROUPS, _LENGTH = 4, 4
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})
TOKEN_MARK = "tidegate_"
"""What a token begins with, so that people and secret scanners know it."""


def new_claim_code() -> str:
    """80 random bits to be read from a screen and typed: ``7H2K-9QRM-4TWX-B0ZC``."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH)) for _ in range(_GROUPS))


def claim_digest(code: str) -> str:
    """The same for every way to type a code: case, spaces, hyphens, O for 0, I and L for 1."""
    return hashlib.sha256(code.strip().upper().translate(_READ_AS).encode()).hexdigest()


def new_token() -> tuple[str, str, str]:
    """(id, the token itself, its digest)"""
    token_id = secrets.token_hex(4)
    token = f"{TOKEN_MARK}{token_id}_{secrets.token_urlsafe(32)}"
    return token_id, token, token_digest(token)


def token_digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
