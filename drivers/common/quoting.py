"""What a user wrote, in a message: on one line, whatever is in it."""

from __future__ import annotations

from gateway.sentences import one_line


def quoted(text: str) -> str:
    """`text` in quotes, with what can't be printed written as escapes."""
    return f"'{one_line(text)}'"
