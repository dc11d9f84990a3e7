"""Calling the running gateway from a command: what goes wrong becomes one sentence and an exit code."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.cli.loading import socket_of
from gateway.cli.output import Exit, fail
from gateway.control.client import ControlClient, NotPermitted, NotRunning, Refused

socket_option = click.option(
    "--socket", type=click.Path(path_type=Path), help="The control socket, where the configuration isn't at hand."
)

_EXITS = {
    403: Exit.DENIED,
    404: Exit.USAGE,
    409: Exit.CONFLICT,
    412: Exit.CONFLICT,
    502: Exit.UNREACHABLE,
    504: Exit.UNREACHABLE,
}
_INVALID = "config-invalid"
"""The code of a refusal over an invalid configuration."""


def client_for(config_path: Path, socket: Path | None, timeout_s: float = 5.0) -> ControlClient:
    """Of the gateway at `socket`, or of the one that is configured. Ends the command if neither is known."""
    return ControlClient(socket_of(config_path, socket), timeout_s)


@contextlib.contextmanager
def answering(mend: str | None = None) -> Iterator[None]:
    """Ends the command if no gateway answers, or if it refuses. `mend`: for a refusal that names none."""
    try:
        yield
    except NotRunning as error:
        fail(str(error), "start it with: tidegate run", Exit.UNREACHABLE)
    except NotPermitted as error:
        fail(str(error), "run as root or as a member of the socket's group", Exit.DENIED)
    except Refused as error:
        for problem in error.problems:
            _print(problem)
        code = Exit.CONFIG if error.code == _INVALID else _EXITS.get(error.status, Exit.FAILED)
        fail(str(error), error.mend or mend, code)


def _print(problem: object) -> None:
    assert isinstance(problem, dict)
    places = [str(problem[key]) for key in ("file", "line") if problem.get(key)]
    where = ":".join(places) or problem.get("field")
    click.echo(f"{where}: {problem['message']}" if where else problem["message"], err=True)
    if problem.get("mend"):
        click.echo(f"  → {problem['mend']}", err=True)
