"""``tidegate provision``: a gateway's first settings from a file, for fleets. What was done stands on the page."""

from __future__ import annotations

import contextlib
import hashlib
import os
import ssl
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Final

import click
import orjson

from gateway.cli.calling import answering
from gateway.cli.loading import socket_of
from gateway.cli.output import Exit, config_option, emit_json, fail, json_option, note, table
from gateway.cli.recording import Unrecorded
from gateway.control.client import ControlClient, NotPermitted, NotRunning, Refused
from gateway.ops.files import write_atomically
from gateway.ops.fingerprints import fingerprint
from gateway.ops.provisioning import Provisions, Setting
from gateway.ops.published import published
from gateway.settings import page_directory
from gateway.web.certificate import Pair
from gateway.web.provisioned import REPORT

_OWN: Final = ("user", "tls", "configuration")
_REMEMBERED: Final = 32
"""So many files that were applied aren't again. Two alternate where one is on the boot partition and one on a stick."""
_ASK_AGAIN_S: Final = 0.5
_CONFIGURATION_S: Final = 900.0
"""One with thousands of tags, on the slowest board."""
_LOST: Final = (NotRunning, NotPermitted)


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
@click.option(
    "--wait",
    "wait_s",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="SECONDS",
    help="Wait so long for a gateway that is starting.",
)
@json_option
def provision(
    file: Path, config_path: Path, socket: Path | None, state: Path | None, again: bool, wait_s: float, as_json: bool
) -> None:
    """Give a new gateway its users, certificate and configuration from FILE, each setting by itself.

    On an image's machine the file may be about the machine, too: its name, network, time and SSH keys.

    What is refused doesn't keep the rest from being applied; the exit code is 1 then. A file that was applied before
    isn't applied again, so this may run at every start; it is another one if a file that it names has changed.
    """
    try:
        body = file.read_bytes()
        wanted = tomllib.loads(body.decode())
    except OSError as error:
        fail(f"can't read {file}: {error.strerror or error}", "name a file that is there")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        fail(f"{file} isn't TOML: {error}", "mend the file", Exit.CONFIG)
    # At every start of a machine this ends here: before the configuration is looked at, which takes its time.
    state = state or page_directory(socket or socket_of(config_path, None))
    digest = _digest(body, wanted, file.parent)
    kept, unrecorded = _kept(state)
    before = kept["digests"]
    known = digest in before and not again
    if known and not unrecorded.rows:
        note(f"{file} was applied before; nothing is to be done")
        return
    client = ControlClient(socket or socket_of(config_path, None), 60.0)
    deadline = time.monotonic() + wait_s
    try:
        if known:
            with contextlib.suppress(*_LOST):
                _await(client, deadline)
            _keep(state, kept, _recorded(unrecorded, client))
            note(f"{file} was applied before; nothing is to be done")
            return
        machine = published(Provisions)  # type: ignore[type-abstract]
        settings = [*(machine.provision(wanted) if machine else ())]
        if any(setting.outcome == "applied" for setting in settings):
            # A power cut from here on must not leave it out of the audit log.
            _keep(state, _report(file, before, settings), unrecorded.and_of(file, settings))
        applied = [digest]
        with answering():
            try:
                _await(client, deadline)
            except _LOST as error:
                if not settings:
                    raise
                # What was done to the machine is to be told; at the next start this file's turn comes again.
                settings += [Setting(key, "refused", str(error)) for key in _OWN if key in wanted]
                applied = []
            else:
                settings += _apply(wanted, file.parent, client, state, deadline, machine.tables if machine else ())
        report = _report(file, [*applied, *(each for each in before if each != digest)], settings)
        _keep(state, report, _recorded(unrecorded.and_of(file, settings), client))
    except OSError as error:
        fail(f"can't use {error.filename or state}: {error.strerror or error}", "give another with --state")
    if as_json:
        emit_json(report)
    else:
        table(["setting", "", "detail"], ([s.name, s.outcome, f"{s.said} {s.mend or ''}".strip()] for s in settings))
    if any(setting.outcome == "refused" for setting in settings):
        sys.exit(Exit.FAILED)


def _digest(body: bytes, wanted: dict[str, Any], beside: Path) -> str:
    """Of the file and of those it names: a configuration that was mended beside it is to be applied."""
    whole = hashlib.sha256(body)
    for section, key in (("tls", "certificate"), ("tls", "key"), ("configuration", "file")):
        given = wanted.get(section)
        if isinstance(given, dict) and isinstance(given.get(key), str):
            with contextlib.suppress(OSError, ValueError):
                whole.update((beside / given[key]).read_bytes())
    return whole.hexdigest()


def _kept(state: Path) -> tuple[dict[str, Any], Unrecorded]:
    """The report of the file before, with the digests of all that were applied, and what the audit log hasn't got."""
    try:
        kept = orjson.loads((state / REPORT).read_bytes())
        return {**kept, "digests": [str(digest) for digest in kept["digests"]]}, Unrecorded.of(kept.get("unrecorded"))
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return {"digests": []}, Unrecorded()


def _report(file: Path, digests: list[str], settings: list[Setting]) -> dict[str, Any]:
    told = [asdict(setting) for setting in settings]
    return {"file": str(file), "digests": digests[:_REMEMBERED], "settings": told}


def _recorded(unrecorded: Unrecorded, client: ControlClient) -> Unrecorded:
    """What is left to be recorded: all of it where the gateway doesn't take it."""
    try:
        unrecorded.hand_to(client)
    except (*_LOST, Refused) as error:
        note(f"what was done isn't in the audit log until a provisioning file is looked at again: {error}")
        return unrecorded
    return Unrecorded()


def _await(client: ControlClient, deadline: float) -> None:
    """Raises NotRunning if nothing answers in time, or NotPermitted."""
    while True:
        try:
            client.status()
        except NotRunning:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_ASK_AGAIN_S)
        else:
            return


def _keep(state: Path, report: dict[str, Any], unrecorded: Unrecorded) -> None:
    """What is in the page's directory is its owner's: root may have come before the page. Raises OSError."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    body = {**report, "unrecorded": unrecorded.to_json()}
    write_atomically(state / REPORT, orjson.dumps(body, option=orjson.OPT_INDENT_2), 0o600)
    if os.geteuid() == 0:
        owner = state.stat()
        for path in (state / REPORT, state / "tls", *(state / "tls").glob("*")):
            with contextlib.suppress(FileNotFoundError):
                os.chown(path, owner.st_uid, owner.st_gid, follow_symlinks=False)


def _apply(
    wanted: dict[str, Any],
    beside: Path,
    client: ControlClient,
    state: Path,
    deadline: float,
    machines: tuple[str, ...],
) -> Iterator[Setting]:
    """Users first: whatever else fails, somebody can come in and see it."""

    def asked(name: str, ask: Callable[[], Setting]) -> Setting:
        """A gateway that is lost midway, or is restarted, keeps neither what was done from being told nor the rest."""
        try:
            _await(client, deadline)
            return ask()
        except _LOST as error:
            said = f"{error}; it may have been taken all the same"
            return Setting(name, "refused", said, "see whether it holds, else apply the file once more, with --again")

    users = wanted.get("user", [])
    for user in users if isinstance(users, list) else [users]:
        yield asked(_name_of(user), partial(_user, user, client))
    if "tls" in wanted:
        yield _tls(wanted["tls"], beside, state)
    if "configuration" in wanted:
        yield asked("configuration", partial(_configuration, wanted["configuration"], beside, client))
    known = (*_OWN, *machines)
    for key in sorted(wanted.keys() - set(known)):
        yield Setting(key, "refused", f"a provisioning file has no {key!r}", f"it has {', '.join(known)}")


def _name_of(user: Any) -> str:
    return f"user {user['name']}" if isinstance(user, dict) and isinstance(user.get("name"), str) else "user"


def _user(user: Any, client: ControlClient) -> Setting:
    """Raises NotRunning or NotPermitted."""
    name = _name_of(user)
    if name == "user":
        return Setting(name, "refused", "a user has no name", 'write [[user]] with name = "…"')
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
    """Raises NotRunning or NotPermitted."""
    if not isinstance(given, dict) or not isinstance(given.get("file"), str):
        return Setting("configuration", "refused", "no file is named", 'write file = "tidegate.toml"')
    try:
        text = (beside / given["file"]).read_text("utf-8")
        main = client.get("/v1/config/files")["main"]
        deadline = time.monotonic() + _CONFIGURATION_S
        client.call("PUT", "/v1/config/draft", None, {"files": {main: text}}, timeout_s=_CONFIGURATION_S)
        left_s = max(1.0, deadline - time.monotonic())
        client.post("/v1/config/apply", {"reason": "provisioning", "confirm_within_s": 0.0}, timeout_s=left_s)
    except (OSError, UnicodeDecodeError) as error:
        return Setting("configuration", "refused", f"it can't be read: {error}", "name a file that is there")
    except Refused as refused:
        first = next((str(problem.get("message")) for problem in refused.problems), "")
        return Setting("configuration", "refused", first or str(refused), refused.mend)
    return Setting("configuration", "applied", given["file"])
