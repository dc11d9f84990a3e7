"""Command-line options made from a pydantic model: each field becomes one, described as it is in the model."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, get_args

import click
import orjson
from pydantic import BaseModel, ValidationError

from gateway.cli.output import Exit, fail
from gateway.config.export import table_schema
from gateway.config.report import strictly
from gateway.config.words import explain
from gateway.fields import SecretReference

Model = TypeVar("Model", bound=BaseModel)
_Type: TypeAlias = click.ParamType[Any]

_TYPES: Mapping[str, _Type] = {"integer": click.INT, "number": click.FLOAT}


class _Json(_Type):
    """A table, as JSON."""

    name = "JSON"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError as error:
            self.fail(f"{value!r} isn't JSON: {error}", param, ctx)


class _Secret(_Type):
    """A secret by reference, as in the configuration: ``env:NAME``."""

    name = "|".join(f"{home}:…" for home in SecretReference.model_fields)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        home, _, name = str(value).partition(":")
        if home not in SecretReference.model_fields or not name:
            self.fail("a secret is given by reference: env:NAME, file:PATH or credential:NAME", param, ctx)
        return {home: name}


class _Either(_Type):
    """The first of several types that a text is."""

    def __init__(self, types: Sequence[_Type]) -> None:
        self._types = types
        self.name = "|".join(each.name for each in types)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        for each in self._types[:-1]:
            try:
                return each.convert(value, param, ctx)
            except click.BadParameter:
                continue
        return self._types[-1].convert(value, param, ctx)


class _Several(_Type):
    """Entries of one type, with commas between them."""

    def __init__(self, of: _Type) -> None:
        self._of = of
        self.name = f"{of.name},…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        return [self._of.convert(entry.strip(), param, ctx) for entry in value.split(",") if entry.strip()]


def options_of(model: type[BaseModel], taken: Collection[str], prefix: str) -> list[click.Option]:
    """An option for every field. One whose name is among `taken` begins with `prefix`."""
    schema = table_schema(model)
    required = schema.get("required", ())
    options = []
    for field, about in schema.get("properties", {}).items():
        name = _kebab(field)
        flag = f"--{prefix}-{name}" if f"--{name}" in taken else f"--{name}"
        options.append(_option(flag, field, about, _is_secret(model, field), required=field in required))
    return options


def validated(model: type[Model], options: Sequence[click.Option], given: Mapping[str, Any]) -> Model:
    """The model of what was given. Ends the command with every problem if it isn't valid."""
    flags = {str(option.name): option.opts[0] for option in options}
    raw = {
        name.removeprefix(_PREFIX): [entry for part in value for entry in part] if isinstance(value, tuple) else value
        for name, value in given.items()
        if name in flags and value is not None and value != ()
    }
    try:
        return strictly(model, raw, {})
    except ValidationError as error:
        problems = [
            explain(flags.get(f"{_PREFIX}{detail['loc'][0]}", "") if detail["loc"] else "", detail, from_text=True)
            for detail in error.errors()
        ]
        for message, mend in problems[:-1]:
            click.echo(f"tidegate: {message.strip()}\n  → {mend}", err=True)
        message, mend = problems[-1]
        fail(message.strip(), mend, Exit.USAGE)


_PREFIX = "field_"
"""Of parameter names, so that a field can't be taken for an option of the command's own."""


def _option(flag: str, field: str, about: Mapping[str, Any], secret: bool, *, required: bool) -> click.Option:
    kind = _Secret() if secret else _type(about)
    many = isinstance(kind, _Several)
    is_flag = kind is click.BOOL
    default: dict[str, Any] = {} if required else {"default": None}  # a default of None counts as given
    return click.Option(
        [_PREFIX + field, f"{flag}/--no-{flag.removeprefix('--')}" if is_flag else flag],
        type=None if is_flag else kind,
        is_flag=is_flag,
        multiple=many,
        required=required,
        help=_help(about),
        **default,
    )


def _type(about: Mapping[str, Any]) -> _Type:
    """The click type of a field, from its JSON Schema."""
    if "anyOf" in about:
        return _Either([_type(option) for option in about["anyOf"]])
    if "enum" in about or "const" in about:
        return click.Choice(about.get("enum", [about.get("const")]))
    kind = about.get("type")
    if kind == "boolean":
        return click.BOOL
    if kind == "array":
        return _Several(_type(about.get("items", {})))
    if kind == "object":
        return _Json()
    return _TYPES.get(str(kind), click.STRING)


def _help(about: Mapping[str, Any]) -> str:
    text = re.sub(r"`([^`]*)`", r"\1", str(about.get("description", "")))
    default = about.get("default")
    if default in (None, [], {}) or "Default:" in text:
        return text
    shown = ", ".join(map(str, default)) if isinstance(default, list) else default
    if isinstance(default, bool):
        shown = "yes" if default else "no"
    return f"{text} Default: {shown}.".strip()


def _is_secret(model: type[BaseModel], field: str) -> bool:
    annotation = model.model_fields[field].annotation
    return SecretReference in (annotation, *get_args(annotation))


def _kebab(field: str) -> str:
    return field.strip("_").replace("_", "-").lower()
