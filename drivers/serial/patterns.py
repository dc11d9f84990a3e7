"""Regular expressions that can't take for ever.

Python's engine backtracks: ``(a+)+b`` against thirty characters takes minutes, and nothing can interrupt it. A pattern
is therefore judged before it is ever used. It is walked once; wherever the engine could take one character in two ways
(a repetition, and what may follow it; alternatives that begin alike) the number of ways is multiplied. What could take
more than :data:`MAX_STEPS` for the longest frame is refused. Possessive repetitions (``[0-9]*+``) never give back what
they took, so they cost nothing.

Patterns match bytes, and always the whole of what they are applied to.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from drivers.common.quoting import quoted

MAX_STEPS = 1 << 21
"""About 20 ms of a small machine."""
USUAL_LENGTH = 1024

_parser: Any = import_module("re._parser")
_ALL = frozenset(range(256))
_CATEGORIES: dict[str, frozenset[int]] = {
    name: frozenset(code for code in _ALL if re.match(token, bytes([code])))
    for name, token in {
        "CATEGORY_DIGIT": rb"\d",
        "CATEGORY_NOT_DIGIT": rb"\D",
        "CATEGORY_SPACE": rb"\s",
        "CATEGORY_NOT_SPACE": rb"\S",
        "CATEGORY_WORD": rb"\w",
        "CATEGORY_NOT_WORD": rb"\W",
    }.items()
}


@cache
def compiled(text: str) -> re.Pattern[bytes]:
    """Raises ValueError, in one sentence, for what isn't a pattern over bytes."""
    try:
        return re.compile(text.encode("latin-1"), re.DOTALL)
    except UnicodeEncodeError:
        raise ValueError(f"the pattern {quoted(text)} has characters beyond one byte: write them as \\xHH") from None
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(f"the pattern {quoted(text)} isn't a regular expression ({error}): mend it there") from None


def groups(text: str) -> tuple[str, ...]:
    """Its named groups, in order."""
    return tuple(compiled(text).groupindex)


def check(text: str, longest: int = USUAL_LENGTH) -> None:
    """Raises ValueError, in one sentence, for a pattern that is wrong or could take too long on `longest` bytes."""
    compiled(text)
    tree = _parser.parse(text.encode("latin-1"), re.DOTALL)
    ways = _Judge(longest).ways(tree, frozenset())
    if ways * longest > MAX_STEPS:
        raise ValueError(
            f"the pattern {quoted(text)} could take for ever on a long frame: "
            "let what repeats differ from what follows it, such as [0-9]+ before a comma, "
            "or write ++ and *+ instead of + and *"
        )


class _Judge:
    """Counts ways for frames of at most so many bytes."""

    def __init__(self, longest: int) -> None:
        self._longest = longest

    def ways(self, items: Sequence[Any], follow: frozenset[int]) -> float:
        """In how many ways, at most, the engine can go through `items` if what comes after begins with `follow`."""
        ways = 1.0
        for place, (kind, argument) in enumerate(items):
            rest = items[place + 1 :]
            after = _first(rest) | (follow if _nullable(rest) else frozenset())
            ways *= self._ways_of(str(kind), argument, after)
            if ways == math.inf:
                break
        return ways

    def _ways_of(self, kind: str, argument: Any, after: frozenset[int]) -> float:
        if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
            least, most, body = argument
            begins = _first(body)
            inside = self.ways(body, after | begins if most > 1 else after)
            if int(most) > self._longest:
                ways = 1.0 if inside == 1 else math.inf
            else:
                ways = inside ** int(most) if inside < math.inf else math.inf
            if kind == "POSSESSIVE_REPEAT" or least == most:
                return ways
            if begins & after or (_nullable(body) and most > 1):
                ways *= min(int(most), self._longest) - int(least) + 1
            return ways
        if kind == "SUBPATTERN":
            return self.ways(argument[-1], after)
        if kind == "ATOMIC_GROUP":
            return self.ways(argument, after)
        if kind in ("ASSERT", "ASSERT_NOT"):
            return self.ways(argument[1], _ALL)
        if kind == "GROUPREF_EXISTS":
            return sum(self.ways(branch, after) for branch in argument[1:] if branch is not None)
        if kind == "BRANCH":
            branches = argument[1]
            begins_of = [_first(each) | (after if _nullable(each) else frozenset()) for each in branches]
            alike = any(a & b for place, a in enumerate(begins_of) for b in begins_of[place + 1 :])
            each_way = [self.ways(each, after) for each in branches]
            return sum(each_way) if alike else max(each_way)
        return 1.0


def _first(items: Sequence[Any]) -> frozenset[int]:
    """The bytes that a match of `items` can begin with."""
    found: frozenset[int] = frozenset()
    for kind, argument in items:
        found |= _first_of(str(kind), argument)
        if not _nullable([(kind, argument)]):
            break
    return found


def _first_of(kind: str, argument: Any) -> frozenset[int]:
    if kind == "LITERAL":
        return _in_any_case({argument})
    if kind == "NOT_LITERAL":
        return _ALL - {argument}
    if kind == "IN":
        return _set_of(argument)
    if kind in ("MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"):
        return _first(argument[2])
    if kind == "SUBPATTERN":
        return _first(argument[-1])
    if kind == "ATOMIC_GROUP":
        return _first(argument)
    if kind == "BRANCH":
        return frozenset().union(*(_first(branch) for branch in argument[1]))
    if kind in ("AT", "ASSERT", "ASSERT_NOT"):
        return frozenset()
    return _ALL  # any character, a reference to a group, what isn't known here


def _set_of(argument: Sequence[Any]) -> frozenset[int]:
    found: set[int] = set()
    negated = False
    for kind, value in argument:
        match str(kind):
            case "NEGATE":
                negated = True
            case "LITERAL":
                found.add(value)
            case "RANGE":
                found.update(range(value[0], value[1] + 1))
            case _:
                found |= _CATEGORIES[str(value)]
    return _ALL - found if negated else _in_any_case(found)


def _in_any_case(codes: set[int]) -> frozenset[int]:
    """A pattern may be told to ignore case anywhere, so it is always judged as if it did."""
    return frozenset(codes).union(*(bytes([code]).swapcase() for code in codes))


def _nullable(items: Sequence[Any]) -> bool:
    """Whether `items` can match nothing at all."""
    for kind, argument in items:
        match str(kind):
            case "AT" | "ASSERT" | "ASSERT_NOT" | "GROUPREF" | "GROUPREF_EXISTS":
                continue
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                if argument[0] and not _nullable(argument[2]):
                    return False
            case "SUBPATTERN":
                if not _nullable(argument[-1]):
                    return False
            case "ATOMIC_GROUP":
                if not _nullable(argument):
                    return False
            case "BRANCH":
                if not any(_nullable(branch) for branch in argument[1]):
                    return False
            case _:
                return False
    return True
