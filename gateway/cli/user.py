"""``tidegate user``: who may come in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.actors import Role
from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.loading import load_or_exit
from gateway.cli.output import (
    Exit,
    config_option,
    confirmed,
    emit_json,
    fail,
    json_option,
    note,
    table,
    yes_option,
)
from gateway.cli.secret_input import fits, hashed, new_password, new_password_hash
from gateway.control.client import NotRunning, segment

_USERS = "/v1/accounts/users"
_role = click.Choice([role.value for role in Role])
_role_option = click.option("--role", type=_role, default="viewer", show_default=True, help="What the user may do.")


@click.group()
def user() -> None:
    """Users of the page and the API. Passwords are asked for, or read as a line of stdin; they are no arguments."""


@user.command("list")
@config_option
@socket_option
@json_option
def list_(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """List the users."""
    with answering():
        users = client_for(config_path, socket).get(_USERS)["users"]
    if as_json:
        emit_json(users)
        return
    table(
        ["user", "role", "since", "state"],
        ([each["name"], each["role"], each["created"], _state(each)] for each in users),
    )


@user.command()
@click.argument("name")
@config_option
@socket_option
@json_option
@_role_option
@click.option("--must-change", is_flag=True, help="The password is good for choosing another one only.")
def add(name: str, config_path: Path, socket: Path | None, as_json: bool, role: str, must_change: bool) -> None:
    """Add a user."""
    client = client_for(config_path, socket)
    verifier = new_password_hash(name)
    with answering():
        body = {"name": name, "role": role, "verifier": verifier, "must_change": must_change}
        made = client.post(_USERS, body)
    _say(made, f"{name} can sign in as {role}", as_json)


@user.command()
@click.argument("name")
@config_option
@socket_option
@yes_option
def remove(name: str, config_path: Path, socket: Path | None, yes: bool) -> None:
    """Remove a user. Their sessions end."""
    confirmed(f"remove {name}?", yes=yes)
    with answering():
        client_for(config_path, socket).call("DELETE", f"{_USERS}/{segment(name)}")
    note(f"{name} is removed")


@user.command()
@click.argument("name")
@click.argument("role", type=_role)
@config_option
@socket_option
@json_option
def role(name: str, role: str, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Give a user another role. Their sessions end."""
    _say(_change(config_path, socket, name, {"role": role}), f"{name} is {role} now", as_json)


@user.command()
@click.argument("name")
@config_option
@socket_option
@json_option
def disable(name: str, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Keep a user out without removing them."""
    _say(_change(config_path, socket, name, {"disabled": True}), f"{name} can't sign in any more", as_json)


@user.command()
@click.argument("name")
@config_option
@socket_option
@json_option
def enable(name: str, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Let a disabled user in again."""
    _say(_change(config_path, socket, name, {"disabled": False}), f"{name} can sign in again", as_json)


@user.command()
@click.argument("name")
@config_option
@socket_option
@json_option
@click.option("--must-change", is_flag=True, help="It is good for choosing another one only.")
@click.option("--unless-same", is_flag=True, help="Do nothing if it is the password already; sessions go on then.")
@click.option("--dry-run", is_flag=True, help="With --unless-same: only say whether it is another one.")
def password(
    name: str,
    config_path: Path,
    socket: Path | None,
    as_json: bool,
    must_change: bool,
    unless_same: bool,
    dry_run: bool,
) -> None:
    """Give a user another password. Their sessions end. With --json: the user, and `changed`."""
    if dry_run and not unless_same:
        fail("--dry-run is for --unless-same", "add --unless-same, or leave --dry-run out", Exit.USAGE)
    client = client_for(config_path, socket)
    password = new_password(name)
    path = f"{_USERS}/{segment(name)}"
    with answering():
        user = client.get(path)
        changed = not (unless_same and fits(password, client.get(f"/v1/sign-in/users/{segment(name)}")["verifier"]))
        if changed and not dry_run:
            user = client.call(
                "PUT", f"{path}/password", body={"verifier": hashed(password), "must_change": must_change}
            )
    said = "would have another password" if dry_run else "has another password"
    _say({**user, "changed": changed}, f"{name} {said if changed else 'has this password already'}", as_json)


@user.command()
@click.argument("name")
@config_option
@json_option
def reset(name: str, config_path: Path, as_json: bool) -> None:
    """Get back in: make NAME, new or not, an admin with a new password. Only on the machine, as root or its owner.

    Works whether or not the gateway runs, and where its accounts are damaged: what was there is kept beside.
    """
    settings = load_or_exit(config_path, check_secrets=False)
    verifier = new_password_hash(name)
    with answering():
        try:
            client = client_for(config_path, settings.socket)
            done = client.post("/v1/accounts/reset", {"name": name, "verifier": verifier})
        except NotRunning:
            from gateway.cli.alone import alone

            done = alone(settings.data_dir, lambda accounts, actor: accounts.reset(actor, name, verifier)).to_json()
    _say(done, f"{name} can sign in as admin", as_json)


def _change(config_path: Path, socket: Path | None, name: str, change: dict[str, Any]) -> Any:
    with answering():
        return client_for(config_path, socket).call("PATCH", f"{_USERS}/{segment(name)}", body=change)


def _say(user: Any, sentence: str, as_json: bool) -> None:
    """What a user is like now: whole for programs, in a sentence for people."""
    if as_json:
        emit_json(user)
    else:
        note(sentence)


def _state(told: dict[str, Any]) -> str:
    return "disabled" if told["disabled"] else "must change the password" if told["must_change"] else ""
