"""``tidegate config``: the configuration of the running gateway, its history, and changing it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.changing import apply, confirm, draft, rollback
from gateway.cli.output import (
    Exit,
    config_option,
    emit_json,
    fail,
    json_option,
    moment,
    note,
    print_patch,
    table,
)


@click.group()
def config() -> None:
    """The configuration: look at it, change it so that a mistake comes back by itself."""


config.add_command(apply)
config.add_command(confirm)
config.add_command(rollback)
config.add_command(draft)

of_option = click.option(
    "--of",
    default="files",
    show_default=True,
    metavar="WHICH",
    help="files (what is in place), running, draft, or the number of a revision.",
)


@config.command()
def schema() -> None:
    """Print the JSON Schema of tidegate.toml, drivers included, for editors and tools."""
    from gateway.config.export import json_schema

    emit_json(json_schema())


@config.command()
@click.argument("file", required=False)
@config_option
@socket_option
@of_option
@json_option
def show(file: str | None, config_path: Path, socket: Path | None, of: str, as_json: bool) -> None:
    """Show who owns the configuration and how it stands; or the text of FILE, one of its files."""
    client = client_for(config_path, socket)
    with answering():
        body = client.get("/v1/config/files", of=of) if file or of != "files" else client.get("/v1/config")
    if file:
        found = next((each for each in body["files"] if each["name"] == file), None)
        if found is None:
            names = ", ".join(each["name"] for each in body["files"])
            fail(f"the configuration has no file {file}", f"there are: {names}", Exit.USAGE)
        body = found
    if as_json:
        emit_json(body)
    elif file:
        click.echo(body["text"], nl=False)
    elif of != "files":
        table(["file", "bytes"], [(each["name"], each["bytes"]) for each in body["files"]])
    else:
        _print_overview(body)


@config.command()
@click.argument("path", required=False, type=click.Path(path_type=Path, exists=True))
@config_option
@socket_option
@json_option
def diff(path: Path | None, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Show what the draft would change; or what PATH would, a main file or a directory with one."""
    client = client_for(config_path, socket)
    with answering():
        if path is None:
            body = client.get("/v1/config/draft/diff")
        else:
            from gateway.changes.drafting import differences
            from gateway.cli.changing import tree_at
            from gateway.config.tree import Tree

            place = client.get("/v1/config/files")
            old = Tree(place["main"], {each["name"]: (each["text"] or "").encode() for each in place["files"]})
            told = differences(old, tree_at(path, place["main"]))
            changes = None if told["changes"] is None else [asdict(each) for each in told["changes"]]
            body = {**told, "files": [asdict(each) for each in told["files"]], "changes": changes}
    if as_json:
        emit_json(body)
        return
    print_patch(body["patch"])
    for change in body["changes"] or []:
        note(change["sentence"])
    if not body["patch"]:
        note("no difference")


@config.command()
@click.argument("number", required=False, type=click.IntRange(1))
@config_option
@socket_option
@json_option
def history(number: int | None, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """List the revisions, the newest first; or show what revision NUMBER changed."""
    client = client_for(config_path, socket)
    with answering():
        if number is None:
            body = client.get("/v1/config/history")
        else:
            body = client.get(f"/v1/config/history/{number}") | client.get(f"/v1/config/history/{number}/diff")
    if as_json:
        emit_json(body)
    elif number is None:
        table(
            ["revision", "when", "author", "outcome", "reason", "why"],
            [
                (each["number"], moment(each["at_ms"]), each["author"], _outcome(each), each["reason"], each["why"])
                for each in body
            ],
        )
    else:
        print_patch(body["patch"])
        note(f"revision {number} by {body['author']}, {moment(body['at_ms'])}: {_outcome(body)}. {body['reason']}")


@config.command()
@click.argument("file", required=False, type=click.Path(path_type=Path, dir_okay=False))
@config_option
@socket_option
@of_option
def export(file: Path | None, config_path: Path, socket: Path | None, of: str) -> None:
    """Write all files as one tar archive to FILE, or to stdout. Secrets are references, so they aren't in it."""
    if file is None and sys.stdout.isatty():
        fail("an archive is nothing for a terminal", "give a FILE, or redirect the output", Exit.USAGE)
    with answering():
        body = client_for(config_path, socket).get("/v1/config/export", of=of)
    if file is None:
        sys.stdout.buffer.write(body)
        sys.stdout.buffer.flush()
    else:
        file.write_bytes(body)
        note(f"wrote {file}")


@config.command("import")
@click.argument("file", type=click.File("rb"))
@config_option
@socket_option
@json_option
def import_(file: Any, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Put the tar archive FILE into the draft, instead of what it holds; - is stdin."""
    with answering():
        body = client_for(config_path, socket).call("POST", "/v1/config/draft/import", body=file.read())
    if as_json:
        emit_json(body)
    else:
        note("it is in the draft; see what it would change: tidegate config diff")


@config.command()
@click.argument("name", required=False)
@config_option
@socket_option
@json_option
def owner(name: str | None, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Show who changes the configuration; or give it to NAME: page (people), or a tool such as ansible."""
    client = client_for(config_path, socket)
    with answering():
        if name is None:
            body = client.get("/v1/config")["owner"]
        else:
            body = client.call("PUT", "/v1/config/owner", body={"name": name})
    if as_json:
        emit_json(body)
    else:
        click.echo(body["name"])


def _print_overview(body: dict[str, Any]) -> None:
    rows = [
        ("main file", body["main"]),
        ("files", ", ".join(each["name"] for each in body["files"])),
        ("owner", body["owner"]["name"]),
        ("edited by hand since the start", "yes" if body["edited_outside"] else "no"),
    ]
    if draft := body["draft"]:
        rows.append(
            ("draft", f"by {draft['author']}, changed by {draft['changed_by']} {moment(draft['changed_at_ms'])}")
        )
    if pending := body["pending"]:
        rows.append(
            (
                "unconfirmed",
                f"revision {pending['revision']} by {pending['author']}, {pending['seconds_left']:.0f} s left",
            )
        )
    if trouble := body["trouble"]:
        instead = f"revision {trouble['revision']}" if trouble["revision"] else "a starter configuration"
        rows.append(("trouble", f"the files have {len(trouble['problems'])} problems, so {instead} runs"))
    rows += [("waits for a restart", sentence) for sentence in body["needs_restart"]]
    table(["configuration", ""], rows)


def _outcome(revision: dict[str, Any]) -> str:
    return revision["outcome"] if revision["kind"] == "change" else f"{revision['kind']}, {revision['outcome']}"
