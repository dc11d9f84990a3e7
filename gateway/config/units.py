"""Units of measure: a reader of UCUM codes (ucum.org, case-sensitive form), and what people write instead.

The grammar is UCUM's: atoms with metric prefixes, integer exponents, `.` and `/`, parentheses, numbers and annotations
in braces. The atoms are those an industrial gateway meets; `ucum.json` lists them.
"""

from __future__ import annotations

import json
import re
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from gateway.config.names import Mendable, quote

_TOKEN = re.compile(r"[./()]|\{[!-z|~]*\}|(?:[^./(){}\[\]]|\[[^\[\]]*\])+")
_EXPONENT = re.compile(r"([+-]?\d+)$")
_DIGITS = re.compile(r"\d+")
_MAX_LENGTH = 64
_PLAIN_FORMS = str.maketrans(
    {
        "²": "2",
        "³": "3",
        "⁻": "-",
        "¹": "1",
        "µ": "u",
        "μ": "u",
        "Ω": "Ohm",
        "·": ".",
        "⋅": ".",
        "×": ".",
        " ": None,
        "^": None,
    }
)


class _Table(NamedTuple):
    known: frozenset[str]
    """Every atom alone, and every metric atom with every prefix."""
    folded: dict[str, list[str]]
    """The same by lower case, the likelier first, for what was written in the wrong case."""
    spoken: dict[str, str]
    misleading: dict[str, str]
    """Valid codes that nobody means, and what they stand for. They aren't in `known`."""


@cache
def _table() -> _Table:
    body = json.loads(files("gateway.config").joinpath("ucum.json").read_text("utf-8"))
    known = [*body["plain"], *body["metric"]]
    known += [prefix + atom for prefix in body["prefixes"] for atom in body["metric"]]
    folded: dict[str, list[str]] = {}
    for code in known:
        folded.setdefault(code.lower(), []).append(code)
    spoken = body["spoken"]
    misleading = body["misleading"]
    known_and_meant = frozenset(known) - misleading.keys()
    return _Table(known_and_meant, folded, {word.lower(): code for word, code in spoken.items()} | spoken, misleading)


@cache
def check_unit(text: str) -> str:
    """Returns `text` if it is a UCUM code of known atoms; raises Mendable, with what was probably meant."""
    if is_ucum(text):
        return text
    if not text.strip():
        raise Mendable("is empty", 'leave it out, or write "1" for a bare number')
    if meant := suggest(text):
        for token in _tokens(text):
            stem = _EXPONENT.sub("", token)
            if stands_for := _table().misleading.get(stem):
                raise Mendable(
                    f"is {quote(text)}, but in UCUM {quote(stem)} means {stands_for}", f"write {quote(meant)}"
                )
        raise Mendable(f"is {quote(text)}, which isn't a UCUM unit", f"write {quote(meant)}")
    words = re.sub(r"[^!-z|~]+", "_", text).strip("_") or "count"
    raise Mendable(
        f"is {quote(text)}, which isn't a UCUM unit",
        f"write its UCUM code (ucum.org); for something that is counted, write {quote('{' + words + '}')}",
    )


def is_ucum(text: str) -> bool:
    """Whether `text` follows the grammar and every atom in it is known."""
    tokens = _tokens(text)
    if not tokens or len(text) > _MAX_LENGTH:
        return False
    position = 1 if tokens[0] == "/" else 0
    end = _term(tokens, position)
    return end == len(tokens)


def _tokens(text: str) -> list[str]:
    """The text in tokens, or nothing if something in it is none."""
    tokens = _TOKEN.findall(text)
    return tokens if "".join(tokens) == text else []


def _term(tokens: list[str], position: int) -> int:
    """The position after one term, or -1."""
    while True:
        position = _component(tokens, position)
        if position < 0 or position == len(tokens) or tokens[position] not in "./":
            return position
        position += 1


def _component(tokens: list[str], position: int) -> int:
    if position >= len(tokens):
        return -1
    token = tokens[position]
    if token == "(":
        end = _term(tokens, position + 1)
        return end + 1 if 0 <= end < len(tokens) and tokens[end] == ")" else -1
    if token in "./)":
        return -1
    if token.startswith("{"):
        return position + 1
    if not _is_simple(token):
        return -1
    position += 1
    if position < len(tokens) and tokens[position].startswith("{"):
        position += 1
    return position


def _is_simple(token: str) -> bool:
    """A number, or an atom with at most a prefix and an exponent."""
    known = _table().known
    return token in known or bool(_DIGITS.fullmatch(token)) or _EXPONENT.sub("", token) in known


def suggest(text: str) -> str | None:
    """The UCUM code that was probably meant, or None. What it returns is always valid."""
    stripped = text.strip()
    for candidate in (stripped, stripped.translate(_PLAIN_FORMS)):
        meant = _spoken(candidate) or "".join(_respell(token) for token in re.split(r"([./()])", candidate))
        if meant != text and is_ucum(meant):
            return meant
    return None


def _spoken(text: str) -> str | None:
    spoken = _table().spoken
    return spoken.get(text) or spoken.get(text.lower())


def _respell(token: str) -> str:
    """One atom as UCUM spells it, with its exponent; unchanged if that isn't known."""
    if not token or token in "./()" or _is_simple(token):
        return token
    if meant := _spoken(token):
        return meant
    exponent = _EXPONENT.search(token)
    stem = token[: exponent.start()] if exponent else token
    # Of several atoms that differ in case only, the likeliest with the same prefix: MPA is MPa, not mPa.
    cased = max(
        _table().folded.get(stem.lower(), [stem]),
        key=lambda code: code[:1] == stem[:1],
    )
    return (_spoken(stem) or cased) + (exponent[0] if exponent else "")
