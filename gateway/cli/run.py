"""``tidegate run``: the data plane, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import uvloop

from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, config_option, fail
from gateway.journal import JournalError
from gateway.ops.logs import FORMAT, LogRing, RedactingFormatter
from gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from gateway.runtime import Runtime

log = logging.getLogger(__name__)


@click.command()
@config_option
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    envvar="TIDEGATE_LOG_LEVEL",
    help="How much to say on stderr.",
)
def run(config_path: Path, log_level: str) -> None:
    """Run the gateway in the foreground until SIGTERM or Ctrl-C.

    Nothing is started if the configuration has a problem; every problem is printed, and the exit code is 3.
    """
    ring = _log_to_stderr(log_level)
    settings = load_or_exit(config_path)
    try:
        uvloop.run(_serve(config_path, settings, ring))
    except JournalError as error:
        fail(str(error), "see: tidegate journal verify")
    except PermissionError as error:
        fail(
            f"no permission to use {error.filename or settings.data_dir}",
            "run as the user that owns it, or give this one the right to write there",
            Exit.DENIED,
        )
    except OSError as error:
        fail(f"can't use {error.filename or settings.data_dir}: {error.strerror or error}", "mend the path or the disk")


def _log_to_stderr(level: str) -> LogRing:
    """From now on; the last records are kept, too."""
    stream, ring = logging.StreamHandler(sys.stderr), LogRing()
    stream.setFormatter(RedactingFormatter(FORMAT))
    logging.basicConfig(level=level.upper(), handlers=[stream, ring])
    return ring


async def _serve(config: Path, settings: GatewaySettings, ring: LogRing) -> None:
    from gateway.runtime import AlreadyRunning, Runtime

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with Runtime(settings) as runtime:
            await _until_stopped(config, runtime, ring, stop)
    except AlreadyRunning as error:
        fail(str(error), "stop it first, or give this one another data_dir", Exit.CONFLICT)


async def _until_stopped(config: Path, runtime: Runtime, ring: LogRing, stop: asyncio.Event) -> None:
    control = asyncio.create_task(_control(config, runtime, ring), name="control")
    failed = asyncio.create_task(runtime.failed_sink(), name="sinks")
    stopped = asyncio.create_task(stop.wait(), name="signal")
    try:
        done, _ = await asyncio.wait({failed, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if failed in done:
            failed.result()
    finally:
        for task in (control, failed, stopped):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(control, failed, stopped, return_exceptions=True)


async def _control(config: Path, runtime: Runtime, ring: LogRing) -> None:
    # Imported once the data plane is under way: the first value doesn't wait for a web framework.
    from gateway.audit import AuditError
    from gateway.control.api import opened, operations
    from gateway.control.server import ControlServer

    path = runtime.settings.socket
    try:
        async with opened(config, runtime, ring) as services:
            await ControlServer(operations(services), path).run()
    except AuditError as error:
        log.error("no control API on %s: %s; collection goes on", path, error)
    except OSError as error:
        log.error("no control API on %s: %s; collection goes on", path, error.strerror or error)
