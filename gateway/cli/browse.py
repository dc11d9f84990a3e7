"""``tidegate browse``: what a configured device has to offer, as a table or ready to be configured."""

from __future__ import annotations

import csv
import fnmatch
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from gateway.cli.drivers import ask, each, link_of
from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, config_option, fail, note
from gateway.cli.stream import Stream
from gateway.driver import Browses, Bus, Decodes, DriverKind, Item
from gateway.southbound.probe import connected, opened
from gateway.toml import table as toml_table

_HEADINGS = ("kind", "path", "type", "value", "unit", "address")


@click.command()
@click.argument("device")
@click.argument("pattern", default="*")
@config_option
@click.option("--from", "start", metavar="ADDRESS", help="Begin there instead of at the device's own beginning.")
@click.option("--depth", type=click.IntRange(min=1), help="Go down so many levels at most. Default: all.")
@click.option("--csv", "form", flag_value="csv", help="Print rows for tags_csv.")
@click.option("--toml", "form", flag_value="toml", help="Print [[device.group.tag]] tables.")
@click.option("--json", "form", flag_value="json", help="Print a line of JSON for each item.")
def browse(
    device: str, pattern: str, config_path: Path, start: str | None, depth: int | None, form: str | None
) -> None:
    """List what DEVICE has to offer, where its path matches PATTERN.

    PATTERN is a shell pattern, such as '*/temperature'. Read-only. The device needs no tags in the configuration yet.
    A device that allows one connection only is busy while the gateway runs.
    """
    link = link_of(load_or_exit(config_path, check_secrets=False, unfinished=True), device)
    bus, driver = opened(link, device)
    if not isinstance(driver, Browses):
        mend = f"look at an address instead: tidegate decode {device} ADDRESS" if isinstance(driver, Decodes) else None
        fail(f"the driver {link.kind.name!r} of {device!r} can't browse", mend, Exit.USAGE)
    listing = _Listing(link.kind, pattern, form)
    ended = "stopped"
    try:
        ask(link, device, _follow(bus, driver, start, depth, listing))
        ended = "done"
    except KeyboardInterrupt:
        pass
    finally:
        listing.stream.end()
    listing.end(ended)


async def _follow(bus: Bus, driver: Browses, start: str | None, depth: int | None, listing: _Listing) -> None:
    async with connected(bus):
        async for item in each(driver.browse(start, depth)):
            listing.add(item)


class _Listing:
    """What was found of what is wanted, and how it is shown."""

    def __init__(self, kind: DriverKind, pattern: str, form: str | None) -> None:
        self.stream = Stream()
        self._kind = kind
        self._pattern = pattern
        self._form = form
        self._seen = self._shown = self._without_type = 0
        self._tags: list[dict[str, Any]] = []

    def add(self, item: Item) -> None:
        self._seen += 1
        self.stream.progress(f"{self._seen} seen, {self._shown} shown: {item.path}")
        if not fnmatch.fnmatchcase(item.path, self._pattern):
            return
        self._without_type += item.kind == "value" and item.type is None
        match self._form:
            case None:
                self.stream.row(_HEADINGS, _cells(item))
            case "json":
                self.stream.body(_body(item))
            case _ if item.type is not None and item.address:
                self._tags.append(_tag(item, self._kind))
            case _:
                return
        self._shown += 1

    def end(self, how: str) -> None:
        if self._form == "csv":
            _print_csv(self._tags)
        for tag in self._tags if self._form == "toml" else ():
            click.echo(toml_table("device.group.tag", tag))
        note(f"{how}: {self._shown} of {self._seen} shown")
        if self._without_type:
            note(f"{self._without_type} of them hold values that no type of Tidegate can carry")
        if self._form is None and self._shown:
            note("  → rows for tags_csv: the same command with --csv; tables: --toml")


def _cells(item: Item) -> tuple[object, ...]:
    value = "" if item.value is None else item.value
    return item.kind, item.path, _type(item), value, item.unit or "", item.address


def _type(item: Item) -> str:
    if item.type is None:
        return "?" if item.kind == "value" else ""
    writable = " rw" if item.writable else ""
    return f"{item.type}{writable}" if item.count is None else f"{item.type}[{item.count or ''}]{writable}"


def _body(item: Item) -> dict[str, Any]:
    return {
        "kind": item.kind,
        "path": item.path,
        "address": item.address,
        "type": item.type,
        "count": item.count,
        "writable": item.writable,
        "name": item.name,
        "unit": item.unit,
        "description": item.description,
        "value": item.value,
        "options": dict(item.options),
    }


def _tag(item: Item, kind: DriverKind) -> dict[str, Any]:
    """The keys of a tag that reads the item. It isn't made writable: that is for a person to decide."""
    tag = {
        "name": item.path,
        kind.address_key: item.address,
        "type": item.type,
        "count": item.count,
        "unit": item.unit,
        "description": item.description or None,
        "original_name": item.name if item.name != item.path.rpartition("/")[2] else None,
        **item.options,
    }
    return {key: value for key, value in tag.items() if value not in (None, "")}


def _print_csv(tags: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(key for tag in tags for key in tag))
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if columns:
        writer.writerow(columns)
    writer.writerows(list(_csv_cells(tag, columns)) for tag in tags)


def _csv_cells(tag: Mapping[str, Any], columns: list[str]) -> Iterator[object]:
    for column in columns:
        value = tag.get(column, "")
        if isinstance(value, list | dict):
            fail(f"{tag['name']}: {column} is more than a cell of a CSV file can hold", "use --toml for it")
        yield str(value).lower() if isinstance(value, bool) else value
