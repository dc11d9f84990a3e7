"""Passwords from people and from pipes; never from an argument, which every user of the machine can see."""

from __future__ import annotations

import asyncio
import sys

import click

from gateway.cli.output import Exit, fail


def new_password_hash(name: str) -> str:
    """The argon2id hash of a new password, as `new_password` takes one."""
    return hashed(new_password(name))


def new_password(name: str) -> str:
    """Asked for twice on a terminal, read once from a pipe. Ends a bad command."""
    from gateway.web.passwords import complaint

    if sys.stdin.isatty():
        password = str(click.prompt("new password", hide_input=True, confirmation_prompt=True, err=True))
    else:
        password = sys.stdin.readline().rstrip("\r\n")
    if wrong := complaint(password, name):
        fail(
            f"the password can't be taken: {wrong}", "give another one, on a terminal or as a line of stdin", Exit.USAGE
        )
    return password


def hashed(password: str) -> str:
    """Its argon2id hash, a PHC string."""
    from gateway.web.passwords import Passwords

    return asyncio.run(Passwords().hash(password))


def fits(password: str, verifier: str) -> bool:
    """Whether this is the password that was hashed."""
    from gateway.web.passwords import Passwords

    return asyncio.run(Passwords().fits(password, verifier))
