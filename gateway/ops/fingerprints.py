"""How people tell one certificate from another."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path


def fingerprint(certificate: Path) -> str:
    """SHA-256 of the first certificate, as browsers show it: ``AB:CD:…``. Raises OSError or ValueError."""
    text = certificate.read_text("ascii")
    end = "-----END CERTIFICATE-----"
    der = ssl.PEM_cert_to_DER_cert(text[: text.index(end) + len(end)])
    return ":".join(f"{byte:02X}" for byte in hashlib.sha256(der).digest())
