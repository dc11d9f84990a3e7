"""``tidegate backup`` and ``tidegate restore``: one file that makes a gateway this gateway."""

from __future__ import annotations

import asyncio
import getpass
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gateway.actors import Actor, Role
from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.loading import load_or_exit
from gateway.cli.output import (
    Exit,
    config_option,
    confirmed,
    emit_json,
    fail,
    json_option,
    moment,
    note,
    table,
    yes_option,
)
from gateway.cli.stream import Stream
from gateway.config import ConfigErrors
from gateway.control.client import NotRunning
from gateway.ops.backup.archive import Backup, BackupRefused, unpack
from gateway.ops.backup.restore import PARTS, RestoreReport
from gateway.ops.backup.sealing import LEAST_PASSPHRASE, is_sealed
from gateway.ops.files import write_atomically

_VARIABLE = "TIDEGATE_BACKUP_PASSPHRASE"
_LIMIT_S = 120.0

_passphrase_option = click.option(
    "--passphrase-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help=f"File with the passphrase. Default: the variable {_VARIABLE}, else it is asked for on a terminal.",
)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@socket_option
@json_option
@_passphrase_option
@click.option("--plain", is_flag=True, help="Don't seal it; it then holds no secret: no accounts, keys or passwords.")
def backup(
    file: Path, config_path: Path, socket: Path | None, as_json: bool, passphrase_file: Path | None, plain: bool
) -> None:
    """Write a backup to FILE: configuration, accounts, certificates and keys, audit log. The journal isn't in it.

    It is sealed with a passphrase, without which nobody can open it, you neither. Made by the running gateway, or from
    its files if none runs.
    """
    passphrase = None if plain else _passphrase(passphrase_file, twice=True)
    if passphrase is not None and len(passphrase) < LEAST_PASSPHRASE:
        fail(f"a passphrase needs at least {LEAST_PASSPHRASE} characters", "use several words", Exit.USAGE)
    body = None
    with answering():
        try:
            client = client_for(config_path, socket, _LIMIT_S)
            body = client.post("/v1/backup", {"passphrase": passphrase})
        except NotRunning as error:
            note(f"{error}: it is made from its files")
    if body is None:
        body = _made_here(config_path, passphrase)
    opened = unpack(body, passphrase)  # what can't be opened again is no backup
    try:
        write_atomically(file, body, 0o600)
    except OSError as error:
        fail(f"{file} can't be written: {error.strerror}", "name another FILE")
    manifest = opened.manifest
    if as_json:
        emit_json({"file": str(file), "bytes": len(body), "sealed": is_sealed(body), "manifest": manifest.model_dump()})
        return
    click.echo(file)
    for each in manifest.left_out:
        note(f"not in it: {each.name} ({each.why})")
    note(f"{len(body):,} bytes, {len(manifest.entries)} files" + ("" if is_sealed(body) else ", not sealed"))
    note(f"  → try it: tidegate restore {file} --dry-run")


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@socket_option
@json_option
@yes_option
@_passphrase_option
@click.option("--dry-run", is_flag=True, help="Only say what would become of each thing.")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only this part; may be given again.")
def restore(
    file: Path,
    config_path: Path,
    socket: Path | None,
    as_json: bool,
    yes: bool,
    passphrase_file: Path | None,
    dry_run: bool,
    parts: tuple[str, ...],
) -> None:
    """Restore the backup in FILE: all of it, or nothing if anything in it is refused.

    By the running gateway, as any change of its configuration; or on its files if none runs. Exit code 5 if anything
    is refused.
    """
    try:
        body = file.read_bytes()
    except OSError as error:
        fail(f"{file} can't be read: {error.strerror}", "name a file made by: tidegate backup", Exit.USAGE)
    passphrase = _passphrase(passphrase_file, twice=False) if is_sealed(body) else None
    try:
        opened = unpack(body, passphrase)
    except BackupRefused as error:
        fail(f"the backup can't be used: {error}", error.mend)
    chosen = list(parts or PARTS)
    report = _restored(config_path, socket, body, opened, passphrase, chosen, dry_run=True)
    refused = [item for item in report["items"] if item["outcome"] == "refused"]
    if not dry_run and not refused:
        confirmed(f"Make this gateway {report['gateway']!r} as of {moment(report['made_ms'])}?", yes=yes)
        report = _restored(config_path, socket, body, opened, passphrase, chosen, dry_run=False)
        refused = [item for item in report["items"] if item["outcome"] == "refused"]
    if as_json:
        emit_json(report)
    else:
        _print(report, dry_run=dry_run)
    if refused:
        fail(
            f"{len(refused)} of {len(report['items'])} things are refused, so nothing was restored",
            "mend what is named, or leave a part out: tidegate restore --help",
            Exit.CONFLICT,
        )


def _passphrase(file: Path | None, *, twice: bool) -> str:
    if file is not None:
        try:
            return file.read_text().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            fail(f"{file} can't be read: {error}", "name a text file that holds the passphrase", Exit.USAGE)
    if given := os.environ.get(_VARIABLE):
        return given
    if not sys.stdin.isatty():
        mend = f"use --passphrase-file FILE, or set {_VARIABLE}" + ("; or make it without secrets: --plain" * twice)
        fail("a passphrase is needed, and there is no terminal to ask on", mend, Exit.USAGE)
    passphrase = getpass.getpass("Passphrase: ")
    if twice and getpass.getpass("Once more: ") != passphrase:
        fail("the two aren't the same", "try again", Exit.USAGE)
    return passphrase


def _made_here(config_path: Path, passphrase: str | None) -> bytes:
    from gateway.control.restoring import made

    settings = load_or_exit(config_path, check_secrets=False)
    try:
        return made(config_path, settings, passphrase, time.time_ns() // 1_000_000)
    except BackupRefused as error:
        fail(str(error), error.mend)
    except ConfigErrors as errors:
        fail(str(errors.problems[0]), "see: tidegate check", Exit.CONFIG)
    except OSError as error:
        denied = isinstance(error, PermissionError)
        fail(
            f"{error.filename} can't be read: {error.strerror}",
            "run as root or as the gateway's user",
            Exit.DENIED if denied else Exit.FAILED,
        )


def _restored(
    config_path: Path,
    socket: Path | None,
    body: bytes,
    opened: Backup,
    passphrase: str | None,
    parts: list[Any],
    *,
    dry_run: bool,
) -> dict[str, Any]:
    """The report, by the running gateway or here."""
    stream = Stream()
    stream.progress("looking through it" if dry_run else "restoring it")
    try:
        return _asked(config_path, socket, body, opened, passphrase, parts, dry_run=dry_run)
    finally:
        stream.end()


def _asked(
    config_path: Path,
    socket: Path | None,
    body: bytes,
    opened: Backup,
    passphrase: str | None,
    parts: list[Any],
    *,
    dry_run: bool,
) -> dict[str, Any]:
    if socket is not None or config_path.exists():
        with answering():
            try:
                client = client_for(config_path, socket, _LIMIT_S)
                upload = client.call("PUT", "/v1/restore/upload", body=body)
                wish = {"upload": upload["id"], "passphrase": passphrase, "dry_run": dry_run, "parts": parts}
                report: dict[str, Any] = client.post("/v1/restore", wish)
                return report
            except NotRunning as error:
                if dry_run:
                    note(f"{error}: it is restored on its files")
    return asdict(_restored_here(config_path, opened, parts, dry_run=dry_run))


def _restored_here(config_path: Path, opened: Backup, parts: list[Any], *, dry_run: bool) -> RestoreReport:
    from gateway.control.restoring import on_disk
    from gateway.ops.lock import AlreadyRunning

    actor = Actor(getpass.getuser(), Role.ADMIN, "command line")
    try:
        with on_disk(config_path, opened) as restorer:
            return asyncio.run(restorer.restore(opened, actor, dry_run=dry_run, parts=parts))
    except AlreadyRunning as error:
        fail(str(error), "name its socket with --socket, or stop it first", Exit.CONFLICT)
    except ConfigErrors as errors:
        fail(f"the backup's configuration is invalid: {errors.problems[0]}", "restore other parts: --part", Exit.CONFIG)
    except PermissionError as error:
        fail(f"no permission to write {error.filename}", "run as root or as the gateway's user", Exit.DENIED)
    except OSError as error:
        fail(f"{error.filename or config_path}: {error.strerror or error}", "mend the disk or the path")


def _print(report: dict[str, Any], *, dry_run: bool) -> None:
    would = {"restored": "would be restored", "refused": "refused", "unchanged": "unchanged"}
    rows = [
        (item["part"], item["name"], would[item["outcome"]] if dry_run else item["outcome"], item["detail"])
        for item in report["items"]
    ]
    table(["part", "name", "outcome", "detail"], rows)
    for each in report["left_out"]:
        note(f"the backup lacks {each}")
    if report["applied"]:
        note(f"restored: this gateway is {report['gateway']!r} as of {moment(report['made_ms'])}")
        note("  → tidegate status")
