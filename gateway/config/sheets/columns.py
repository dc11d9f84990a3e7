"""The columns a table of tags may have, and the keys and types behind them: from the models, so always complete."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from pydantic import BaseModel

from gateway.config.export import table_schema
from gateway.config.schema import ReportTable, TagTable
from gateway.driver import DriverKind

OWNER_COLUMNS = ("device", "template", "group")
REPORT = "report"


@dataclass(frozen=True, slots=True)
class Column:
    """One key of a tag as a column."""

    name: str
    kind: str
    """``text``, ``number``, ``integer``, ``boolean``, or ``json`` for lists and tables."""
    in_report: bool = False


@cache
def tag_columns(kind: DriverKind | None) -> Mapping[str, Column]:
    """The columns of a driver's tags by name, in the order of the schema: name, address, type, and so on."""
    own = _columns(kind.tag_options) if kind else {}
    common = _columns(TagTable)
    report = {name: Column(name, each.kind, in_report=True) for name, each in _columns(ReportTable).items()}
    first = [name for name in ("name", kind.address_key if kind else "", "type") if name in common | own]
    ordered = [*first, *(name for name in (*common, *own) if name not in first and name != REPORT)]
    return {name: (common | own)[name] for name in ordered} | report


def flattened(tag: Mapping[str, Any]) -> dict[str, Any]:
    """A tag's keys with those of its `report` beside them."""
    flat = {key: value for key, value in tag.items() if key != REPORT}
    report = tag.get(REPORT)
    return flat | report if isinstance(report, dict) else flat


def nested(flat: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of :func:`flattened`."""
    report = {key: flat[key] for key in ReportTable.model_fields if key in flat}
    tag = {key: value for key, value in flat.items() if key not in report}
    return tag | {REPORT: report} if report else tag


def _columns(model: type[BaseModel]) -> dict[str, Column]:
    return {name: Column(name, _kind(about)) for name, about in table_schema(model).get("properties", {}).items()}


def _kind(about: Mapping[str, Any]) -> str:
    kinds = {option.get("type", "string") for option in about.get("anyOf", [about])}
    if kinds & {"array", "object"}:
        return "json"
    if kinds == {"boolean"}:
        return "boolean"
    if kinds == {"integer"}:
        return "integer"
    if kinds <= {"integer", "number"}:
        return "number"
    return "text"
