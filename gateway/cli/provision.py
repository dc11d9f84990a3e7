"""``tidegate provision``: a gateway's first settings from a file, for fleets. What was done stands on the page."""

from __future__ import annotations

import hashlib
import ssl
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import orjson

from gateway.cli.calling import answering
from gateway.cli.loading import socket_of
from gateway.cli.output import Exit, config_option, emit_json, fail, json_option, note, table
from gateway.control.client import ControlClient, Refused
from gateway.ops.files import write_atomically
from gateway.settings import page_directory
from gateway.web.certificate import Pair, fingerprint
from gateway.web.provisioned import REPORT

_KNOWN = {"user", "tls", "configuration"}


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing in the file, and what became of it."""

    name: str
    outcome: str
    """``applied``, ``unchanged`` or ``refused``."""
    said: str = ""
    mend: str | None = None


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@config_option
@click.option("--socket", type=click.Path(path_type=Path), help="The gateway's control socket. Default: as configured.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    help="The page's own directory. Default: /var/lib/tidegate-web; for another socket web beside it.",
)
@click.option("--again", is_flag=True, help="Even if this very file was applied before.")
@json_option
def provision(
    file: Path, config_path: Path, socket: Path | None, state: Path | None, again: bool, as_json: bool
) -> None:
    """Give a new gateway its users, certificate and configuration from FILE, each setting by itself.

    What is refused doesn't keep the rest from being applied; the exit code is 1 then. A file that was applied before
    isn't applied again, so this may run at every start.
    """
    try:
        body = file.read_bytes()
        wanted = tomllib.loads(body.decode())
    except OSError as error:
        fail(f"can't read {file}: {error.strerror or error}", "name a file that is there")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fail(f"{file} isn't TOML: {error}", "mend the file", Exit.CONFIG)
    socket = socket or socket_of(config_path, None)
    state = state or page_directory(socket)
    digest = hashlib.sha256(body).hexdigest()
    if not again and _report(state).get("digest") == digest:
        note(f"{file} was applied before; nothing is to be done")
        return
    client = ControlClient(socket, 60.0)
    try:
        with answering():
            client.status()
            settings = list(_apply(wanted, file.parent, client, state))
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        report = {"file": str(file), "digest": digest, "settings": [asdict(setting) for setting in settings]}
        write_atomically(state / REPORT, orjson.dumps(report, option=orjson.OPT_INDENT_2), 0o600)
    except OSError as error:
        fail(f"can't use {error.filename or state}: {error.strerror or error}", "give another with --state")
    if as_json:
        emit_json(report)
    else:
        table(["setting", "", "detail"], ([s.name, s.outcome, f"{s.said} {s.mend or ''}".strip()] for s in settings))
    if any(setting.outcome == "refused" for setting in settings):
        sys.exit(Exit.FAILED)


def _report(state: Path) -> dict[str, Any]:
    try:
        report: dict[str, Any] = orjson.loads((state / REPORT).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return report


def _apply(wanted: dict[str, Any], beside: Path, client: ControlClient, state: Path) -> Iterator[Setting]:
    """Users first: whatever else fails, somebody can come in and see it."""
    users = wanted.get("user", [])
    for user in users if isinstance(users, list) else [users]:
        yield _user(user, client)
    if "tls" in wanted:
        yield _tls(wanted["tls"], beside, state)
    if "configuration" in wanted:
        yield _configuration(wanted["configuration"], beside, client)
    for key in sorted(wanted.keys() - _KNOWN):
        yield Setting(key, "refused", f"a provisioning file has no {key!r}", f"it has {', '.join(sorted(_KNOWN))}")


def _user(user: Any, client: ControlClient) -> Setting:
    if not isinstance(user, dict) or not isinstance(user.get("name"), str):
        return Setting("user", "refused", "a user has no name", 'write [[user]] with name = "…"')
    name = f"user {user['name']}"
    more = sorted(user.keys() - {"name", "role", "password_hash", "must_change"})
    if more:
        said = f"a user has no {more[0]!r}"
        return Setting(name, "refused", said, "it has name, role, password_hash (an argon2id PHC string), must_change")
    body = {"name": user["name"], "role": user.get("role", "viewer"), "verifier": user.get("password_hash", "")}
    try:
        client.post("/v1/accounts/users", {**body, "must_change": user.get("must_change", False)})
    except Refused as refused:
        if refused.code == "taken":
            return Setting(name, "unchanged", "there is one of that name already")
        return Setting(name, "refused", str(refused), refused.mend)
    return Setting(name, "applied", f"as {body['role']}")


def _tls(given: Any, beside: Path, state: Path) -> Setting:
    if not isinstance(given, dict) or not all(isinstance(given.get(key), str) for key in ("certificate", "key")):
        return Setting("tls", "refused", "a certificate and its key are needed", "name both files, PEM")
    source = Pair(beside / given["certificate"], beside / given["key"])
    try:
        source.context()
        pair = Pair.of(state)
        pair.replace(source)
        return Setting("tls", "applied", f"fingerprint {fingerprint(pair.certificate)}")
    except ssl.SSLError as error:
        return Setting(
            "tls", "refused", f"the certificate and the key can't be used: {error.reason}", "give a pair, PEM"
        )
    except (OSError, ValueError) as error:
        return Setting(
            "tls", "refused", f"the certificate or the key can't be read: {error}", "name files that are there"
        )


def _configuration(given: Any, beside: Path, client: ControlClient) -> Setting:
    if not isinstance(given, dict) or not isinstance(given.get("file"), str):
        return Setting("configuration", "refused", "no file is named", 'write file = "tidegate.toml"')
    try:
        text = (beside / given["file"]).read_text("utf-8")
        main = client.get("/v1/config/files")["main"]
        client.call("PUT", "/v1/config/draft", None, {"files": {main: text}})
        client.post("/v1/config/apply", {"reason": "provisioning", "confirm_within_s": 0.0})
    except (OSError, UnicodeDecodeError) as error:
        return Setting("configuration", "refused", f"it can't be read: {error}", "name a file that is there")
    except Refused as refused:
        first = next((str(problem.get("message")) for problem in refused.problems), "")
        return Setting("configuration", "refused", first or str(refused), refused.mend)
    return Setting("configuration", "applied", given["file"])
