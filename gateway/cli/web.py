"""``tidegate web``: the local page, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import click

from gateway.cli.output import config_option, fail
from gateway.settings import page_directory

_LISTEN = "127.0.0.1:8443"


@click.command()
@config_option
@click.option("--socket", type=click.Path(path_type=Path), help="The gateway's control socket. Default: as configured.")
@click.option(
    "--state",
    type=click.Path(path_type=Path),
    envvar="STATE_DIRECTORY",
    show_envvar=True,
    help="Where certificate and sessions are. Default: /var/lib/tidegate-web; for another socket web beside it.",
)
@click.option(
    "--listen",
    multiple=True,
    metavar="HOST:PORT",
    help=f"Where to serve; may be given several times. Default: the sockets that systemd hands over, or {_LISTEN}.",
)
@click.option(
    "--idle-exit",
    type=click.FloatRange(min=1),
    metavar="SECONDS",
    help="End after so long without a connection: socket activation starts it again.",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    envvar="TIDEGATE_LOG_LEVEL",
    help="How much to say on stderr.",
)
def web(
    config_path: Path,
    socket: Path | None,
    state: Path | None,
    listen: tuple[str, ...],
    idle_exit: float | None,
    log_level: str,
) -> None:
    """Serve the local page over TLS until SIGTERM or Ctrl-C. Its address is printed when it can be opened.

    It talks to the gateway through its control socket alone, and needs no other right than to open that.
    """
    from gateway.web.certificate import ensure

    if socket is None:
        from gateway.cli.loading import socket_of

        socket = socket_of(config_path, None)
    state = state or page_directory(socket)
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        ensure(state)
    except OSError as error:
        fail(f"the page can't use {error.filename or state}: {error.strerror or error}", "give another with --state")
    except subprocess.CalledProcessError:
        fail(f"no certificate could be made in {state}", "put tls/certificate.pem and tls/key.pem there yourself")
    activated = os.environ.get("LISTEN_PID") == str(os.getpid())
    told = {
        "socket": str(socket),
        "state": str(state),
        "listen": list(listen) or ([] if activated else [_LISTEN]),
        "idle_exit_s": idle_exit,
        "log_level": log_level,
    }
    # The same process, so that the sockets and the pid which systemd knows stay.
    os.execv(sys.executable, [sys.executable, "-m", "gateway.web", json.dumps(told)])
