"""``tidegate journal``: look into the store-and-forward journal, whether or not the gateway runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, config_option, emit_json, fail, json_option, moment, note, table

path_option = click.option(
    "--path", type=click.Path(path_type=Path), help="The journal's file, where the configuration isn't at hand."
)


@click.group()
def journal() -> None:
    """Look into the store-and-forward journal. Read-only; the gateway may run meanwhile."""


@journal.command()
@config_option
@path_option
@json_option
def stats(config_path: Path, path: Path | None, as_json: bool) -> None:
    """Show what the journal holds: records waiting, sinks, refusals, sizes."""
    from gateway.journal import JournalError
    from gateway.journal.inspect import stats as look

    try:
        body = look(_path(config_path, path))
    except JournalError as error:
        fail(str(error), "the gateway makes its journal at its first start: tidegate run", Exit.FAILED)
    if as_json:
        emit_json(body)
        return
    plain = [(key.replace("_", " "), value) for key, value in body.items() if not isinstance(value, dict | list)]
    table(["journal", ""], plain)
    table(
        ["device", "records", "values", "oldest"],
        (
            (name, source["records"], source["values"], moment(source["oldest_ms"]))
            for name, source in body["sources"].items()
        ),
    )
    table(
        ["sink", "settled up to", "and ahead"],
        ((name, row["watermark"], len(row["ahead"])) for name, row in body["sinks"].items()),
    )
    if body["refused"]:
        table(
            ["sink", "device", "refused records", "reason"],
            ((row["sink"], row["source"], row["records"], row["reason"]) for row in body["refused"]),
        )
    for aside in body["set_aside"]:
        note(f"a damaged journal was set aside: {aside}")


@journal.command()
@config_option
@path_option
@json_option
def verify(config_path: Path, path: Path | None, as_json: bool) -> None:
    """Read every record and check every checksum. Exit code 1 if anything is wrong."""
    from gateway.journal import JournalError
    from gateway.journal.inspect import verify as look

    where = _path(config_path, path)
    try:
        problems = list(look(where))
    except JournalError as error:
        fail(str(error), "the gateway makes its journal at its first start: tidegate run", Exit.FAILED)
    if as_json:
        emit_json({"path": str(where), "sound": not problems, "problems": problems})
    else:
        for problem in problems:
            click.echo(problem)
        note(f"{where} is sound" if not problems else f"{where} is damaged: {len(problems)} findings")
        if problems:
            note("  → the gateway sets a damaged file aside at its next start and salvages what can be read")
    sys.exit(Exit.FAILED if problems else Exit.OK)


def _path(config_path: Path, path: Path | None) -> Path:
    return path if path is not None else load_or_exit(config_path, check_secrets=False).journal.path
