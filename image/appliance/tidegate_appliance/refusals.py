"""What RAUC says when it refuses or fails, as one clear sentence."""

from __future__ import annotations

import re
from typing import Final

from gateway.ops.slots import UpdateRefused

TRY_AGAIN: Final = "Failed to load dm table"
"""Seen now and then with a sound bundle; the second attempt works."""

BUSY: Final = "already processing a different method"
"""Whatever is asked while a bundle is being installed, in this or another case of letters."""

_KNOWN: Final[tuple[tuple[str, str], ...]] = (
    # Signatures: OpenSSL's words in RAUC's.
    (
        r"certificate has expired",
        "the certificate that the bundle is signed with had expired by then; get a bundle that is signed anew",
    ),
    (
        r"certificate is not yet valid",
        "the certificate that the bundle is signed with wasn't valid yet by then; get a bundle that is signed anew",
    ),
    (r"certificate revoked", "the bundle is signed with a key that was revoked; get a newer bundle"),
    (
        r"unsupported certificate purpose|unsuitable certificate purpose",
        "the bundle is signed with a certificate that isn't for signing releases",
    ),
    (
        r"self-signed certificate|self signed certificate|unable to get (local )?issuer|signature failure",
        "the bundle is signed by somebody whom this machine doesn't trust; get it from where this machine's releases "
        "come from",
    ),
    (
        r"signature verification failed|digest failure|bad signature|verification failure",
        "the bundle's signature doesn't fit it: it is damaged or was changed; download it again",
    ),
    (
        r"Signature size|failed to parse signature|no valid CMS|Invalid identifier|Bundle size .* is too small|"
        r"too small to be a bundle|missing manifest",
        "the file is no signed bundle, or not all of one; download it again",
    ),
    (r"[Bb]undle format '(\w+)' not allowed", "bundles of the format {0} aren't taken here"),
    # What is in it.
    (
        r"Compatible mismatch: Expected '([^']*)' but bundle manifest has '([^']*)'",
        "the bundle is for {1}, and this machine is {0}",
    ),
    (
        r"Version mismatch: Expected at least '([^']*)' but bundle manifest has '([^']*)'",
        "the bundle has version {1}, and this machine takes none before {0} any more",
    ),
    (r"bundle manifest has no version", "the bundle doesn't say which version it is"),
    (
        r"Slot \((\d+) bytes\) is too small for image \((\d+) bytes\)",
        "the image in the bundle has {1} bytes, and the slot only {0}",
    ),
    # The machine.
    (r"No space left on device", "the disk is full: remove what isn't needed"),
    (r"Input/output error|Remote I/O error", "the disk failed while it was read or written: it may be worn out"),
    (rf"(?i){BUSY}", "an update is being installed already"),
    (
        r"Destination device '[^']*'.*(?:not found|already mounted)|still mounted",
        "the other slot can't be written: it is missing or in use",
    ),
    (r"No such file or directory.*raucb|[Ff]ailed to open.*: No such file", "the bundle isn't there any more"),
)  # fmt: skip


def refused(message: str) -> UpdateRefused:
    """What RAUC said, for a user; what isn't known is passed on as it is."""
    for pattern, sentence in _KNOWN:
        if (found := re.search(pattern, message)) is not None:
            return UpdateRefused(sentence.format(*found.groups()))
    return UpdateRefused(f"the update service says: {message.strip().rstrip('.') or 'nothing'}")
