"""Secrets by reference: the configuration names where a secret is kept, never the secret itself.

Three homes: an environment variable, a file, or a systemd credential (``LoadCredential=`` puts it into the directory
named by ``$CREDENTIALS_DIRECTORY``). A secret is read when it is needed and never logged; a message about it names the
reference only.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path

_MAX_BYTES = 64 * 1024


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
    return text


def readable_by_others(path: Path) -> bool:
    """True if every user of the machine may read `path`. Raises OSError."""
    return bool(path.stat().st_mode & stat.S_IROTH)


def _read(path: Path, *, private: bool) -> str:
    try:
        with path.open("rb") as file:
            if private and readable_by_others(path):
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
