"""``tidegate cert request`` and its neighbours: certificates that an authority of others issues."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.output import Exit, emit_json, fail, json_option, moment, note, table

if TYPE_CHECKING:
    from gateway.ops.issuing import About, KeyType, Pair

_certificate = click.argument("certificate", type=click.Path(path_type=Path, dir_okay=False))
_key_option = click.option(
    "--key",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of its key, PEM. Default: beside it, with the suffix .key.",
)


@click.command("request")
@_certificate
@_key_option
@click.option("--name", required=True, help="The subject's common name.")
@click.option("--host", "hosts", multiple=True, help="A host name or address that it is good for. Repeatable.")
@click.option("--uri", "uris", multiple=True, help="A URI that it is good for, as OPC UA wants one. Repeatable.")
@click.option("--type", "kind", type=click.Choice(["ec", "rsa"]), default="ec", show_default=True, help="OPC UA: rsa.")
@json_option
def request_(
    certificate: Path,
    key: Path | None,
    name: str,
    hosts: tuple[str, ...],
    uris: tuple[str, ...],
    kind: KeyType,
    as_json: bool,
) -> None:
    """Print a request to have CERTIFICATE issued by an authority of yours. Its new key stays here.

    What is in use goes on being used until its successor comes: tidegate cert install.
    """
    from gateway.ops.issuing import request

    pair = _pair(certificate, key)
    with _saying(certificate):
        text = request(pair, name, hosts, uris, kind)
    if as_json:
        emit_json({"request": text, "certificate": str(pair.certificate), "key": str(pair.key)})
        return
    click.echo(text, nl=False)
    note(f"  → have it signed, then: tidegate cert install {certificate} < signed.pem")


@click.command()
@_certificate
@_key_option
@json_option
def install(certificate: Path, key: Path | None, as_json: bool) -> None:
    """Take what an authority issued, PEM on stdin, into use as CERTIFICATE: with its chain, the authority's last."""
    from gateway.ops.issuing import install as installed

    with _saying(certificate):
        told = installed(_pair(certificate, key), sys.stdin.buffer.read())
    _print(told, as_json=as_json)


@click.command()
@_certificate
@_key_option
@json_option
def inspect(certificate: Path, key: Path | None, as_json: bool) -> None:
    """Show what the file CERTIFICATE (PEM) says, and whether its key is beside it. JSON: null for none."""
    from gateway.ops.issuing import about

    with _saying(certificate):
        told = about(_pair(certificate, key))
    if told is None and not as_json:
        fail(f"there is no file {certificate}", "ask for one to be issued: tidegate cert request", Exit.USAGE)
    _print(told, as_json=as_json)


def _pair(certificate: Path, key: Path | None) -> Pair:
    from gateway.ops.issuing import Pair

    return Pair(certificate, key or certificate.with_suffix(".key"))


@contextlib.contextmanager
def _saying(certificate: Path) -> Iterator[None]:
    """Ends the command in one sentence if it can't be done."""
    from gateway.ops.issuing import IssuingRefused

    try:
        yield
    except IssuingRefused as error:
        fail(str(error), error.mend)
    except PermissionError as error:
        fail(f"no permission to use {error.filename}", "run as root or as the gateway's user", Exit.DENIED)
    except OSError as error:
        fail(f"{error.filename or certificate}: {error.strerror or error}", "mend the path")


def _print(told: About | None, *, as_json: bool) -> None:
    if as_json or told is None:
        emit_json(None if told is None else asdict(told))
        return
    lines = [
        ("subject", told.subject),
        ("issuer", told.issuer),
        ("good for", [*told.hosts, *told.uris]),
        ("fingerprint", told.fingerprint),
        ("valid until", moment(told.not_after_s * 1000)),
        ("file", told.file),
    ]
    table(["certificate", ""], lines)
    if not told.fits_key:
        note("its key isn't beside it")
