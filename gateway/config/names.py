"""What a name may look like: names become topic levels, so their alphabet is that of the namespace.

The functions are validators: they return the text or raise ValueError with a sentence that ends with its mend.
"""

from __future__ import annotations

import re

_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_LEGAL = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]{0,63}")
_LEGAL_PATH = re.compile(r"[A-Za-z0-9-][A-Za-z0-9_-]{0,63}(?:/[A-Za-z0-9-][A-Za-z0-9_-]{0,63}){0,15}")
_MAX_LENGTH = 64
_MAX_LEVELS = 16


class Mendable(ValueError):
    """What is wrong, and apart from it what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def check_name(text: str) -> str:
    """One topic level: 1 to 64 of A-Z a-z 0-9 _ -, not starting with _. Raises Mendable."""
    if _LEGAL.fullmatch(text):
        return text
    if not text:
        raise Mendable("is empty", "give it a name of letters, digits, - or _")
    if illegal := _ILLEGAL.search(text):
        mended = re.sub(r"_+", "_", _ILLEGAL.sub("_", text)).strip("_")[:_MAX_LENGTH]
        character = "a space" if illegal[0] == " " else repr(illegal[0])
        raise Mendable(
            f"{text!r} has {character} in it, but only A-Z a-z 0-9 _ - can stand in a topic level",
            f'write "{mended}"' if mended else "give it a name of letters, digits, - or _",
        )
    if len(text) > _MAX_LENGTH:
        raise Mendable(
            f"{text!r} is {len(text)} characters long, but a topic level has at most {_MAX_LENGTH}", "shorten it"
        )
    mended = text.lstrip("_")
    raise Mendable(
        f"{text!r} starts with _, which is kept for the gateway's own topics",
        f'write "{mended}"' if mended else "give it a name of letters, digits, - or _",
    )


def check_level(text: str) -> str:
    """A name, or nothing: an empty level is left out."""
    return check_name(text) if text else text


def check_tag_path(text: str) -> str:
    """Names joined by /, at most 16 of them. Raises Mendable."""
    if not _LEGAL_PATH.fullmatch(text):
        levels = text.split("/")
        if len(levels) > _MAX_LEVELS:
            raise Mendable(f"{text!r} has {len(levels)} levels, but at most {_MAX_LEVELS} are possible", "shorten it")
        for level in levels:
            if not level and text:
                raise Mendable(
                    f"{text!r} has an empty level", f'write "{"/".join(level for level in levels if level)}"'
                )
            check_name(level)
    return text


def check_root(text: str) -> str:
    """The topic prefix: like a tag path."""
    return check_tag_path(text)
