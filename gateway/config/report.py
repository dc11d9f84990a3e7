"""Collecting problems while a configuration is read, and validating one table of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError

from gateway.config.document import Document
from gateway.config.names import quote
from gateway.config.places import Place
from gateway.config.problems import ConfigErrors, Problem
from gateway.config.words import closest, example, explain, fields_at, found
from gateway.sentences import one_line

_SOUTHBOUND = ("[[link", "[[device", "[[template", "report", "write =")

Model = TypeVar("Model", bound=BaseModel)


class Report:
    """Every problem found so far. Places become file and line at the end, and only if there are problems."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._found: dict[tuple[Place, str], str] = {}
        self._elsewhere: list[Problem] = []

    def add(self, place: Place, message: str, hint: str) -> None:
        """One problem. The same one found twice (a template used by two devices) is reported once."""
        self._found.setdefault((place, one_line(message)), one_line(hint))

    def add_problems(self, problems: Iterable[Problem]) -> None:
        """Problems that know their lines already."""
        self._elsewhere += problems

    @property
    def count(self) -> int:
        """How many problems there are."""
        return len(self._found) + len(self._elsewhere)

    def where(self, place: Place) -> str:
        """``file:line`` of another place, for a message."""
        file, line = self._document.locate(place)
        return f"{file}:{line}" if line else str(file)

    def found(self) -> Iterator[tuple[Place | None, str, str | None]]:
        """(place, message, mend) of every problem; those that know their lines already have no place here."""
        yield from ((place, message, hint) for (place, message), hint in self._found.items())
        yield from ((None, problem.message, problem.hint) for problem in self._elsewhere)

    def raise_if_any(self) -> None:
        """Raises ConfigErrors if a problem was found."""
        problems = list(self._elsewhere)
        for (place, message), hint in self._found.items():
            file, line = self._document.locate(place)
            problems.append(Problem(file, line, message, hint))
        if problems:
            problems.sort(key=lambda problem: (self._document.order(problem.file), problem.file, problem.line or 0))
            raise ConfigErrors(tuple(dict.fromkeys(problems)))


class Checker:
    """Validates tables against models, with the keys of the tables around them in mind."""

    def __init__(self, report: Report, tables: Mapping[str, Iterable[str]]) -> None:
        self._report = report
        self._tables = {name: tuple(keys) for name, keys in tables.items()}
        """The configuration's tables as a user writes them (``[[device.group]]``), and their keys."""

    def table(
        self,
        model: type[Model],
        raw: Mapping[str, Any],
        place: Place,
        extra: Iterable[str] = (),
        directory: Path | None = None,
        *,
        strings: bool = False,
    ) -> Model | None:
        """A table as its model, or None and problems. `extra`: further keys that belong here, known elsewhere.

        `directory`: where relative paths start. `strings`: every value is text, from a CSV row.
        """
        context = {"directory": directory}
        try:
            if strings:
                return model.model_validate_strings(raw, context=context)
            return model.model_validate(raw, context=context)
        except ValidationError as error:
            self._explain(error, model, place, extra, strings)
            return None

    def options(
        self,
        model: type[Model],
        raw: Mapping[str, Any],
        place: Place,
        common: Iterable[str],
        directory: Path,
        *,
        strings: bool = False,
    ) -> Model | None:
        """The driver's own keys of a table as the driver's model, or None and problems."""
        context = {"directory": directory}
        try:
            if strings:
                return model.model_validate_strings(raw, context=context)
            return strictly(model, raw, context)
        except ValidationError as error:
            self._explain(error, model, place, common, strings)
            return None

    def unknown_key(self, key: str, own: Iterable[str], place: Place) -> None:
        """Report a key that doesn't belong where it stands, with where it does, or how it is spelt."""
        names = list(own)
        table = place.label.removesuffix(key).removesuffix(".")
        message = f"unknown key {quote(key)} in {table}" if table else f"unknown key {quote(key)}"
        homes = [home for home, keys in self._tables.items() if key in keys]
        southbound = [home for home in homes if home.startswith(_SOUTHBOUND)]
        if table.startswith(("link", "device", "template")) and southbound:
            homes = southbound
        if meant := closest(key, names):
            hint = f"did you mean {quote(meant)}?"
        elif homes:
            hint = f"it belongs into {' or '.join(homes)}"
        elif near := next(
            ((close, home) for home, keys in self._tables.items() if (close := closest(key, keys))), None
        ):
            hint = f"did you mean {quote(near[0])} of {near[1]}?"
        else:
            hint = f"possible keys: {', '.join(names)}"
        self._report.add(place, message, hint)

    def array(self, value: Any, place: Place) -> list[tuple[Mapping[str, Any], Place]]:
        """The tables of an array of tables, each with its place; problems for what is no table."""
        name = place.label
        if isinstance(value, dict):
            self._report.add(place, f"[{name}] is a single table, but must be a list of tables", f"write [[{name}]]")
            return [(value, place)]
        if not isinstance(value, list):
            message = f"{name} is {found(value)}, but must be a list of tables"
            self._report.add(place, message, f"write [[{name}]] above its keys")
            return []
        tables: list[tuple[Mapping[str, Any], Place]] = []
        for index, item in enumerate(value):
            if isinstance(item, dict):
                tables.append((item, place.child(index)))
            else:
                message = f"{name} holds {found(item)}, but must hold tables"
                self._report.add(place.child(index), message, f"write [[{name}]] above its keys")
        return tables

    def _explain(
        self, error: ValidationError, model: type[BaseModel], place: Place, extra: Iterable[str], strings: bool
    ) -> None:
        for detail in error.errors(include_url=False):
            keys = tuple(part for part in detail["loc"] if isinstance(part, str | int))
            spot = place.child(*keys)
            fields = fields_at(model, keys[:-1])
            if detail["type"] == "extra_forbidden":
                self.unknown_key(str(keys[-1]), [*(extra if len(keys) == 1 else ()), *fields], spot)
            elif detail["type"] == "missing":
                name = str(keys[-1])
                if strings:
                    self._report.add(place, f"the row has no {quote(name)}", f"fill in the column {quote(name)}")
                    continue
                hint = f"add {example(name, fields[name])}" if name in fields else f"add {name}"
                self._report.add(place.child(*keys[:-1]), f"{spot.label} is missing", hint)
            elif _is_clear_secret(model, keys, detail["input"]):
                self._report.add(
                    spot,
                    f"{spot.label} is written in clear, but a secret can't stand in the configuration",
                    f'put it into a file and write {keys[-1]} = {{file = "PATH"}}, or {{env = "NAME"}}, '
                    'or {credential = "NAME"}',
                )
            else:
                info = fields.get(str(keys[-1])) if keys else None
                message, hint = explain(spot.label, detail, info, from_text=strings)
                self._report.add(spot.child(*_key_meant(message, detail["input"])), message, hint)


def strictly(model: type[Model], raw: Mapping[str, Any], context: Mapping[str, Any]) -> Model:
    """Validate without converting one type into another, though an enumeration is text in TOML. Raises ValidationError.

    That is how pydantic takes JSON. What JSON can't say (dates, integers beyond 64 bits, NaN) goes in as it is.
    """
    try:
        body = orjson.dumps(raw, option=orjson.OPT_PASSTHROUGH_DATETIME)
    except TypeError:
        return model.model_validate(raw, context=context)
    if b"null" in body:
        return model.model_validate(raw, context=context)
    return model.model_validate_json(body, strict=True, context=context)


def _key_meant(message: str, table: Any) -> tuple[str, ...]:
    """Where in a table to look: of what is wrong with keys together, the first one that is named and given."""
    given = table if isinstance(table, dict) else {}
    return next(((word,) for word in re.findall(r"\w+", message) if word in given), ())


def _is_clear_secret(model: type[BaseModel], keys: tuple[str | int, ...], value: Any) -> bool:
    """Text where a reference to a secret is expected. It must not be repeated in a message."""
    return isinstance(value, str) and {*fields_at(model, keys)} == {"env", "file", "credential"}
