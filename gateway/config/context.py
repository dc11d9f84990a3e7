"""What every part of reading a configuration needs: the document, the report, the drivers, the names seen so far."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, get_args

from pydantic import BaseModel

from gateway import registry
from gateway.config.document import Document
from gateway.config.names import quote
from gateway.config.places import Cell, Key, Place
from gateway.config.report import Checker, Report
from gateway.config.schema import (
    DeviceTable,
    GatewayTable,
    GroupTable,
    JournalTable,
    LinkTable,
    ReportTable,
    SinkTable,
    TagTable,
    TagWriteTable,
    TemplateTable,
    TlsTable,
    WriteTable,
)
from gateway.config.tls import exposed, unreadable
from gateway.config.topics import CASE_HINT
from gateway.config.words import listing, meant_or_all
from gateway.driver import DriverKind
from gateway.fields import SecretReference
from gateway.secrets import Secret, SecretError
from gateway.sentences import with_mend

Raw: TypeAlias = Mapping[str, Any]

Model = TypeVar("Model", bound=BaseModel)


class Context:
    """One reading of one document."""

    def __init__(self, document: Document, report: Report, *, check_secrets: bool, unfinished: bool) -> None:
        self.document = document
        self.report = report
        self.check_secrets = check_secrets
        """Whether to look for what only the gateway itself has."""
        self.unfinished = unfinished
        """Whether devices and groups may have no tags yet."""
        self._kinds: dict[str, DriverKind | None] = {}
        self._broken: dict[str, str] = {}
        self.checker = Checker(report, self._tables())

    def sections(self, name: str) -> list[tuple[Raw, Place]]:
        return self.checker.array(self.document.body.get(name, []), Key((name,)))

    def driver(self, name: str, place: Place) -> DriverKind | None:
        """The driver of that name, or None and a problem."""
        kind = self._kind(name)
        if name in self._broken:
            message = f"the driver {quote(name)} can't be loaded: {self._broken[name]}"
            self.report.add(place, message, "install its package again, with everything it needs")
        elif kind is None:
            names = registry.driver_names()
            self.report.add(place, f"there is no driver {quote(name)}", meant_or_all(name, names, "driver"))
        return kind

    def path(self, text: str, base: Path | None = None) -> Path:
        return (base or self.document.sources[0].path.parent) / text

    def secret(self, reference: SecretReference, place: Place) -> Secret | None:
        """What a reference to a secret names, or None and a problem. On the gateway itself also whether it is there."""
        homes = reference.homes
        if len(homes) != 1:
            message = f"{place.label} names {len(homes)} homes of a secret, but must name one"
            self.report.add(place, message, f"write one of {listing(SecretReference.model_fields)}")
            return None
        if self.check_secrets:
            try:
                reference.read()
            except SecretError as error:
                message, hint = with_mend(str(error))
                self.report.add(place.child(next(iter(homes))), f"{place.label}: {message}", hint or "mend it")
        return reference.secret

    def options(
        self,
        model: type[Model],
        raw: Raw,
        place: Place,
        common: Iterable[str],
        directory: Path,
        *,
        strings: bool = False,
    ) -> Model | None:
        """The driver's own keys of a table as the driver's model, or None and problems.

        `directory`: where relative paths start, see :meth:`directory`.
        """
        options = self.checker.options(model, raw, place, common, directory, strings=strings)
        if options is None:
            return None
        for key in _secret_keys(model):
            reference = getattr(options, key)
            if reference is not None and self.secret(reference, place.child(key)) is None:
                return None
        for key in _file_keys(model) if self.check_secrets else ():
            path = getattr(options, key)
            if path is not None and (wrong := unreadable(path) or exposed(path)):
                message, hint = wrong
                self.report.add(place.child(key), f"{place.child(key).label}: {message}", hint)
        return options

    def directory(self, place: Place) -> Path:
        """Where relative paths written at a place start."""
        match place:
            case Cell(file, _):
                return file.parent
            case Key(path):
                return self.document.source_of(path).path.parent
        raise TypeError(f"not a place: {place!r}")

    def unique(self, names: dict[str, Place], name: str, place: Place, what: str) -> bool:
        """Whether a name is new, also in another case; a problem naming both places if not."""
        known = names.setdefault(name.lower(), place)
        if known is place:
            return True
        self.report.add(
            place.child("name"),
            f"the {what} {quote(name)} is also defined at {self.report.where(known.child('name'))}",
            "give one of them another name" + CASE_HINT,
        )
        return False

    def is_table(self, raw: Any, place: Place) -> bool:
        if isinstance(raw, dict):
            return True
        name = place.label
        if isinstance(raw, list):
            self.report.add(place, f"[[{name}]] is a list of tables, but must be one table", f"write [{name}], once")
        else:
            self.report.add(place, f"{name} must be a table", f"write [{name}] above its keys")
        return False

    def _kind(self, name: str) -> DriverKind | None:
        """The driver of that name, or None; if it is there and can't be loaded, why not is kept."""
        if name not in self._kinds:
            self._kinds[name] = None
            if name in registry.driver_names():
                try:
                    self._kinds[name] = registry.load_driver(name)
                except (ImportError, TypeError, AttributeError) as error:
                    self._broken[name] = f"{error}"
        return self._kinds[name]

    def _tables(self) -> dict[str, Iterable[str]]:
        """Every table and its keys, the drivers' included, for "it belongs into …"."""
        tables: dict[str, list[str]] = {
            "[gateway]": [*GatewayTable.model_fields],
            "[journal]": [*JournalTable.model_fields],
            "[write]": [*WriteTable.model_fields],
            "[[sink]]": [*SinkTable.model_fields],
            "[sink.tls]": [*TlsTable.model_fields],
            "[[link]]": [*LinkTable.model_fields],
            "[[device]]": [*DeviceTable.model_fields],
            "[[device.group]]": [*GroupTable.model_fields],
            "[[device.group.tag]]": [*TagTable.model_fields],
            "report = {…} of a tag": [*ReportTable.model_fields],
            "write = {…} of a tag": [*TagWriteTable.model_fields],
            "[[template]]": [*TemplateTable.model_fields],
        }
        drivers = (table.get("driver") for table in self._raw_tables("link", "template"))
        for name in sorted({name for name in drivers if isinstance(name, str)}):
            if kind := self._kind(name):
                tables["[[link]]"] += kind.link_options.model_fields
                tables["[[device]]"] += kind.device_options.model_fields
                tables["[[device.group.tag]]"] += kind.tag_options.model_fields
        return dict(tables)

    def _raw_tables(self, *sections: str) -> list[Raw]:
        found: list[Raw] = []
        for section in sections:
            value = self.document.body.get(section)
            found += [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
        return found


@cache
def _secret_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a table that refer to secrets."""
    return tuple(
        key
        for key, field in model.model_fields.items()
        if SecretReference in (field.annotation, *get_args(field.annotation))
    )


@cache
def _file_keys(model: type[BaseModel]) -> tuple[str, ...]:
    """The keys of a table that name files."""
    return tuple(
        key
        for key, field in model.model_fields.items()
        if any(Path in (part, *get_args(part)) for part in (field.annotation, *get_args(field.annotation)))
    )


def split(raw: Raw, model: type[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(keys of the model, all others: the driver's)"""
    fields = model.model_fields
    common: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in raw.items():
        (common if key in fields else own)[key] = value
    return common, own
