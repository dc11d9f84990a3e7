"""``tidegate cert``: the certificates of drivers that have any, their own and those of the far ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import click

from gateway.cli.drivers import driver, installed, not_permitted
from gateway.cli.issuing import inspect, install, request_
from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, config_option, emit_json, fail, json_option, moment, note, table
from gateway.driver import Certificates
from gateway.durations import duration
from gateway.ops.certificates import (
    SHOWN,
    CertificateProblem,
    KnownCertificate,
    described,
    known_for_sinks,
    known_in,
    known_of_page,
    one_of,
    page_certificate,
)
from gateway.settings import site_of

Result = TypeVar("Result")

_SOON_S = 30 * 86_400
_EXITS = {"no-such-certificate": Exit.FAILED, "ambiguous": Exit.USAGE, "other-state": Exit.CONFLICT}


_driver_option = click.option("--driver", "name", help="Only of this driver. Default: all that are configured.")


class _ListsByDefault(click.Group):
    """``list`` is what is meant where no subcommand is named."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        named = args and (not args[0].startswith("-") or args[0] in ctx.help_option_names)
        return super().parse_args(ctx, args if named else ["list", *args])


@click.group(cls=_ListsByDefault, subcommand_metavar="[COMMAND] [ARGS]…")
def cert() -> None:
    """Certificates of the configured drivers: their own, those they trust, and those that wait to be trusted.

    Works on files, with or without a running gateway, which takes a change when it connects next. Without a
    subcommand: list.
    """


cert.add_command(request_)
cert.add_command(install)
cert.add_command(inspect)


@cert.command("list")
@config_option
@_driver_option
@json_option
def list_(config_path: Path, name: str | None, as_json: bool) -> None:
    """List every certificate, and how long it is valid: those of drivers, for brokers, and the local page's."""
    others: list[KnownCertificate] = []
    if name is None:
        settings = load_or_exit(config_path, check_secrets=False, unfinished=True)
        others = [*known_for_sinks(settings), *known_of_page(page_certificate(settings.socket))]
    known = [*_known(_stores(config_path, name, required=name is not None)), *others]
    if as_json:
        emit_json([asdict(each) for each in known])
    else:
        table(
            ["holder", "state", "fingerprint", "valid until", "subject"],
            [
                (
                    each.driver or each.holder,
                    each.state,
                    each.fingerprint[:SHOWN],
                    moment(each.not_after_s * 1000),
                    each.subject,
                )
                for each in known
            ],
        )
    for each in known:
        _warn(each)
    if not as_json and any(each.state == "quarantined" for each in known):
        note("  → compare the fingerprint with the far end's own, then: tidegate cert accept FINGERPRINT")


@cert.command()
@click.argument("fingerprint")
@config_option
@_driver_option
@json_option
def show(fingerprint: str, config_path: Path, name: str | None, as_json: bool) -> None:
    """Show everything about one certificate. The beginning of its FINGERPRINT is enough."""
    found = _one(list(_known(_stores(config_path, name))), fingerprint)
    _print(found, as_json=as_json)
    _warn(found)


@cert.command()
@click.argument("fingerprint")
@config_option
@_driver_option
@json_option
def accept(fingerprint: str, config_path: Path, name: str | None, as_json: bool) -> None:
    """Trust a quarantined certificate. The beginning of its FINGERPRINT is enough.

    Compare the whole fingerprint with the one the far end shows of itself before you do.
    """
    stores = _stores(config_path, name)
    found = _one(list(_known(stores)), fingerprint, "quarantined")
    store = stores[found.driver or ""]
    changed = described(found.driver or "", _done(lambda: store.accept(found.fingerprint)))
    _print(changed, as_json=as_json)
    _warn(changed)


@cert.command()
@click.argument("fingerprint")
@config_option
@_driver_option
@json_option
def reject(fingerprint: str, config_path: Path, name: str | None, as_json: bool) -> None:
    """No longer trust a certificate, or throw it out of quarantine. The beginning of its FINGERPRINT is enough."""
    stores = _stores(config_path, name)
    found = _one(list(_known(stores)), fingerprint, "quarantined", "trusted", "issuer")
    store = stores[found.driver or ""]
    changed = described(found.driver or "", _done(lambda: store.reject(found.fingerprint)))
    _print(changed, as_json=as_json)


@cert.command()
@click.argument("file", type=click.Path(path_type=Path))
@config_option
@_driver_option
@json_option
def add(file: Path, config_path: Path, name: str | None, as_json: bool) -> None:
    """Trust the certificate in FILE (PEM or DER)."""
    of, store = _only(_stores(config_path, name))
    changed = described(of, _done(lambda: store.add(file), "name a PEM or DER file that holds a certificate"))
    _print(changed, as_json=as_json)
    _warn(changed)


@cert.command()
@config_option
@_driver_option
@json_option
def renew(config_path: Path, name: str | None, as_json: bool) -> None:
    """Make the driver's own certificate anew. The far ends must then be told to trust it."""
    of, store = _only(_stores(config_path, name))
    changed = described(of, _done(store.renew))
    _print(changed, as_json=as_json)
    note(f"  → let the far ends trust {changed.file}")


def _stores(config_path: Path, name: str | None, *, required: bool = True) -> dict[str, Certificates]:
    """The trust list of every driver meant, by its name. Ends the command if there is none."""
    settings = load_or_exit(config_path, check_secrets=False, unfinished=True)
    kinds = {link.kind.name: link.kind for link in settings.links} if name is None else {name: driver(name)}
    stores = {
        kind.name: kind.certificates(site_of(settings.id, settings.data_dir, kind.name))
        for kind in kinds.values()
        if kind.certificates is not None
    }
    if not stores and not required:
        return {}
    if not stores:
        able = ", ".join(kind.name for kind in installed() if kind.certificates is not None) or "none"
        what = (
            "no configured driver keeps certificates" if name is None else f"the driver {name!r} keeps no certificates"
        )
        fail(what, f"name one that does with --driver: {able}", Exit.USAGE)
    return stores


def _only(stores: dict[str, Certificates]) -> tuple[str, Certificates]:
    if len(stores) > 1:
        fail(f"several drivers keep certificates: {', '.join(stores)}", "name one with --driver", Exit.USAGE)
    return next(iter(stores.items()))


def _known(stores: dict[str, Certificates]) -> list[KnownCertificate]:
    return _done(lambda: list(known_in(stores)))


def _one(known: Sequence[KnownCertificate], fingerprint: str, *states: str) -> KnownCertificate:
    """The one that is meant, in one of these states if any are given. Ends the command if it isn't one."""
    try:
        return one_of(known, fingerprint, *states)
    except CertificateProblem as error:
        fail(str(error), error.mend, _EXITS[error.code])


def _done(call: Callable[[], Result], mend: str = "see: tidegate cert list") -> Result:
    """Do something with a trust list. Ends the command in one sentence if it can't be done."""
    try:
        return call()
    except PermissionError as error:
        not_permitted(error)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), mend)
    except KeyError as error:
        fail(str(error.args[0]) if error.args else "there is no such certificate", mend)
    except ValueError as error:
        fail(str(error), mend)


def _print(certificate: KnownCertificate, *, as_json: bool) -> None:
    if as_json:
        emit_json(asdict(certificate))
        return
    lines = [
        ("driver", certificate.driver),
        ("state", certificate.state),
        ("fingerprint", certificate.fingerprint),
        ("subject", certificate.subject),
        *(("URI", uri) for uri in certificate.uris),
        ("valid from", moment(certificate.not_before_s * 1000)),
        ("valid until", moment(certificate.not_after_s * 1000)),
        ("file", certificate.file),
    ]
    table(["certificate", ""], lines)


def _warn(certificate: KnownCertificate) -> None:
    """On stderr, if it isn't valid now or soon won't be."""
    now_s = time.time()
    what = f"{certificate.driver or certificate.holder} {certificate.fingerprint[:SHOWN]} ({certificate.state})"
    left_s = certificate.not_after_s - now_s
    if certificate.not_before_s > now_s:
        note(f"{what} isn't valid before {moment(certificate.not_before_s * 1000)}: is the clock right?")
    elif left_s < 0:
        note(f"{what} expired {duration(-left_s)} ago")
    elif left_s < _SOON_S:
        note(f"{what} expires in {duration(left_s)}")
    else:
        return
    if certificate.state == "own" and left_s < _SOON_S:
        note("  → tidegate cert renew")
