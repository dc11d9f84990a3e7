"""Forms from JSON Schema: what a driver lets one set becomes fields, and what was filled in becomes values again.

Only what differs from the default is given to the control API, so that a configuration says what somebody decided.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_CODE = re.compile(r"`([^`]+)`")
_UNITS = {"ms": "ms", "s": "s", "mb": "MB", "h": "h"}
_WORDS = {"ca": "CA file", "url": "URL", "tls": "TLS", "rs485": "RS-485", "dtr": "DTR", "rts": "RTS", "id": "ID"}
_SECRET = {"env", "file", "credential"}
_SECRET_HINT = "Kept in a private file that the configuration refers to; or where it is: `file:PATH`, `env:NAME`."


@dataclass(frozen=True, slots=True)
class Field:
    """One key of a table as a field."""

    name: str
    """Its name in the form: ``link.host``."""
    key: str
    label: str
    kind: str
    """``text``, ``number``, ``check``, ``choice``, ``secret`` or ``json``."""
    required: bool
    default: Any
    hint: Sequence[tuple[str, bool]]
    """The description in pieces: (text, whether it is code)."""
    choices: Sequence[str] = ()
    placeholder: str = ""
    numeric: bool = False
    """Of a choice, a text or a list: numbers are given as numbers."""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Filled:
    """What was filled in."""

    values: Mapping[str, Any]
    """Keys and values for the control API."""
    wrong: Mapping[str, str]
    """Form name → what is wrong, one sentence."""


def fields_of(schema: Mapping[str, Any], prefix: str, without: Sequence[str] = ()) -> list[Field]:
    """The fields of a table, in the order of its schema. `prefix`: of their names in the form."""
    required = schema.get("required", ())
    return [
        _field(key, about, prefix, key in required)
        for key, about in schema.get("properties", {}).items()
        if key not in without and "$ref" not in about and about.get("items", {}).get("type") != "object"
        if "$ref" not in about.get("items", {})
    ]


def is_reference(text: str) -> bool:
    """Whether a secret's field names where the secret is kept: ``file:PATH``, ``env:NAME``, ``credential:NAME``."""
    home, colon, name = text.partition(":")
    return bool(colon and name) and home in _SECRET


def split(fields: Sequence[Field], first: Sequence[str]) -> tuple[list[Field], list[Field]]:
    """(those to show at once, the others). What is required is always shown."""
    shown = [field for field in fields if field.required or field.key in first]
    shown.sort(key=lambda field: first.index(field.key) if field.key in first else -1)
    return shown, [field for field in fields if field not in shown]


def filled(fields: Sequence[Field], form: Mapping[str, Any]) -> Filled:
    """What a form holds. Empty fields, and those left at their default, aren't given."""
    values: dict[str, Any] = {}
    wrong: dict[str, str] = {}
    for field in fields:
        text = str(form.get(field.name, "")).strip()
        if field.kind == "check":
            checked = text not in ("", "off")
            if checked != bool(field.default):
                values[field.key] = checked
            continue
        if not text:
            if field.required:
                wrong[field.name] = f"{field.label} is needed"
            continue
        try:
            value = _value(field, text)
        except ValueError as error:
            wrong[field.name] = str(error)
            continue
        if field.required or value != field.default:
            values[field.key] = value
    return Filled(values, wrong)


def shown(fields: Sequence[Field], table: Mapping[str, Any]) -> dict[str, Any]:
    """Form name → what the field holds, of a table as it is configured. A secret is a reference: ``file:PATH``."""
    return {field.name: _text(field, table[field.key]) for field in fields if field.key in table}


def edits_of(
    path: Sequence[str], table: Mapping[str, Any], fields: Sequence[Field], values: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Edits for the draft that make the table at `path` say what was filled in, so that its comments stay.

    A key that is at its default stays as somebody wrote it. A name comes last: the edits before find it by the old one.
    """
    edits: list[dict[str, Any]] = []
    for field in sorted(fields, key=lambda field: field.key == "name"):
        before, after = table.get(field.key, field.default), values.get(field.key, field.default)
        if before == after:
            continue
        where = [*path, field.key]
        edits.append(
            {"op": "set", "path": where, "value": after} if field.key in values else {"op": "remove", "path": where}
        )
    return edits


def _field(key: str, about: Mapping[str, Any], prefix: str, required: bool) -> Field:
    options = about.get("anyOf", [about])
    kinds = {option.get("type") for option in options}
    enum = [
        choice for option in options for choice in option.get("enum", [option["const"]] if "const" in option else [])
    ]
    default = about.get("default")
    items = next((option["items"].get("type") for option in options if "items" in option), None)
    if "boolean" in kinds:
        kind = "check"
    elif enum and len(options) == 1:
        kind = "choice"
    elif any({*option.get("properties", ())} == _SECRET for option in options):
        kind = "secret"
    elif kinds & {"object", "array"}:
        kind = "json"
    elif kinds <= {"integer", "number"}:
        kind = "number"
    else:
        kind = "text"
    examples = about.get("examples") or ()
    return Field(
        name=f"{prefix}.{key}",
        key=key,
        label=label_of(key),
        kind=kind,
        required=required,
        default=default,
        hint=pieces(_SECRET_HINT if kind == "secret" else str(about.get("description", ""))),
        choices=[str(choice) for choice in enum],
        placeholder=""
        if kind == "secret"
        else _example(default if default not in (None, [], {}) else examples[0] if examples else ""),
        numeric=bool({*kinds, items} & {"integer", "number"})
        or any(isinstance(choice, int | float) for choice in enum),
        whole=kinds <= {"integer"} or items == "integer",
    )


def label_of(key: str) -> str:
    """``pause_between_requests_ms`` → ``Pause between requests (ms)``."""
    words = key.split("_")
    unit = _UNITS.get(words[-1]) if len(words) > 1 else None
    text = " ".join(_WORDS.get(word, word) for word in (words[:-1] if unit else words))
    return text[:1].upper() + text[1:] + (f" ({unit})" if unit else "")


def pieces(text: str) -> list[tuple[str, bool]]:
    """A description in pieces, those between backticks being code."""
    parts = _CODE.split(text)
    return [(part, at % 2 == 1) for at, part in enumerate(parts) if part]


def _value(field: Field, text: str) -> Any:
    """Raises ValueError, in one sentence."""
    if field.kind in ("json", "secret"):
        return _json(field, text)
    if field.kind == "choice" and text not in field.choices:
        raise ValueError(f"{field.label} is one of {', '.join(field.choices)}")
    if field.numeric:
        try:
            return _number(text, field.whole)
        except ValueError:
            if field.kind == "number" or (field.kind == "choice" and field.whole):
                expected = "a whole number" if field.whole else "a number, with a point for decimals"
                raise ValueError(f"{field.label} must be {expected}") from None
    return text


def _number(text: str, whole: bool) -> int | float:
    return int(text, 0) if whole or re.fullmatch(r"[+-]?(?:\d+|0x[0-9a-fA-F]+)", text) else float(text)


def _json(field: Field, text: str) -> Any:
    if is_reference(text):
        home, _, name = text.partition(":")
        return {home: name}
    try:
        value = json.loads(text)
    except ValueError:
        if "," in text or not text.startswith(("[", "{")):
            return [_item(field, part.strip()) for part in text.split(",") if part.strip()]
        raise ValueError(f'{field.label} must be JSON, such as ["first", "second"]') from None
    return value if isinstance(value, list | dict) else [value]


def _item(field: Field, text: str) -> Any:
    try:
        return _number(text, field.whole) if field.numeric else text
    except ValueError:
        raise ValueError(f"{field.label} must be numbers, with commas between them") from None


def _text(field: Field, value: Any) -> Any:
    if field.kind == "check":
        return bool(value)
    if isinstance(value, dict) and len(value) == 1 and {*value} <= _SECRET:
        return ":".join(*value.items())
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def _example(value: Any) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case list() if not any(isinstance(each, list | dict) for each in value):
            return ", ".join(map(str, value))
        case list() | dict():
            return json.dumps(value)
    return str(value)
