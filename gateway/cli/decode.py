"""``tidegate decode``: every way to understand what stands at an address, once or live."""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from gateway.cli.drivers import ask, link_of
from gateway.cli.loading import load_or_exit
from gateway.cli.output import Exit, colourful, config_option, emit_json, emit_line, fail, json_option, printable, table
from gateway.diagnostics.plausible import is_plausible
from gateway.driver import Browses, Bus, Decodes, Decoding, DeviceSilent
from gateway.model import DataType
from gateway.southbound.link import CALL_LIMIT_S
from gateway.southbound.probe import bounded, connected, opened

if TYPE_CHECKING:
    from rich.table import Table

_NOTHING = "–"
_MARK = "*"
_FLOAT32 = struct.Struct("<f")


@click.command()
@click.argument("device")
@click.argument("address")
@config_option
@click.option("--live", is_flag=True, help="Read again and again, and show what changes. Ends with Ctrl-C.")
@click.option(
    "--interval",
    "interval_s",
    type=click.FloatRange(min=0.1, max=3600),
    default=1.0,
    show_default=True,
    help="Of --live: seconds between two reads.",
)
@json_option
def decode(device: str, address: str, config_path: Path, live: bool, interval_s: float, as_json: bool) -> None:
    """Read ADDRESS of DEVICE and its neighbours, and show the bytes as every type, in every order.

    A * marks what somebody may have meant. Read-only. The device needs no tags in the configuration yet.
    A device that allows one connection only is busy while the gateway runs.
    """
    link = link_of(load_or_exit(config_path, check_secrets=False, unfinished=True), device)
    bus, driver = opened(link, device)
    if not isinstance(driver, Decodes):
        mend = f"its values have types: tidegate browse {device}" if isinstance(driver, Browses) else None
        fail(f"the driver {link.kind.name!r} of {device!r} has nothing to decode", mend, Exit.USAGE)
    if not live:
        _show(ask(link, device, _once(bus, driver, address)), as_json=as_json)
        return
    watch = _watch if sys.stdout.isatty() and not as_json else _emit
    try:
        ask(link, device, watch(bus, driver, address, interval_s))
    except KeyboardInterrupt:
        return


async def _once(bus: Bus, driver: Decodes, address: str) -> Sequence[Decoding]:
    async with connected(bus):
        return await _read(driver, address)


async def _read(driver: Decodes, address: str) -> Sequence[Decoding]:
    async with bounded(DeviceSilent(f"reading {address} took longer than {CALL_LIMIT_S:g} s")):
        return await driver.decode(address)


async def _emit(bus: Bus, driver: Decodes, address: str, interval_s: float) -> None:
    """A line of JSON for each read."""
    async with connected(bus):
        while True:
            line: dict[str, Any] = {"timestamp_ms": time.time_ns() // 1_000_000}
            try:
                line["decodings"] = _bodies(await _read(driver, address))
            except DeviceSilent as error:
                line["error"] = str(error)
            emit_line(line)
            await asyncio.sleep(interval_s)


async def _watch(bus: Bus, driver: Decodes, address: str, interval_s: float) -> None:
    """One table, drawn anew in its place."""
    from rich.console import Console
    from rich.live import Live

    before: Matrix | None = None
    console = Console(no_color=not colourful(sys.stdout))
    async with connected(bus):
        with Live(console=console, auto_refresh=False) as screen:
            while True:
                try:
                    now = Matrix.of(await _read(driver, address))
                except DeviceSilent as error:
                    if before is None:
                        raise
                    screen.update(_view(before, before, str(error)), refresh=True)
                else:
                    screen.update(_view(now, before or now, time.strftime("%H:%M:%S")), refresh=True)
                    before = now
                await asyncio.sleep(interval_s)


class Matrix(NamedTuple):
    """Types and orders down, addresses across."""

    addresses: list[str]
    rows: list[tuple[DataType, str]]
    cells: dict[tuple[str, DataType, str], Decoding]

    @classmethod
    def of(cls, decodings: Sequence[Decoding]) -> Matrix:
        return cls(
            list(dict.fromkeys(each.address for each in decodings)),
            list(dict.fromkeys((each.type, each.order) for each in decodings)),
            {(each.address, each.type, each.order): each for each in decodings},
        )

    @property
    def headings(self) -> list[str]:
        return ["type", "order", *map(printable, self.addresses)]

    @property
    def raw(self) -> list[str]:
        """The bytes themselves, the most that were read at each address."""
        longest = dict.fromkeys(self.addresses, b"")
        for each in self.cells.values():
            longest[each.address] = max(longest[each.address], each.raw, key=len)
        return ["bytes", "", *(raw.hex(" ", 2) for raw in longest.values())]

    def line(self, row: tuple[DataType, str]) -> list[Decoding | None]:
        return [self.cells.get((address, *row)) for address in self.addresses]


def _text(decoding: Decoding | None) -> str:
    if decoding is None:
        return ""
    if decoding.value is None:
        return _NOTHING
    value = decoding.value
    text = _shortest(value) if decoding.type is DataType.FLOAT32 and isinstance(value, float) else printable(value)
    return f"{text} {_MARK}" if is_plausible(decoding) else text


def _shortest(value: float) -> str:
    """The fewest digits that are this float32 and no other; 9 always are."""
    texts = (f"{value:.{digits}g}" for digits in range(6, 10))
    return next((text for text in texts if _FLOAT32.pack(float(text)) == _FLOAT32.pack(value)), repr(value))


def _show(decodings: Sequence[Decoding], *, as_json: bool) -> None:
    matrix = Matrix.of(decodings)
    if as_json:
        emit_json(_bodies(decodings))
    elif sys.stdout.isatty():
        from rich.console import Console

        Console(no_color=not colourful(sys.stdout)).print(_view(matrix, matrix, None))
    else:
        rows = ([kind, order, *map(_text, matrix.line((kind, order)))] for kind, order in matrix.rows)
        table(matrix.headings, [matrix.raw, *rows])


def _view(matrix: Matrix, before: Matrix, caption: str | None) -> Table:
    """For a terminal: what is plausible in bold, what has changed reversed."""
    from rich.table import Table
    from rich.text import Text

    view = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, caption=caption, caption_justify="left")
    for heading in matrix.headings:
        view.add_column(Text(heading), no_wrap=True)
    view.add_row(*(Text(cell, "dim") for cell in matrix.raw))
    for row in matrix.rows:
        cells = []
        for decoding in matrix.line(row):
            last = decoding and before.cells.get((decoding.address, *row))
            changed = decoding is not None and last is not None and decoding.raw != last.raw
            bold = decoding is not None and is_plausible(decoding)
            cells.append(Text(_text(decoding), " ".join(["bold"] * bold + ["reverse"] * changed)))
        view.add_row(row[0], printable(row[1]), *cells)
    return view


def _bodies(decodings: Sequence[Decoding]) -> list[dict[str, Any]]:
    return [
        {
            "address": each.address,
            "type": each.type,
            "order": each.order,
            "raw": each.raw.hex(),
            "value": each.value,
            "plausible": is_plausible(each),
        }
        for each in decodings
    ]
