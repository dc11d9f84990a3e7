"""``tidegate run``: the data plane, until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import uvloop

from gateway.changes.start import Start, start
from gateway.cli.loading import print_problems
from gateway.cli.output import Exit, config_option, fail
from gateway.config import ConfigErrors, load
from gateway.delta import ApplyFailed
from gateway.journal import JournalError
from gateway.ops.backup.restore import plan_of, resume
from gateway.ops.logs import LogRing, formatter_for
from gateway.ops.pulse import Pulse
from gateway.ops.service import ServiceManager

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
@click.option(
    "--unattended",
    is_flag=True,
    help="Start whatever the configuration is: write one where there is none; where it is invalid, run the last one "
    "that was confirmed.",
)
def run(config_path: Path, log_level: str, unattended: bool) -> None:
    """Run the gateway in the foreground until SIGTERM or Ctrl-C.

    Nothing is started if the configuration has a problem; every problem is printed, and the exit code is 3. For a
    machine where nobody would read that there is --unattended.
    """
    os.umask(os.umask(0o022) | 0o022)  # whatever starts this: nobody else may put files into its directories
    faulthandler.enable(2)  # stderr; a service manager ends what hangs by SIGABRT: then the log shows where it hung
    ring = _log_to_stderr(log_level)
    with contextlib.ExitStack() as starting:
        manager = ServiceManager.of(os.environ)
        starting.enter_context(manager.patient())
        _finish_restore(config_path)
        _run(_beginning(config_path, unattended=unattended), ring, manager, starting)


def _run(beginning: Start, ring: LogRing, manager: ServiceManager, starting: contextlib.ExitStack) -> None:
    settings = beginning.settings
    try:
        uvloop.run(_serve(beginning, ring, manager, starting))
    except JournalError as error:
        fail(str(error), "see: tidegate journal verify")
    except PermissionError as error:
        fail(
            f"no permission to use {error.filename or settings.data_dir}",
            "run as the user that owns it, or give this one the right to write there",
            Exit.DENIED,
        )
    except ApplyFailed as error:
        fail(f"a change of the configuration can't be taken back: {error}", "start again, with the one from before")
    except OSError as error:
        fail(f"can't use {error.filename or settings.data_dir}: {error.strerror or error}", "mend the path or the disk")


def _beginning(path: Path, *, unattended: bool) -> Start:
    """What the gateway begins with. Ends the command with exit code 3, all problems printed, if it is invalid."""
    try:
        return start(path, lambda tree: load(path, tree=tree), unattended=unattended)
    except ConfigErrors as errors:
        print_problems(errors.problems)
        sys.exit(Exit.CONFIG)


def _log_to_stderr(level: str) -> LogRing:
    """From now on; the last records are kept, too."""
    stream, ring = logging.StreamHandler(sys.stderr), LogRing()
    stream.setFormatter(formatter_for(sys.stderr))
    logging.basicConfig(level=level.upper(), handlers=[stream, ring])
    return ring


def _finish_restore(config: Path) -> None:
    """Bring one that a power cut broke off to its end, before anything is read."""
    if not plan_of(config).exists():
        return
    from gateway.control.restoring import standing

    try:
        log.warning("%s", resume(config, lambda: standing(config)))
    except (OSError, ValueError) as error:
        fail(
            f"a restore that was cut off can't be brought to its end: {error}",
            f"mend that, or take {plan_of(config)} away to leave things as they are",
        )


async def _serve(beginning: Start, ring: LogRing, manager: ServiceManager, starting: contextlib.ExitStack) -> None:
    """`starting` is closed once collecting has started."""
    from gateway.ops.lock import AlreadyRunning
    from gateway.runtime import Runtime

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        with contextlib.ExitStack() as ending:
            async with Runtime(beginning.settings) as runtime:
                starting.close()
                manager.ready(runtime.summary())
                try:
                    await _until_stopped(beginning, runtime, ring, manager, stop)
                finally:
                    manager.stopping("stopping")
                    ending.enter_context(manager.patient())
    except AlreadyRunning as error:
        fail(str(error), "stop it first, or give this one another data_dir", Exit.CONFLICT)


async def _until_stopped(
    beginning: Start, runtime: Runtime, ring: LogRing, manager: ServiceManager, stop: asyncio.Event
) -> None:
    control = asyncio.create_task(_control(beginning, runtime, ring), name="control")
    failed = asyncio.create_task(runtime.failed_sink(), name="sinks")
    stopped = asyncio.create_task(stop.wait(), name="signal")
    pulse = asyncio.create_task(Pulse(manager, runtime).run(), name="pulse")
    waiting: set[asyncio.Task[Any]] = {control, failed, stopped, pulse}
    try:
        # Without a control API collection goes on.
        while not failed.done() and not stopped.done():
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
    finally:
        for task in (control, failed, stopped, pulse):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(control, failed, stopped, pulse, return_exceptions=True)


async def _control(beginning: Start, runtime: Runtime, ring: LogRing) -> None:
    """Serve the control API. Raises what made a change of the configuration fail that can't be taken back either."""
    # Imported once the data plane is under way, and beside it: the first value doesn't wait for a web framework.
    await asyncio.to_thread(import_module, "gateway.control.api")
    await asyncio.to_thread(import_module, "gateway.control.server")
    from gateway.audit import AuditError
    from gateway.control.api import opened, operations
    from gateway.control.server import ControlServer

    path = runtime.settings.socket
    try:
        async with opened(beginning, runtime, ring) as services:
            serving = asyncio.create_task(ControlServer(operations(services), path).run())
            broken = asyncio.create_task(services.changes.failed())
            try:
                done, _ = await asyncio.wait({serving, broken}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                for task in (serving, broken):
                    task.cancel()
                await asyncio.gather(serving, broken, return_exceptions=True)
    except AuditError as error:
        log.error("no control API on %s: %s; collection goes on", path, error)
    except OSError as error:
        log.error("no control API on %s: %s; collection goes on", path, error.strerror or error)
