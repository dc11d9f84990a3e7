"""What a name may look like: names become topic levels, so their alphabet is that of the namespace.

The functions are validators: they return the text or raise :class:`Mendable`.
"""

from __future__ import annotations

import json
import re
import unicodedata

from gateway.hosts import host_in, is_host

LEVEL = r"[A-Za-z0-9-][A-Za-z0-9_-]{0,63}"
"""One topic level, as a regular expression."""
PATH = rf"{LEVEL}(?:/{LEVEL}){{0,15}}"
"""Several of them."""
_ILLEGAL = re.compile(r"[^A-Za-z0-9_-]")
_LEGAL = re.compile(LEVEL)
_LEGAL_PATH = re.compile(PATH)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_LENGTH = 64
_MAX_LEVELS = 16
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})
_MAX_SHOWN = 60
_NO_NAME = "give it a name of letters, digits, - or _"


class Mendable(ValueError):
    """What is wrong, worded to follow the key's name (``is empty``), and apart from it what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def quote(text: str) -> str:
    """Text as it would stand in a TOML file, shortened if long."""
    shown = text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 1] + "…"
    return json.dumps(shown, ensure_ascii=False)


def check_name(text: str) -> str:
    """One topic level: 1 to 64 of A-Z a-z 0-9 _ -, not starting with _. Raises Mendable."""
    return text if _LEGAL.fullmatch(text) else _refuse(text, text)


def check_level(text: str) -> str:
    """A name, or nothing: an empty level is left out."""
    return check_name(text) if text else text


def check_tag_path(text: str) -> str:
    """Names joined by /, at most 16 of them. Raises Mendable."""
    if _LEGAL_PATH.fullmatch(text):
        return text
    levels = text.split("/")
    if len(levels) > _MAX_LEVELS:
        raise Mendable(
            f"is {quote(text)}, which has {len(levels)} levels, but {_MAX_LEVELS} are possible", "shorten it"
        )
    if text and "" in levels:
        raise Mendable(f"is {quote(text)}, which has an empty level", _write("/".join(_mended(text))))
    return _refuse(text, next(level for level in levels if not _LEGAL.fullmatch(level)))


def check_text(text: str) -> str:
    """A file, host or other name in free form: no control characters, which nothing takes. Raises Mendable."""
    if control := _CONTROL.search(text):
        raise Mendable(f"holds the control character U+{ord(control[0]):04X}", "take it out")
    return text


def check_host(text: str) -> str:
    """A host name or address, without scheme or port. Raises Mendable."""
    if is_host(check_text(text)):
        return text
    host = host_in(text)
    hint = f"write {quote(host)}; a port has a key of its own" if host else "write the name or the address alone"
    raise Mendable(f"is {quote(text)}, but must be a host name or an IP address", hint)


def _refuse(text: str, level: str) -> str:
    """Raises Mendable for `text` because of one `level` of it."""
    if not level:
        raise Mendable("is empty", _NO_NAME)
    mended = "_".join(_mended(text)) if level == text else "/".join(_mended(text))
    if illegal := _ILLEGAL.search(level):
        character = "a space" if illegal[0] == " " else quote(illegal[0])
        raise Mendable(
            f"is {quote(text)}, but {character} can't stand in a topic level, only A-Z a-z 0-9 _ - can",
            _write(mended),
        )
    if len(level) > _MAX_LENGTH:
        raise Mendable(
            f"is {quote(text)}: {len(level)} characters, but a topic level has at most {_MAX_LENGTH}", "shorten it"
        )
    raise Mendable(
        f"is {quote(text)}, but a name that starts with _ is kept for the gateway's own topics",
        _write(mended),
    )


def _mended(text: str) -> list[str]:
    """The levels of a path, spelt with what is allowed."""
    plain = unicodedata.normalize("NFKD", text.translate(_UMLAUTS))
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return [mended for level in plain.split("/") if (mended := re.sub("_+", "_", _ILLEGAL.sub("_", level)).strip("_"))]


def mended_path(text: str) -> str:
    """A path spelt with what is allowed; empty if nothing is left."""
    return "/".join(_mended(text))


def _write(text: str) -> str:
    return f"write {quote(text)}" if text else _NO_NAME
