"""What a user wrote, in a message: on one line, whatever is in it."""

from __future__ import annotations


def quoted(text: str) -> str:
    """`text` in quotes, with what can't be printed written as escapes."""
    return "'" + "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text) + "'"
