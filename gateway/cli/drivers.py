"""Drivers and the one device a command is about."""

from __future__ import annotations

import asyncio
import difflib
import os
import platform
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from click.core import ParameterSource

from gateway import registry
from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, fail, note
from gateway.config import ConfigErrors, load
from gateway.driver import DeviceSilent, DriverKind, Item, LinkDown, ScanFailed, Site
from gateway.sentences import with_mend
from gateway.settings import GatewaySettings, LinkSettings, site_of
from gateway.southbound.link import CALL_LIMIT_S, CLOSE_LIMIT_S
from gateway.southbound.probe import bounded

Result = TypeVar("Result")


def installed() -> Iterator[DriverKind]:
    """Every driver that can be loaded. What can't is named on stderr."""
    for name in registry.driver_names():
        try:
            yield registry.load_driver(name)
        except (ImportError, TypeError, AttributeError) as error:
            note(f"the driver {name!r} can't be loaded: {error}")


def driver(name: str) -> DriverKind:
    """One driver by its name. Ends the command if there is none."""
    try:
        return registry.load_driver(name)
    except KeyError:
        fail(f"there is no driver {name!r}", _meant(name, registry.driver_names()), Exit.USAGE)
    except (ImportError, TypeError, AttributeError) as error:
        fail(f"the driver {name!r} can't be loaded: {error}", "install its package again, with everything it needs")


def link_of(settings: GatewaySettings, device: str) -> LinkSettings:
    """The link of a configured device. Ends the command if there is none of that name."""
    names = {each.name: link for link in settings.links for each in link.devices}
    if device not in names:
        fail(f"the configuration has no device {device!r}", _meant(device, sorted(names)), Exit.USAGE)
    return names[device]


def site_for(ctx: click.Context, config_path: Path, kind: DriverKind) -> Site:
    """Where a driver works that needs no configuration: with a gateway's if there is one, else with this user's.

    A configuration that was named must be right; the default one is passed over if it is missing or isn't finished.
    """
    named = ctx.get_parameter_source("config_path") is not ParameterSource.DEFAULT
    if named:
        settings = load_or_exit(config_path, check_secrets=False, unfinished=True)
        return site_of(settings.id, settings.data_dir, kind.name)
    if config_path.exists():
        try:
            settings = load(config_path, check_secrets=False, unfinished=True)
        except ConfigErrors:
            note(f"{config_path} isn't valid and is left aside (see: tidegate check)")
        else:
            return site_of(settings.id, settings.data_dir, kind.name)
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return site_of(platform.node() or "tidegate", state / "tidegate", kind.name)


def ask(link: LinkSettings, device: str, call: Coroutine[Any, Any, Result]) -> Result:
    """Wait for something of a device. Ends the command in one sentence if it can't be had."""
    try:
        return asyncio.run(call)
    except (LinkDown, DeviceSilent) as error:
        mend = f"check power, wiring and the address of link {link.name!r}, and whether {device!r} serves others now"
        if isinstance(error, DeviceSilent):  # it names the device and its silence, no mend
            fail(str(error), mend, Exit.UNREACHABLE)
        say_failed(error, mend, Exit.UNREACHABLE)
    except ScanFailed as error:
        say_failed(error, f"see what it has: tidegate browse {device}")
    except PermissionError as error:
        not_permitted(error)


def say_failed(error: Exception, mend: str, code: Exit = Exit.FAILED) -> NoReturn:
    """End the command in a driver's words. `mend` is for those that don't say themselves what to do."""
    sentence = str(error)
    fail(sentence, mend if with_mend(sentence)[1] is None else None, code)


async def each(items: AsyncIterator[Item]) -> AsyncIterator[Item]:
    """The items, as long as they come. Raises DeviceSilent if one takes too long."""
    try:
        while True:
            async with bounded(DeviceSilent(f"nothing came for {CALL_LIMIT_S:g} s")):
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
            yield item
    finally:
        await close(items)


async def close(items: AsyncIterator[Any]) -> None:
    """End an iterator of a driver's, within a bounded time."""
    if isinstance(items, AsyncGenerator):
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_LIMIT_S):
                await items.aclose()


def not_permitted(error: PermissionError) -> NoReturn:
    """End the command for want of a right."""
    where = f" to {error.filename}" if error.filename else ""
    fail(f"no permission{where}: {error.strerror or error}", "run as root or as the gateway's user", Exit.DENIED)


def _meant(name: str, known: tuple[str, ...] | list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(known) or 'none'}"
