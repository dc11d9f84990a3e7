"""pydantic's findings in the words of TOML: what was found, what was expected, how to mend it."""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from gateway.config.names import Mendable, quote
from gateway.sentences import with_mend

_EXPECTED = {
    "string_type": "text in quotes",
    "string_sub_type": "text in quotes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "list_type": "a list in [ ]",
    "tuple_type": "a list in [ ]",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
}
_BOUNDS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "a multiple of"),
}
_PLC_TYPES = {
    **dict.fromkeys(("boolean", "bit"), "bool"),
    **dict.fromkeys(("byte", "usint"), "uint8"),
    **dict.fromkeys(("sint", "char"), "int8"),
    **dict.fromkeys(("word", "uint", "ushort"), "uint16"),
    **dict.fromkeys(("int", "short"), "int16"),
    **dict.fromkeys(("dword", "udint"), "uint32"),
    **dict.fromkeys(("dint", "long"), "int32"),
    **dict.fromkeys(("lword", "ulint", "qword"), "uint64"),
    **dict.fromkeys(("lint", "llong"), "int64"),
    **dict.fromkeys(("real", "float", "single"), "float32"),
    **dict.fromkeys(("lreal", "double"), "float64"),
    **dict.fromkeys(("wstring", "text"), "string"),
    **dict.fromkeys(("date_and_time", "dt", "timestamp"), "datetime"),
}
"""Types as IEC 61131-3 and the makers' tools name them."""
_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


def found(value: Any, *, from_text: bool = False) -> str:
    """A value as the user wrote it, and what kind of thing it is where that helps."""
    match value:
        case str():
            return quote(value) if from_text else f"{quote(value)} (text)"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"{value}"
        case dict():
            return "a table"
        case list():
            return "a list"
        case datetime.datetime() | datetime.date() | datetime.time():
            return f"{value.isoformat()} (a date or time)"
    return f"{value!r}"


def closest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that was probably meant."""
    names = {candidate.lower(): candidate for candidate in candidates}
    matches = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return names[matches[0]] if matches else None


def closest_choice(word: str, choices: Iterable[str]) -> str | None:
    """The choice that was probably meant: also what PLC programs call it, or the only one that begins so."""
    names = [*choices]
    if (known := _PLC_TYPES.get(word.lower())) in names:
        return known
    if meant := closest(word, names):
        return meant
    begun = [name for name in names if word and name.lower().startswith(word.lower())]
    return begun[0] if len(begun) == 1 else None


def listing(names: Iterable[str], limit: int = 8) -> str:
    """``"a", "b" or "c"``"""
    quoted = [quote(name) for name in names]
    if len(quoted) > limit:
        return ", ".join([*quoted[:limit], "…"])
    return " or ".join(filter(None, [", ".join(quoted[:-1]), *quoted[-1:]]))


def meant_or_all(word: str, candidates: Iterable[str], kind: str) -> str:
    """A mend for a reference to something that isn't there."""
    names = sorted(candidates)
    if meant := closest(word, names):
        return f"did you mean {quote(meant)}?"
    return f"write {listing(names)}" if names else f"define a {kind} of that name"


def explain(
    label: str, error: ErrorDetails, info: FieldInfo | None = None, *, from_text: bool = False
) -> tuple[str, str]:
    """(message, mend) for one finding about a key that is there. `from_text`: it comes from a CSV cell."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if (cause := context.get("error")) is not None and isinstance(cause, Exception):
        if isinstance(cause, Mendable):
            return f"{label} {cause}", cause.hint
        # A driver's own words: a sentence that ends with its mend.
        message, hint = with_mend(str(cause))
        return message, hint or "mend the value"
    shown = found(value, from_text=from_text)
    if kind in _EXPECTED:
        expected = _EXPECTED[kind]
        return f"{label} is {shown}, but must be {expected}", _conversion(label, value, expected, from_text)
    if kind in _BOUNDS:
        name, word = _BOUNDS[kind]
        bound = context[name]
        return f"{label} is {shown}, but must be {word} {bound:g}", f"write a number that is {word} {bound:g}"
    if kind in ("literal_error", "enum"):
        return _not_a_choice(label, value, _allowed(context["expected"]))
    if kind == "string_too_short" and value == "":
        return f"{label} is empty", "give it a value, or leave it out"
    if kind == "string_too_short":
        return f"{label} is {shown}, but must have at least {context['min_length']} characters", "write it in full"
    if kind in ("string_too_long", "too_long"):
        return f"{label} is longer than {context['max_length']}", "shorten it"
    if kind == "too_short":
        return f"{label} has too few entries: at least {context['min_length']}", "add what is missing"
    if kind == "string_pattern_mismatch":
        models = [*(info.examples or ()), info.default] if info else []
        if model := next((each for each in models if isinstance(each, str)), None):
            return f"{label} is {shown}, which can't be understood", f"write it like {quote(model)}"
        return f"{label} is {shown}, which doesn't have the form {context['pattern']}", "mend its form"
    return f"{label} is {shown}: {error['msg']}", "mend the value"


def example(name: str, info: FieldInfo) -> str:
    """``key = value`` for a key that is missing."""
    if info.examples:
        return f"{name} = {_toml(info.examples[0])}"
    kind = info.annotation
    if kind is str:
        return f'{name} = "…"'
    return f"{name} = …"


def fields_at(model: type[BaseModel], keys: tuple[str | int, ...]) -> Mapping[str, FieldInfo]:
    """The keys that the table at `keys` below `model` may have; none if it isn't a table of its own."""
    rest = iter(keys)
    for key in rest:
        if isinstance(key, int):
            continue
        info = model.model_fields.get(key)
        nested = _table_in(info.annotation) if info else None
        if info is None or nested is None:
            return {}
        if get_origin(info.annotation) is dict and next(rest, None) is None:
            return {}  # tables by names that the user gives
        model = nested
    return model.model_fields


def _table_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((table for part in get_args(annotation) if (table := _table_in(part))), None)


def _allowed(expected: str) -> list[str]:
    """pydantic says ``'a', 'b' or 'c'``, and of numbers ``1 or 2``."""
    return expected.replace(" or ", ", ").split(", ")


def _not_a_choice(label: str, value: Any, allowed: list[str]) -> tuple[str, str]:
    if "'" not in allowed[0]:
        shown = quote(value) if isinstance(value, str) else found(value)
        choices = " or ".join(filter(None, [", ".join(allowed[:-1]), allowed[-1]]))
        return f"{label} is {shown}, but can only be {choices}", "write one of these"
    names = [name.strip("'") for name in allowed]
    plain = value if isinstance(value, str) else str(value)
    hint = f"did you mean {quote(meant)}?" if (meant := closest_choice(plain, names)) else "write one of these"
    return f"{label} is {quote(plain)}, but can only be {listing(names, 20)}", hint


def _conversion(label: str, value: Any, expected: str, from_text: bool) -> str:
    """The value as it was probably meant."""
    key = label.rpartition(".")[2]
    if isinstance(value, str):
        text = value.strip()
        if expected == "true or false" and text.lower() in _TRUE | _FALSE:
            meant = "true" if text.lower() in _TRUE else "false"
            return f"write {meant}" if from_text else f"write {key} = {meant}, without the quotes"
        if "number" in expected:
            decimal = text.replace(",", ".")
            try:
                number = float(decimal)
            except ValueError:
                return f"write {expected}, such as 10"
            if expected == "a whole number" and not number.is_integer():
                return f"write a whole number, such as {round(number)}"
            return (
                f"write {decimal}" if from_text or decimal != text else f"write {key} = {decimal}, without the quotes"
            )
        if expected == "a list in [ ]":
            return f"write {key} = [{quote(value)}]"
    if expected == "text in quotes" and isinstance(value, int | float) and not isinstance(value, bool):
        return f'write {key} = "{value}"'
    if expected == "a whole number" and isinstance(value, float):
        return f"write {key} = {round(value)}"
    if expected == "true or false" and isinstance(value, int):
        return f"write {key} = {'true' if value else 'false'}"
    if expected == "a table":
        return f"write it as a table: {key} = {{…}}"
    return f"write {expected}"


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return quote(value)
        case dict():
            return "{" + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + "}"
    return str(value)
