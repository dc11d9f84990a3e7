"""Names for many tags at once: a small pattern language without surprises.

A pattern is text with placeholders in braces, and after ``|`` what is done to each::

    {path}                       motor/Speed → motor/Speed
    line1/{name|lower}           motor/Speed → line1/speed
    {path|replace:DB10_:|snake}  DB10_MotorSpeed → motor_speed

Placeholders: ``path`` (as found), ``name`` (its last level), ``parent`` (the levels above), ``original`` (what the
device calls it), ``address``, ``type``, ``n`` (1, 2, 3 …; ``{n:3}`` → 001). Filters: ``lower``, ``upper``, ``snake``,
``camel``, ``replace:OLD:NEW``, ``strip:CHARACTERS``, ``last:LEVELS``. What can't stand in a tag's path is spelt with
what can.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from gateway.config.names import Mendable, check_tag_path, mended_path, quote

MAX_PATTERN = 200
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_WORDS = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+")


@dataclass(frozen=True, slots=True)
class Found:
    """What a name is made from."""

    path: str
    original: str = ""
    address: str = ""
    type: str = ""


@dataclass(frozen=True, slots=True)
class Renamed:
    """One outcome."""

    path: str
    """Fit for a tag; empty if nothing was left."""
    problem: str | None = None
    """Why it can't be used as it is."""


def rename(pattern: str, items: Sequence[Found], taken: Sequence[str] = ()) -> list[Renamed]:
    """The new path of each item, in order. `taken`: paths that the device has already. Raises Mendable for a pattern
    that can't be understood; what is wrong with single outcomes is said in them."""
    make = _compiled(pattern)
    seen: dict[str, str] = {path.lower(): path for path in taken}
    own: dict[str, int] = {}
    results = []
    for number, item in enumerate(items, 1):
        path = mended_path(make(item, number))
        problem = None
        try:
            check_tag_path(path)
        except Mendable as error:
            problem = f"the name {error}"
        if problem is None and path.lower() in seen:
            problem = f"the device has a tag {quote(seen[path.lower()])} already"
        elif problem is None and path.lower() in own:
            problem = f"it is the name of item {own[path.lower()]}, too"
        own.setdefault(path.lower(), number)
        results.append(Renamed(path, problem))
    return results


_Make = Callable[[Found, int], str]
_Filter = Callable[[str], str]


def _compiled(pattern: str) -> _Make:
    if not pattern.strip():
        raise Mendable("is empty", "write {path} to keep the names as they were found")
    if len(pattern) > MAX_PATTERN:
        raise Mendable(f"has over {MAX_PATTERN} characters", "shorten it")
    rest = _PLACEHOLDER.sub("", pattern)
    if "{" in rest or "}" in rest:
        raise Mendable("has a brace without its partner", "write placeholders as {name}")
    parts: list[_Make] = []
    at = 0
    for match in _PLACEHOLDER.finditer(pattern):
        parts += [_literal(pattern[at : match.start()]), _placeholder(match[1])]
        at = match.end()
    parts.append(_literal(pattern[at:]))
    return lambda item, number: "".join(part(item, number) for part in parts)


def _literal(text: str) -> _Make:
    return lambda item, number: text


def _placeholder(text: str) -> _Make:
    head, *filters = text.split("|")
    name, _, argument = head.strip().partition(":")
    steps = [_filter(each) for each in filters]
    take = _source(name, argument)

    def make(item: Found, number: int) -> str:
        value = take(item, number)
        for step in steps:
            value = step(value)
        return value

    return make


def _source(name: str, argument: str) -> _Make:
    if name == "n":
        if argument and not (argument.isdecimal() and 1 <= int(argument) <= 9):
            raise Mendable(f"has {{n:{argument}}}, but the digits are a number from 1 to 9", "write {n:3} for 001")
        width = int(argument or 1)
        return lambda item, number: f"{number:0{width}d}"
    sources: dict[str, _Make] = {
        "path": lambda item, number: item.path,
        "name": lambda item, number: item.path.rpartition("/")[2],
        "parent": lambda item, number: item.path.rpartition("/")[0],
        "original": lambda item, number: item.original or item.path.rpartition("/")[2],
        "address": lambda item, number: item.address,
        "type": lambda item, number: item.type,
    }
    if name not in sources or argument:
        raise Mendable(
            f"has the placeholder {{{name}}}", f"write one of {', '.join(f'{{{each}}}' for each in sources)}"
        )
    return sources[name]


def _filter(text: str) -> _Filter:
    name, _, argument = text.strip().partition(":")
    match name:
        case "lower":
            return str.lower
        case "upper":
            return str.upper
        case "snake":
            return lambda value: _each(value, lambda words: "_".join(word.lower() for word in words))
        case "camel":
            return lambda value: _each(
                value, lambda words: "".join([words[0].lower(), *(word.capitalize() for word in words[1:])])
            )
        case "replace":
            old, colon, new = argument.partition(":")
            if not old or not colon:
                raise Mendable(f"has the filter {quote(text)}", "write it like replace:OLD:NEW")
            return lambda value: value.replace(old, new)
        case "strip":
            return lambda value: value.strip(argument or None)
        case "last":
            if not (argument.isdecimal() and int(argument) >= 1):
                raise Mendable(f"has the filter {quote(text)}", "write it like last:2, the levels to keep")
            return lambda value: "/".join(value.split("/")[-int(argument) :])
    raise Mendable(f"has the filter {quote(text)}", "use lower, upper, snake, camel, replace:OLD:NEW, strip or last:2")


def _each(value: str, join: Callable[[list[str]], str]) -> str:
    """Every level of a path by its words."""
    levels = [words for level in value.split("/") if (words := _WORDS.findall(level))]
    return "/".join(join(words) for words in levels)
