"""``tidegate diag``: what whoever is asked for help will ask for."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import click

from gateway.cli.calling import answering, socket_option
from gateway.cli.output import Exit, config_option, emit_json, fail, json_option, note
from gateway.config import ConfigErrors, load
from gateway.control.client import ControlClient, NotRunning
from gateway.journal import JournalError
from gateway.settings import GatewaySettings


@click.group()
def diag() -> None:
    """Find out what is wrong, or let others do so."""


@diag.command()
@click.argument("file", type=click.Path(path_type=Path), required=False)
@config_option
@socket_option
@json_option
def bundle(file: Path | None, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Write a diagnostic bundle to FILE, a zip: status, configuration, log, versions, facts of the machine.

    It holds no secret; CONTENTS.txt in it says what it holds. Default for FILE: a name with the time in it. Made also
    where the gateway doesn't run, or its configuration is invalid: then with less in it.
    """
    settings, problems = _settings(config_path)
    where = socket or (settings.socket if settings else None)
    body = None
    if where is not None:
        with answering():
            try:
                body = ControlClient(where, timeout_s=60).get("/v1/diagnosis/bundle")
            except NotRunning as error:
                note(f"{error}: it is made without it")
    if body is None:
        body = _made_here(config_path, settings, problems)
    path = file or Path(f"tidegate-{datetime.now(UTC).strftime('%Y%m%dT%H%M%SZ')}.zip")
    try:
        path.write_bytes(body)
    except OSError as error:
        fail(f"{path} can't be written: {error.strerror}", "name another FILE", Exit.FAILED)
    names = zipfile.ZipFile(BytesIO(body)).namelist()
    if as_json:
        emit_json({"file": str(path), "bytes": len(body), "contents": names})
    else:
        click.echo(path)
        note(f"{len(body):,} bytes: {', '.join(names)}")
        note("  → look through it before you pass it on")


def _settings(config_path: Path) -> tuple[GatewaySettings | None, list[str]]:
    try:
        return load(config_path), []
    except ConfigErrors as errors:
        problems = [str(problem) for problem in errors.problems]
    try:  # what can be known nevertheless: a secret that is missing is no reason not to find the gateway
        return load(config_path, check_secrets=False, unfinished=True), problems
    except ConfigErrors:
        return None, problems


def _made_here(config_path: Path, settings: GatewaySettings | None, problems: list[str]) -> bytes:
    from gateway.journal.inspect import stats
    from gateway.ops.bundle import packed, sections

    journal = None
    if settings is not None:
        try:
            journal = stats(settings.journal.path)
        except JournalError as error:
            problems = [*problems, str(error)]
    data_dir = settings.data_dir if settings else None
    found = sections(data_dir, configuration=_files(config_path), problems=problems, settings=settings, journal=journal)
    return packed(found)


def _files(config_path: Path) -> Mapping[str, bytes]:
    from gateway.config.document import in_place

    try:
        return in_place(config_path).files
    except ConfigErrors:
        return {}
