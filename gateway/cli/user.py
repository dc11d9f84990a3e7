"""``tidegate user``: who may come in."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gateway.actors import Role
from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, config_option, emit_json, fail, json_option, note, table
from gateway.cli.secret_input import new_password_hash
from gateway.control.client import NotRunning, segment

_USERS = "/v1/accounts/users"
_role = click.Choice([role.value for role in Role])


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
@click.option("--role", type=_role, default="viewer", show_default=True, help="How much they may do.")
@click.option("--must-change", is_flag=True, help="The password is good for choosing another one only.")
def add(name: str, config_path: Path, socket: Path | None, role: str, must_change: bool) -> None:
    """Add a user."""
    client = client_for(config_path, socket)
    verifier = new_password_hash(name)
    with answering():
        client.post(_USERS, {"name": name, "role": role, "verifier": verifier, "must_change": must_change})
    note(f"{name} can sign in as {role}")


@user.command()
@click.argument("name")
@config_option
@socket_option
@click.option("-y", "--yes", is_flag=True, help="Don't ask.")
def remove(name: str, config_path: Path, socket: Path | None, yes: bool) -> None:
    """Remove a user. Their sessions end."""
    _confirm(f"remove {name}?", yes)
    with answering():
        client_for(config_path, socket).call("DELETE", f"{_USERS}/{segment(name)}")
    note(f"{name} is removed")


@user.command()
@click.argument("name")
@click.argument("role", type=_role)
@config_option
@socket_option
def role(name: str, role: str, config_path: Path, socket: Path | None) -> None:
    """Give a user another role. Their sessions end."""
    _change(config_path, socket, name, {"role": role})
    note(f"{name} is {role} now")


@user.command()
@click.argument("name")
@config_option
@socket_option
def disable(name: str, config_path: Path, socket: Path | None) -> None:
    """Keep a user out without removing them."""
    _change(config_path, socket, name, {"disabled": True})
    note(f"{name} can't sign in any more")


@user.command()
@click.argument("name")
@config_option
@socket_option
def enable(name: str, config_path: Path, socket: Path | None) -> None:
    """Let a disabled user in again."""
    _change(config_path, socket, name, {"disabled": False})
    note(f"{name} can sign in again")


@user.command()
@click.argument("name")
@config_option
@socket_option
@click.option("--must-change", is_flag=True, help="It is good for choosing another one only.")
def password(name: str, config_path: Path, socket: Path | None, must_change: bool) -> None:
    """Give a user another password. Their sessions end."""
    client = client_for(config_path, socket)
    verifier = new_password_hash(name)
    with answering():
        body = {"verifier": verifier, "must_change": must_change}
        client.call("PUT", f"{_USERS}/{segment(name)}/password", body=body)
    note(f"{name} has another password")


@user.command()
@click.argument("name")
@config_option
def reset(name: str, config_path: Path) -> None:
    """Get back in: make NAME, new or not, an admin with a new password. Only on the machine, as root or its owner.

    Works whether or not the gateway runs, and where its accounts are damaged: what was there is kept beside.
    """
    settings = load_or_exit(config_path, check_secrets=False)
    verifier = new_password_hash(name)
    with answering():
        try:
            client_for(config_path, settings.socket).post("/v1/accounts/reset", {"name": name, "verifier": verifier})
        except NotRunning:
            from gateway.cli.alone import alone

            alone(settings.data_dir, lambda accounts, actor: accounts.reset(actor, name, verifier))
    note(f"{name} can sign in as admin")


def _change(config_path: Path, socket: Path | None, name: str, change: dict[str, Any]) -> None:
    with answering():
        client_for(config_path, socket).call("PATCH", f"{_USERS}/{segment(name)}", body=change)


def _confirm(question: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        fail("nobody is there to be asked", "give --yes to do it without asking", Exit.USAGE)
    if not click.confirm(question, err=True):
        fail("nothing was changed", "call it again with --yes if it is meant")


def _state(told: dict[str, Any]) -> str:
    return "disabled" if told["disabled"] else "must change the password" if told["must_change"] else ""
