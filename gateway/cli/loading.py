"""Loading a configuration for a command: every error at once, exit code 3."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from gateway.cli.output import DEFAULT_CONFIG, Exit, colourful, fail
from gateway.config import ConfigErrors, Problem, load
from gateway.settings import SERVICE_SOCKET, GatewaySettings


def load_or_exit(path: Path, *, check_secrets: bool = True, unfinished: bool = False) -> GatewaySettings:
    """The checked configuration. Ends the command with exit code 3, all problems printed, if it is invalid."""
    try:
        return load(path, check_secrets=check_secrets, unfinished=unfinished)
    except ConfigErrors as errors:
        print_problems(errors.problems)
        sys.exit(Exit.CONFIG)


def print_problems(problems: tuple[Problem, ...]) -> None:
    """One line a problem on stderr, what to do under it, and a count at the end."""
    colour = colourful(sys.stderr)
    for problem in problems:
        where = f"{problem.file}:{problem.line}" if problem.line else str(problem.file)
        click.echo(f"{click.style(where, bold=True) if colour else where}: {problem.message}", err=True)
        if problem.hint:
            click.echo(f"  → {problem.hint}", err=True)
    count = len(problems)
    click.echo(f"{count} problem{'s' if count != 1 else ''}.", err=True)


def socket_of(config_path: Path, socket: Path | None) -> Path:
    """Where the running gateway listens: as told, or as its configuration says.

    The service runs whatever its configuration is: where that doesn't tell, it listens on its own socket.
    """
    if socket is not None:
        return socket
    if config_path == DEFAULT_CONFIG and os.path.exists(SERVICE_SOCKET):
        try:
            return load(config_path, check_secrets=False).socket
        except ConfigErrors:
            return SERVICE_SOCKET
    if not os.path.exists(config_path):
        fail(
            f"there is no configuration at {config_path}, so the gateway's socket isn't known",
            "name it with --config FILE, or the socket itself with --socket PATH",
            Exit.CONFIG,
        )
    return load_or_exit(config_path, check_secrets=False).socket
