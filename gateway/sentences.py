"""What a driver says to a user: one sentence that ends with its mend, ``what is wrong: how to mend it``."""

from __future__ import annotations

import re

_QUOTED = re.compile(r"""(?<!\w)(['"]).*?\1(?!\w)""", re.DOTALL)
"""What stands in quotes. An apostrophe has a letter on both sides."""
_HAPPENED = re.compile(r"(?:no|nothing|exception) ")
"""What begins so behind a colon is what happened, not what to do: ``unit 1 at plc1: no answer within 1 s``."""


def with_mend(sentence: str) -> tuple[str, str | None]:
    """(what is wrong, how to mend it or None), parted at the last colon that doesn't stand in quotes."""
    unquoted = _QUOTED.sub(lambda quoted: "_" * len(quoted[0]), sentence)
    colon = unquoted.rfind(": ")
    mend = sentence[colon + 2 :]
    return (sentence, None) if colon < 0 or _HAPPENED.match(mend) else (sentence[:colon], mend)


def one_line(text: str) -> str:
    """The text with what would break its line, or can't be seen, as an escape: a user's file may hold anything."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )
