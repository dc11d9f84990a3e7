"""Secrets by reference: the configuration names where a secret is kept, never the secret itself.

Three homes: an environment variable, a file, or a systemd credential (``LoadCredential=`` puts it into the directory
named by ``$CREDENTIALS_DIRECTORY``). A secret is read when it is needed and never logged; a message about it names the
reference only. Whatever leaves the process as text for people (logs, diagnostic bundles) goes through `redacted`.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

_MAX_BYTES = 64 * 1024

CROSSED_OUT = "•••"

_read_so_far: set[str] = set()
"""Secrets this process has read: what it must not say."""

_own_places: set[Path] = set()
_OWN_NAMES = re.compile(
    r"(?:accounts|audit|changes|claim-code|clock|control|drivers|journal|lock|restore|web|writes)\b"
)
"""What a running gateway writes in its data directory."""

_KEYS = r"(?:password|passwd|passphrase|secret|token|api[_-]?key|private[_-]?key|bindkey)"
_TELLTALES = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL),
    re.compile(r"(?<=://)[^/\s@]+:[^/\s@]+(?=@)"),  # user:password@host
    re.compile(r"\$argon2\w*\$\S+"),
    re.compile(r"(?i)(?<=\bbearer )[\w.~+/=-]+"),
    re.compile(rf"(?i)\b{_KEYS}[\"']?\s*[=:]\s*([\"'])(?P<value>.*?)(?:\1|$)"),
    re.compile(rf"(?i)\b{_KEYS}[\"']?\s*[=:]\s*(?P<value>(?!(?:null|none|true|false)\b)[^\s,;{{}}\[\]()\"']+)"),
)
"""What looks like a secret, wherever it came from."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by reference. It is read when it is needed and never logged."""

    source: str
    """``env``, ``file`` or ``credential``."""
    name: str


class SecretError(Exception):
    """A secret can't be read. The message is one sentence for a user: what, where, how to mend."""


def resolve(secret: Secret) -> str:
    """The secret's text, without its final newline. Raises SecretError.

    A file that every user of the machine may read is refused: it is no secret.
    """
    match secret.source:
        case "env":
            text = os.environ.get(secret.name)
            if text is None:
                raise SecretError(
                    f"the environment variable {secret.name} isn't set: set it, or use a file or credential"
                )
            origin = f"the environment variable {secret.name}"
        case "file":
            text = _read(Path(secret.name), private=True)
            origin = f"the secret file {secret.name}"
        case "credential":
            directory = os.environ.get("CREDENTIALS_DIRECTORY")
            if directory is None:
                raise SecretError(
                    f"the credential {secret.name!r} can't be read because CREDENTIALS_DIRECTORY isn't set: "
                    f"start the gateway as a systemd service with LoadCredential={secret.name}:PATH"
                )
            # systemd guards the directory itself; the modes of the files in it are its own affair.
            text = _read(Path(directory, secret.name), private=False)
            origin = f"the credential {secret.name!r}"
        case other:
            raise SecretError(f"a secret can't be read from {other!r}: use env, file or credential")
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise SecretError(f"{origin} is empty: put the secret into it")
    _read_so_far.add(text)
    return text


def redacted(text: str) -> str:
    """The same text, but every secret that was read, and whatever looks like one, is crossed out."""
    for secret in sorted(_read_so_far, key=len, reverse=True):
        if secret in text:
            # A short one may be part of any word; it is a secret only where it stands alone.
            text = (
                re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", CROSSED_OUT, text)
                if len(secret) < 6
                else (text.replace(secret, CROSSED_OUT))
            )
    for telltale in _TELLTALES:
        text = telltale.sub(_crossed_out, text)
    return text


def redacted_json(body: Any, key: str = "") -> Any:
    """The same JSON-ready document with every text in it `redacted`, and those whose key says that they are secret."""
    if isinstance(body, str):
        return CROSSED_OUT if body and re.fullmatch(rf"(?i).*{_KEYS}", key) else redacted(body)
    if isinstance(body, Mapping):
        return {name: redacted_json(value, str(name)) for name, value in body.items()}
    if isinstance(body, list | tuple):
        return [redacted_json(value, key) for value in body]
    return body


def _crossed_out(found: re.Match[str]) -> str:
    if "value" not in found.re.groupindex:
        return CROSSED_OUT
    start, end = (at - found.start() for at in found.span("value"))
    return found[0][:start] + CROSSED_OUT + found[0][end:]


def readable_by_others(path: Path) -> bool:
    """True if every user of the machine may read `path`. Raises OSError."""
    return bool(path.stat().st_mode & stat.S_IROTH)


def keep_to_itself(data_dir: Path) -> None:
    """What the gateway keeps there for itself (accounts, keys, the claim code) is no secret that a configuration may
    name: who configures it could have it sent to a broker of theirs. Secrets it was given are in ``secrets`` there."""
    _own_places.add(Path(os.path.realpath(data_dir)))


def open_plain(path: Path) -> BinaryIO:
    """A file to be read; nothing that has no end or keeps its reader waiting, as devices do. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "it isn't a plain file", str(path))
    return os.fdopen(handle, "rb")


def _is_own(path: Path) -> bool:
    real = Path(os.path.realpath(path))
    return any(
        real.is_relative_to(place) and bool(_OWN_NAMES.match(str(real.relative_to(place)))) for place in _own_places
    )


def _read(path: Path, *, private: bool) -> str:
    if _is_own(path):
        raise SecretError(f"the secret file {path} is the gateway's own: keep the secret in another file")
    try:
        with open_plain(path) as file:
            if private and os.fstat(file.fileno()).st_mode & stat.S_IROTH:
                raise SecretError(f"the secret file {path} can be read by every user: run chmod o-rwx {path}")
            body = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise SecretError(f"the secret file {path} doesn't exist: create it, or mend the path") from None
    except PermissionError:
        raise SecretError(
            f"the secret file {path} can't be read: give the gateway's user the right to read it"
        ) from None
    except OSError as error:
        raise SecretError(f"the secret file {path} can't be read ({error.strerror}): mend the path") from None
    if len(body) > _MAX_BYTES:
        raise SecretError(f"the secret file {path} is larger than 64 KiB: is it the right file?")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise SecretError(f"the secret file {path} isn't UTF-8 text: is it the right file?") from None
