"""``tidegate pull``: a signed configuration from a stick or a server, where nobody may come in to bring one."""

from __future__ import annotations

import ssl
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, config_option, emit_json, fail, json_option, note, print_patch

if TYPE_CHECKING:
    from gateway.control.client import ControlClient
    from gateway.ops.pulling import Bundle, Pulled

KEYS = Path("/etc/tidegate/bundle-keys.pem")
STATE = "pulled.json"
SUFFIX = ".tidegate"
_FETCH_S = 30.0
_APPLY_LIMIT_S = 120.0
_LOOK_S = 0.5


@click.command()
@click.argument("source")
@config_option
@socket_option
@click.option(
    "--keys",
    type=click.Path(path_type=Path, dir_okay=False),
    default=KEYS,
    show_default=True,
    help="PEM file with the certificates or public keys of those who may sign.",
)
@click.option(
    "--confirm-within",
    "within_s",
    type=click.FloatRange(1, 86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="It comes back unless everything that was well before is well again in this time.",
)
@click.option("--dry-run", is_flag=True, help="Only say what it would change.")
@json_option
def pull(
    source: str, config_path: Path, socket: Path | None, keys: Path, within_s: float, dry_run: bool, as_json: bool
) -> None:
    """Take the signed configuration at SOURCE: a file, a directory such as a stick's, or an https:// address.

    In a directory it is called after the gateway's id, or all-gateways, and ends with .tidegate; in an address {id}
    stands for the id. What was taken before isn't taken again, so this may run by a timer. Exit code 5 if it was taken
    back.
    """
    from gateway.ops.pulling import Pulled, PullRefused, opened, read_latest, trusted_keys, write_latest

    settings = load_or_exit(config_path, check_secrets=False, unfinished=True)
    state = settings.data_dir / STATE
    try:
        body = _fetched(source, settings.id)
        latest = read_latest(state)
        bundle = opened(body, trusted_keys(keys), settings.id, latest, time.time())
        if latest is not None and bundle.serial == latest.serial:
            _say(latest, changed=False, as_json=as_json)
            return
        client = client_for(config_path, socket)
        result = _applied(client, bundle, within_s, dry_run=dry_run)
        if dry_run:
            _show(result, as_json=as_json)
            return
        pulled = Pulled(
            bundle.serial, "applied" if result["outcome"] == "confirmed" else "taken back", result["why"] or ""
        )
        write_latest(state, pulled)
    except PullRefused as error:
        fail(f"{source} isn't taken: {error}", error.mend)
    except PermissionError as error:
        fail(f"no permission to use {error.filename}", "run as root or as the gateway's user", Exit.DENIED)
    except OSError as error:
        fail(f"{error.filename or source}: {error.strerror or error}", "mend the path")
    _say(pulled, changed=True, as_json=as_json)
    if pulled.outcome != "applied":
        sys.exit(Exit.CONFLICT)


def _fetched(source: str, gateway: str) -> bytes:
    """The bytes of a bundle, from wherever. Raises PullRefused or OSError."""
    from gateway.ops.pulling import MOST_BYTES, PullRefused

    if "://" in source:
        if not source.startswith("https://"):
            raise PullRefused("only https:// addresses are fetched from", "write https://")
        return _downloaded(source.replace("{id}", gateway), MOST_BYTES)
    path = Path(source)
    if path.is_dir():
        names = [f"{name}{SUFFIX}" for name in (gateway, "all-gateways")]
        found = next((path / name for name in names if (path / name).is_file()), None)
        if found is None:
            raise PullRefused(f"there is no {' or '.join(names)} in it", "put one there")
        path = found
    with path.open("rb") as file:
        body = file.read(MOST_BYTES + 1)
    if len(body) > MOST_BYTES:
        raise PullRefused(f"it is larger than {MOST_BYTES >> 20} MiB", "is it the right file?")
    return body


def _downloaded(address: str, most: int) -> bytes:
    from gateway.ops.pulling import PullRefused

    # The server shows who it is to the system's trust store; what counts is the signature all the same.
    try:
        with urllib.request.urlopen(address, timeout=_FETCH_S, context=ssl.create_default_context()) as answer:
            body: bytes = answer.read(most + 1)
    except urllib.error.HTTPError as error:
        raise PullRefused(f"the server answers {error.code} {error.reason}", "mend the address") from None
    except (TimeoutError, urllib.error.URLError, ssl.SSLError) as error:
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        fail(f"{address} can't be reached: {why}", "mend the address or the way to it", Exit.UNREACHABLE)
    if len(body) > most:
        raise PullRefused(f"it is larger than {most >> 20} MiB", "is it the right address?")
    return body


def _applied(client: ControlClient, bundle: Bundle, within_s: float, *, dry_run: bool) -> dict[str, Any]:
    """The revision it became, once it is confirmed or taken back; of a dry run the difference."""
    from gateway.config.archive import pack
    from gateway.ops.pulling import PullRefused

    with answering():
        known = client.get("/v1/config")
        at_work = known["draft"]
        if at_work is not None and at_work["digest"] != at_work["base"]:
            raise PullRefused(
                f"{at_work['changed_by']} is working on a draft", "apply it, or: tidegate config draft discard"
            )
        client.call("DELETE", "/v1/config/draft")
        files = {name: text.encode() for name, text in bundle.files.items()}
        try:
            client.call("POST", "/v1/config/draft/import", body=pack(files))
            difference: dict[str, Any] = client.get("/v1/config/draft/diff")
            if dry_run:
                return difference
            if not difference["patch"]:
                return {"outcome": "confirmed", "why": ""}
            body = {
                "reason": bundle.reason or f"signed configuration {bundle.serial}",
                "confirm_within_s": within_s,
                "confirm_by": "health",
                # Who signed speaks for whoever the configuration belongs to.
                "acting_as": known["owner"]["name"],
            }
            number = client.post("/v1/config/apply", body, timeout_s=_APPLY_LIMIT_S)["revision"]["number"]
            while (revision := client.get(f"/v1/config/history/{number}"))["outcome"] == "pending":
                time.sleep(_LOOK_S)
            return dict(revision)
        finally:
            # What wasn't kept is no draft of anybody's.
            client.call("DELETE", "/v1/config/draft")


def _show(difference: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(difference)
        return
    print_patch(difference["patch"])
    for change in difference["changes"] or []:
        note(change["sentence"])


def _say(pulled: Pulled, *, changed: bool, as_json: bool) -> None:
    from dataclasses import asdict

    if as_json:
        emit_json({**asdict(pulled), "changed": changed})
    elif changed:
        note(f"signed configuration {pulled.serial} is {pulled.outcome}{f': {pulled.why}' if pulled.why else ''}")
    else:
        note(f"signed configuration {pulled.serial} was {pulled.outcome} before; nothing is to be done")
