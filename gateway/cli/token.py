"""``tidegate token``: keys for programs."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.actors import Role
from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import config_option, emit_json, json_option, note, table
from gateway.control.client import segment

_TOKENS = "/v1/accounts/tokens"


@click.group()
def token() -> None:
    """API tokens for programs: each with a role, parts of the API it is good for, and an end."""


@token.command("list")
@config_option
@socket_option
@json_option
def list_(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """List the tokens. What they are themselves nobody can say."""
    with answering():
        tokens = client_for(config_path, socket).get(_TOKENS)["tokens"]
    if as_json:
        emit_json(tokens)
        return
    table(
        ["token", "id", "role", "scopes", "made by", "expires", "last used"],
        (
            [
                *(each[key] for key in ("name", "id", "role")),
                each["scopes"] or "all",
                each["created_by"],
                each["expires"] or "never",
                each["last_used"] or "never",
            ]
            for each in tokens
        ),
    )


@token.command()
@click.argument("name")
@config_option
@socket_option
@json_option
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default="viewer",
    show_default=True,
    help="What it is good for.",
)
@click.option("--scope", "scopes", multiple=True, help="A part of the API, as its paths say after /v1/. Repeatable.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="It expires after so many.")
@click.option("--forever", is_flag=True, help="It never expires.")
def add(
    name: str,
    config_path: Path,
    socket: Path | None,
    as_json: bool,
    role: str,
    scopes: tuple[str, ...],
    days: int,
    forever: bool,
) -> None:
    """Make a token and print it, this once. It is sent as: Authorization: Bearer TOKEN."""
    body = {"name": name, "role": role, "scopes": list(scopes), "days": None if forever else days}
    with answering():
        made = client_for(config_path, socket).post(_TOKENS, body)
    if as_json:
        emit_json(made)
        return
    click.echo(made["secret"])
    end = "never expires" if forever else f"expires at {made['token']['expires']}"
    note(f"keep it now: it can't be shown again; it {end}")


@token.command()
@click.argument("token")
@config_option
@socket_option
def revoke(token: str, config_path: Path, socket: Path | None) -> None:
    """Revoke a token, named by its id or its name."""
    with answering():
        client_for(config_path, socket).call("DELETE", f"{_TOKENS}/{segment(token)}")
    note(f"{token} is revoked")
