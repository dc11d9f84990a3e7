"""``tidegate config apply`` and its neighbours: changes that come back unless somebody confirms them."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.loading import print_problems
from gateway.cli.output import Exit, config_option, emit_json, fail, json_option, note, print_patch, table
from gateway.config import ConfigErrors
from gateway.config.document import in_place
from gateway.config.tree import Tree
from gateway.control.client import ControlClient

_AGAIN = "call it again with --yes if it is meant"
_LOOK_S = 0.5
_APPLY_LIMIT_S = 120.0
"""Links that stop and start take their time."""

within_option = click.option(
    "--confirm-within",
    "within_s",
    type=click.FloatRange(0, 86_400),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="It comes back by itself unless it is confirmed in this time. 0: it needs no confirmation.",
)
by_option = click.option(
    "--confirm-by",
    type=click.Choice(["hand", "health"]),
    default="hand",
    show_default=True,
    help="health: the gateway confirms it once all sinks and devices that were well before are well again.",
)
reason_option = click.option("--reason", default="", help="Why, for the history.")
as_option = click.option(
    "--as", "acting_as", metavar="OWNER", help="In whose name, where a tool owns the configuration."
)
wait_option = click.option(
    "--wait", is_flag=True, help="Wait until it is confirmed or has come back; exit code 5 if it has come back."
)
yes_option = click.option("-y", "--yes", is_flag=True, help="Don't ask.")


@click.command()
@click.argument("path", required=False, type=click.Path(path_type=Path, exists=True))
@config_option
@socket_option
@within_option
@by_option
@reason_option
@as_option
@wait_option
@click.option("--replace-draft", is_flag=True, help="Apply PATH even if somebody is working on a draft.")
@yes_option
@json_option
def apply(
    path: Path | None,
    config_path: Path,
    socket: Path | None,
    within_s: float,
    confirm_by: str,
    reason: str,
    acting_as: str | None,
    wait: bool,
    replace_draft: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Run the draft, or the configuration at PATH (a main file, or a directory with one), without a restart.

    It comes back by itself unless it is confirmed in time. On a terminal this shows what changes and asks, before and
    after. Exit code 3 if it is invalid, 5 if somebody else changed the files meanwhile or it wasn't confirmed.
    """
    client = client_for(config_path, socket)
    asking = sys.stdin.isatty() and sys.stderr.isatty() and not yes
    with answering():
        if path is not None:
            _put_into_draft(client, path, replace_draft)
        version = client.get("/v1/config/draft")["version"]
        if asking:
            _show(client)
            if not click.confirm("Apply this?", err=True):
                fail("nothing was changed", _AGAIN)
        body = {"reason": reason, "confirm_within_s": within_s, "confirm_by": confirm_by, "acting_as": acting_as}
        result = client.post("/v1/config/apply", body, timeout_s=_APPLY_LIMIT_S, version=version)
    _finish(client, result, asking=asking, wait=wait or confirm_by == "health", as_json=as_json)


@click.command()
@config_option
@socket_option
@json_option
def confirm(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Make the change that runs permanent."""
    with answering():
        body = client_for(config_path, socket).post("/v1/config/confirm")
    if as_json:
        emit_json(body)
    else:
        note(f"revision {body['number']} is confirmed")


@click.command()
@click.option("--to", type=click.IntRange(1), metavar="NUMBER", help="The revision. Default: what was before.")
@config_option
@socket_option
@within_option
@by_option
@reason_option
@as_option
@wait_option
@yes_option
@json_option
def rollback(
    to: int | None,
    config_path: Path,
    socket: Path | None,
    within_s: float,
    confirm_by: str,
    reason: str,
    acting_as: str | None,
    wait: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Take back the change that is unconfirmed; without one, go back to an earlier revision by a new change."""
    client = client_for(config_path, socket)
    asking = sys.stdin.isatty() and sys.stderr.isatty() and not yes
    if asking and not click.confirm(f"Go back to {f'revision {to}' if to else 'what was before'}?", err=True):
        fail("nothing was changed", _AGAIN)
    body = {"reason": reason, "confirm_within_s": within_s, "confirm_by": confirm_by, "acting_as": acting_as, "to": to}
    with answering():
        result = client.post("/v1/config/rollback", body, timeout_s=_APPLY_LIMIT_S)
    _finish(client, result, asking=asking, wait=wait or confirm_by == "health", as_json=as_json)


@click.group()
def draft() -> None:
    """The draft: what somebody is working on, until it is applied."""


@draft.command("discard")
@config_option
@socket_option
@yes_option
def discard_draft(config_path: Path, socket: Path | None, yes: bool) -> None:
    """Throw the draft away."""
    if sys.stdin.isatty() and not yes and not click.confirm("Throw the draft away?", err=True):
        fail("nothing was changed", _AGAIN)
    with answering():
        client_for(config_path, socket).call("DELETE", "/v1/config/draft")


@draft.command("rebase")
@config_option
@socket_option
@json_option
def rebase_draft(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Take into the draft what somebody else changed in place. Of files that both changed the draft's text stays."""
    with answering():
        body = client_for(config_path, socket).post("/v1/config/draft/rebase")
    if as_json:
        emit_json(body)
        return
    for conflict in body["conflicts"]:
        note(f"{conflict['name']} was changed by both: the draft has your text, theirs isn't in it")
    note("look at what it would change now: tidegate config diff")


@draft.command("patch")
@config_option
@socket_option
def patch_draft(config_path: Path, socket: Path | None) -> None:
    """Print what the draft would change as a patch, for patch -p1 or git apply where the files are managed."""
    with answering():
        body = client_for(config_path, socket).get("/v1/config/draft/patch")
    sys.stdout.buffer.write(body or b"")
    sys.stdout.buffer.flush()


@draft.command("try")
@config_option
@socket_option
@json_option
def try_draft(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Read once, on the wire, what the draft would change or add. Applies nothing."""
    with answering():
        body = client_for(config_path, socket).post("/v1/config/draft/try", timeout_s=_APPLY_LIMIT_S)
    if as_json:
        emit_json(body)
        return
    table(["link", "device", "answered", ""], [(e["link"], e["device"], e["connected"], e["sentence"]) for e in body])
    if not body:
        note("the draft changes nothing that could be read")


def tree_at(path: Path, main: str) -> Tree:
    """The configuration at a path of this machine, its main file called as the gateway calls it."""
    if path.is_dir():
        tops = [path / main] if (path / main).exists() else sorted(path.glob("*.toml"))
        if len(tops) != 1:
            fail(f"{path} holds {len(tops)} TOML files, but must hold one", "name the main file itself", Exit.USAGE)
        path = tops[0]
    try:
        tree = in_place(path)
    except ConfigErrors as errors:
        print_problems(errors.problems)
        sys.exit(Exit.CONFIG)
    return Tree(main, {main if name == tree.main else name: body for name, body in tree.files.items()})


def _put_into_draft(client: ControlClient, path: Path, replace: bool) -> None:
    from gateway.config.archive import pack

    known = client.get("/v1/config")
    at_work = known["draft"]
    if at_work is not None and at_work["digest"] != at_work["base"] and not replace:
        fail(
            f"{at_work['changed_by']} is working on a draft",
            "apply that, or throw it away: tidegate config draft discard; or add --replace-draft",
            Exit.CONFLICT,
        )
    tree = tree_at(path, Path(known["main"]).name)
    # From what is in place now: what somebody began earlier from something else is no base for this.
    client.call("DELETE", "/v1/config/draft")
    client.call("POST", "/v1/config/draft/import", body=pack(tree.files))


def _show(client: ControlClient) -> None:
    difference = client.get("/v1/config/draft/diff")
    print_patch(difference["patch"])
    for change in difference["changes"] or []:
        note(change["sentence"])


def _finish(client: ControlClient, result: dict[str, Any], *, asking: bool, wait: bool, as_json: bool) -> None:
    """Say what came of a change, once that is known as far as the caller wants to wait."""
    number, pending = result["revision"]["number"], result["pending"]
    if pending is not None and asking and pending["confirm_by"] == "hand":
        note(f"revision {number} runs. Without a confirmation it comes back in {pending['seconds_left']:.0f} s.")
        with answering():
            if click.confirm("Keep it?", err=True):
                client.post("/v1/config/confirm")
            else:
                client.post("/v1/config/rollback", {"reason": "not kept"}, timeout_s=_APPLY_LIMIT_S)
        pending = None
    elif pending is not None and wait:
        note(f"revision {number} runs; waiting until it is confirmed or comes back")
        _wait(client, number)
        pending = None
    with answering():
        revision = client.get(f"/v1/config/history/{number}")
    if as_json:
        emit_json({**result, "revision": revision, "pending": pending})
    elif pending is not None:
        note(f"revision {number} runs; confirm it within {pending['seconds_left']:.0f} s: tidegate config confirm")
    else:
        note(f"revision {number} is {revision['outcome']}{f': {why}' if (why := revision['why']) else ''}")
    if revision["outcome"] == "rolled back" and result["pending"] is not None:
        sys.exit(Exit.CONFLICT)


def _wait(client: ControlClient, number: int) -> None:
    with answering():
        while client.get(f"/v1/config/history/{number}")["outcome"] == "pending":
            time.sleep(_LOOK_S)
