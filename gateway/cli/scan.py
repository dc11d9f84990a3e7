"""``tidegate scan``: search for devices. One subcommand for each driver that can, made from its own options."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import click

from gateway.cli.drivers import close, driver, installed, not_permitted, say_failed, site_for
from gateway.cli.generated import options_of, validated
from gateway.cli.output import Exit, config_option, emit_json, fail, json_option, note, table
from gateway.cli.stream import Stream
from gateway.driver import DriverKind, Finding, LinkDown, Progress, Scan, ScanFailed, Site

_TABLE = re.compile(r"^(?=\[\[(?:link|device|template)\]\])", re.MULTILINE)


class _Scans(click.Group):
    """A command for each driver that can search. Drivers are imported only to list them, or the one that is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [kind.name for kind in _able()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        kind = driver(cmd_name)
        if kind.scan is None:
            _refuse(kind)
        return _command(kind, kind.scan)


@click.group(cls=_Scans, invoke_without_command=True, subcommand_metavar="[DRIVER [OPTIONS]]")
@json_option
@click.pass_context
def scan(ctx: click.Context, as_json: bool) -> None:
    """Search for devices in a DRIVER's way. Without one: list the drivers that can.

    Read-only, and needs no configuration. What is found comes at once; Ctrl-C ends the search.
    """
    if ctx.invoked_subcommand is not None:
        return
    rows = [(kind.name, kind.scan.summary) for kind in _able() if kind.scan]
    if as_json:
        emit_json([{"driver": name, "summary": summary} for name, summary in rows])
    elif rows:
        table(["driver", "search"], rows)
        note("  → tidegate scan DRIVER --help")
    else:
        note("no driver can search")


def _able() -> Iterable[DriverKind]:
    return (kind for kind in installed() if kind.scan is not None)


def _refuse(kind: DriverKind) -> NoReturn:
    able = ", ".join(each.name for each in _able()) or "none"
    fail(f"the driver {kind.name!r} can't search for devices", f"drivers that can: {able}", Exit.USAGE)


def _command(kind: DriverKind, power: Scan) -> click.Command:
    @click.pass_context
    def run(ctx: click.Context, /, config_path: Path, as_json: bool, as_toml: bool, **given: Any) -> None:
        if as_json and as_toml:
            raise click.UsageError("--json and --toml are two forms: choose one")
        options = validated(power.options, own, given)
        site = site_for(ctx, config_path, kind)
        _search(power, options, site, _Found(as_json=as_json, as_toml=as_toml))

    common = click.option("--toml", "as_toml", is_flag=True, help="Print the configuration of what was found.")
    command = click.command(kind.name, help=power.summary)(config_option(json_option(common(run))))
    taken = {name for param in command.params for name in param.opts} | {"--help"}
    own = options_of(power.options, taken, kind.name)
    command.params[:0] = own
    return command


class _Found:
    """What was found so far, and how it is shown."""

    def __init__(self, *, as_json: bool, as_toml: bool) -> None:
        self.stream = Stream()
        self.count = 0
        self.configurable = False
        self._as_json = as_json
        self._as_toml = as_toml
        self._tables: set[str] = set()

    def add(self, finding: Finding) -> None:
        self.count += 1
        self.configurable = self.configurable or bool(finding.config)
        if self._as_json:
            self.stream.body({"row": finding.row, "config": finding.config})
        elif self._as_toml:
            for text in self._new_tables(finding.config):
                self.stream.text(text + "\n")
        else:
            self.stream.row(list(finding.row), list(finding.row.values()))

    def _new_tables(self, config: str) -> Sequence[str]:
        """What wasn't printed yet: devices that share a link each come with it."""
        new = [text for part in _TABLE.split(config) if (text := part.strip()) and text not in self._tables]
        self._tables.update(new)
        return new

    def say(self, how: str) -> None:
        note(f"{how}: {self.count or 'nothing'} found")
        if self.configurable and not self._as_json and not self._as_toml:
            note("  → the configuration for it: the same command with --toml")


def _search(power: Scan, options: Any, site: Site, found: _Found) -> None:
    ended = "stopped"
    try:
        try:
            asyncio.run(_follow(power, options, site, found))
            ended = "done"
        finally:
            found.stream.end()
    except KeyboardInterrupt:
        pass
    except LinkDown as error:
        say_failed(error, "check the connection and the options: --help lists them", Exit.UNREACHABLE)
    except ScanFailed as error:
        say_failed(error, "mend it and search again; --help lists the options")
    except PermissionError as error:
        not_permitted(error)
    found.say(ended)


async def _follow(power: Scan, options: Any, site: Site, found: _Found) -> None:
    search = power.run(options, site)
    try:
        async for item in search:
            if isinstance(item, Progress):
                found.stream.progress(item.doing, item.done, item.total)
            else:
                found.add(item)
    finally:
        await close(search)
