"""``tidegate tags``: the configured tags as a table, and a table as tags."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from gateway import grids
from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.loading import print_problems
from gateway.cli.output import Exit, colourful, config_option, emit_json, fail, json_option, note
from gateway.config import ConfigErrors
from gateway.config.document import Document, read
from gateway.config.sheets.importing import try_import
from gateway.config.sheets.present import csv_reader, owners_of
from gateway.config.sheets.reading import Target
from gateway.config.sheets.writing import table_of
from gateway.config.words import meant_or_all
from gateway.control.routes.sheets import trial_body
from gateway.grids import Grid, GridError
from gateway.grids.delimited import read_delimited, write_delimited

_SHOWN = 50
_TIMEOUT_S = 120.0


@click.group()
def tags() -> None:
    """Tags from and for a spreadsheet: CSV and Excel workbooks."""


@tags.command()
@click.argument("devices", metavar="[DEVICE]...", nargs=-1)
@config_option
@click.option("-o", "--output", type=click.Path(path_type=Path, dir_okay=False), help="File: .csv or .xlsx.")
@click.option("--group", help="Only tags of groups of this name.")
@click.option("--all-columns", is_flag=True, help="Also columns that no tag uses.")
@click.option("--semicolon", is_flag=True, help="Part CSV by semicolons, for a spreadsheet whose decimals have commas.")
def export(
    devices: tuple[str, ...],
    config_path: Path,
    output: Path | None,
    group: str | None,
    all_columns: bool,
    semicolon: bool,
) -> None:
    """Write the tags of each DEVICE (or template), or of all, as a table; CSV on stdout without --output.

    Nothing is lost: `tidegate tags import` of the same table changes nothing.
    """
    document = _document(config_path)
    owners = owners_of(document.body, csv_reader(document))
    names = [owner.name for owner in owners]
    for name in devices:
        if name not in names:
            fail(
                f"the configuration has no device or template {name!r}", meant_or_all(name, names, "device"), Exit.USAGE
            )
    chosen = [owner for owner in owners if not devices or owner.name in devices]
    if group is not None:
        chosen = [owner.only(group) for owner in chosen]
    header, rows = table_of(chosen, every_column=all_columns)
    if output is None:
        click.echo(write_delimited(header, rows, ";" if semicolon else ","), nl=False)
        return
    match output.suffix.lower():
        case ".xlsx":
            from gateway.grids.workbook import write_workbook

            data = write_workbook(header, rows)
        case ".csv":
            # With a byte order mark, without which Excel takes UTF-8 for something else.
            data = write_delimited(header, rows, ";" if semicolon else ",").encode("utf-8-sig")
        case _:
            fail(f"{output.name} is neither .csv nor .xlsx", "name the file TAGS.csv or TAGS.xlsx", Exit.USAGE)
    try:
        output.write_bytes(data)
    except OSError as error:
        fail(f"{output} can't be written: {error.strerror or error}", "name another file")
    note(f"{len(rows)} tags in {output}")


@tags.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@config_option
@click.option("--dry-run", is_flag=True, help="Say what it would change and what is wrong, and change nothing.")
@click.option("--device", help="Where rows belong that don't say so.")
@click.option("--group", help="The group of rows that don't say so.")
@click.option("--remove", is_flag=True, help="Take out what isn't in the table, of the groups it is about.")
@socket_option
@json_option
def import_tags(
    file: Path,
    config_path: Path,
    dry_run: bool,
    device: str | None,
    group: str | None,
    remove: bool,
    socket: Path | None,
    as_json: bool,
) -> None:
    """Bring the tags in FILE (CSV, tab-separated text, .xlsx; - for stdin) into the draft of the configuration.

    A row changes the tag of its name, or makes it. A column that isn't there changes nothing. If anything is wrong,
    nothing is changed. What is in the draft counts once it is applied: tidegate config diff, tidegate config apply.
    A dry run needs no running gateway.
    """
    grid = _grid(file)
    if dry_run:
        trial = trial_body(try_import(grid, _document(config_path), Target("device", device, group), remove=remove))
    else:
        client = client_for(config_path, socket)
        body = {**grids.to_json(grid), "owner": device, "group": group, "remove": remove}
        with answering():
            trial = client.post("/v1/sheet/try", body, timeout_s=_TIMEOUT_S)
            if trial["edits"]:
                client.call("PATCH", "/v1/config/draft", None, {"edits": trial["edits"]}, _TIMEOUT_S)
    if as_json:
        emit_json(trial)
    else:
        _show(trial)
    if trial["problems"]:
        sys.exit(Exit.CONFIG)
    if trial["edits"] and not dry_run:
        note("It is in the draft now. See it: tidegate config diff")


def _show(trial: Mapping[str, Any]) -> None:
    """One line a change on stdout, one a problem on stderr, and a count."""
    for change in trial["changes"]:
        click.echo(_line(change))
    colour = colourful(sys.stderr)
    for problem in trial["problems"][:_SHOWN]:
        where = problem["where"]
        click.echo(f"{click.style(where, bold=True) if colour else where}: {problem['message']}", err=True)
        click.echo(f"  → {problem['mend']}", err=True)
    if (more := len(trial["problems"]) - _SHOWN) > 0:
        note(f"… and {more} more problems")
    counts = ", ".join(f"{trial[key]} {key}" for key in ("added", "changed", "removed", "unchanged"))
    note(f"{trial['rows']} rows: {counts}" + (f", {len(trial['problems'])} problems" if trial["problems"] else ""))
    if trial["absent"]:
        note(f"{len(trial['absent'])} tags aren't in the table and stay; --remove takes them out")


def _line(change: Mapping[str, Any]) -> str:
    place = f"{change['owner']}/{change['group']}: {change['name']}"
    if change["action"] != "change":
        sign = "+" if change["action"] == "add" else "-"
        return f"{sign} {place}"
    parts = [f"{key} = {value!r}" for key, value in change["set"].items()] + [f"no {key}" for key in change["unset"]]
    if change["to_group"]:
        parts.append(f"to group {change['to_group']}")
    return f"~ {place}: {', '.join(parts)}"


def _grid(file: Path) -> Grid:
    try:
        data = sys.stdin.buffer.read(grids.MAX_BYTES + 1) if str(file) == "-" else file.read_bytes()
    except OSError as error:
        fail(f"{file} can't be read: {error.strerror or error}", "mend the path")
    try:
        if data[:4] == b"PK\x03\x04":
            from gateway.grids.workbook import read_workbook

            return read_workbook(data)
        return read_delimited(data)
    except GridError as error:
        fail(f"{file}: {error}", error.hint, Exit.CONFIG)


def _document(config_path: Path) -> Document:
    try:
        return read(config_path)
    except ConfigErrors as errors:
        print_problems(errors.problems)
        sys.exit(Exit.CONFIG)
