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
        uvloop.run(_serve(settings, ring, config_path))
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


async def _serve(settings: GatewaySettings, ring: LogRing, config_path: Path) -> None:
    from gateway.runtime import AlreadyRunning, Runtime

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        async with Runtime(settings) as runtime:
            await _until_stopped(runtime, ring, config_path, stop)
    except AlreadyRunning as error:
        fail(str(error), "stop it first, or give this one another data_dir", Exit.CONFLICT)


async def _until_stopped(runtime: Runtime, ring: LogRing, config_path: Path, stop: asyncio.Event) -> None:
    control = asyncio.create_task(_control(runtime, ring, config_path), name="control")
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


async def _control(runtime: Runtime, ring: LogRing, config_path: Path) -> None:
    # Imported once the data plane is under way: the first value doesn't wait for a web framework.
    from gateway.accounts import Accounts
    from gateway.audit import AuditError, AuditLog
    from gateway.control.api import Services, operations
    from gateway.control.server import ControlServer
    from gateway.diagnostics.room import Diagnostics

    path, data_dir, clock = runtime.settings.socket, runtime.settings.data_dir, runtime.clock
    try:
        async with AuditLog(data_dir / "audit", now_ns=clock.now_ns, trusted=lambda: clock.trusted) as audit:
            accounts = Accounts(data_dir, audit.record, now_ns=clock.now_ns)
            await accounts.open()
            with Diagnostics(runtime, config_path) as diagnostics:
                services = Services(runtime, ring, audit, accounts, diagnostics)
                await ControlServer(operations(services), path).run()
    except AuditError as error:
        log.error("no control API on %s: %s; collection goes on", path, error)
    except OSError as error:
        log.error("no control API on %s: %s; collection goes on", path, error.strerror or error)
