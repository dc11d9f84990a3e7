"""The demo on a terminal: values by asset, figures on top, keys at the bottom. Fits any window from 80×24 on."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.table import Table
from rich.text import Text

from hil.demo.board import BAD_FROM, GOOD_BELOW, Asset, Cell
from hil.demo.show import Show

ACCENT, QUIET, GOOD, UNSURE, BAD, STALE = "cyan", "grey58", "green", "yellow", "red", "grey42"
_COLUMN = 39
_VALUE = 11
"""What value and unit take of a line, if they don't need more."""
_FIXED = 12
"""Icon, quality and age."""
_PAGE_S = 6.0
_HEAD_ROWS = 4
_FOOT_ROWS = 1
_BLOCKS = " ▁▂▃▄▅▆▇█"
_UNITS = {"Cel": "°C", "V.A{var}": "var", "V.A.h{var}": "varh", "V.A": "VA", "W.h": "Wh", "[pH]": "pH"}


@dataclass(slots=True)
class Pager:
    """Which page of assets is shown: turning by itself until somebody turns it."""

    page: int = 0
    pages: int = 1
    _turned: float = 0.0
    _by_hand: bool = False

    def turn(self, by: int) -> None:
        self.page += by
        self._by_hand = True

    def settle(self, pages: int, now: float) -> int:
        """The page to show of `pages`."""
        self.pages = pages
        if not self._by_hand and now - self._turned >= _PAGE_S:
            self.page += 1 if self._turned else 0
            self._turned = now
        self.page %= pages
        return self.page


class View:
    """Renders a show as it is now. Needs nothing but the console's size."""

    def __init__(self, show: Show) -> None:
        self._show = show
        self.pager = Pager()
        self.notice: str | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = console.size
        rows = max(3, height - _HEAD_ROWS - _FOOT_ROWS)
        columns = max(1, (width + 1) // (_COLUMN + 1))
        pages = _paginate(self._show.board.assets, rows, columns)
        page = self.pager.settle(len(pages), time.monotonic())
        yield Group(*self._head(width), self._body(pages[page], rows, columns, width), self._foot(width))

    # -- head --------------------------------------------------------------------------------------------------------

    def _head(self, width: int) -> list[Text]:
        show, figures = self._show, self._show.figures
        title = Text(no_wrap=True)
        title.append(" TIDEGATE ", f"bold black on {ACCENT}")
        title.append("  bottling plant, simulated", "bold")
        right = Text(no_wrap=True)
        right.append_text(_lamp("plant", True))
        right.append_text(_lamp("gateway", figures.status is not None))
        right.append_text(_lamp("broker", show.broker_running and figures.connected, waiting=show.outage is not None))
        right.append(f"  {_clock(show.elapsed_s)} ", QUIET)
        verdict = show.proof()
        reached, tags = show.board.reached, show.board.tags
        if not verdict.messages:
            ledger = ("… waiting", QUIET)
        elif show.outage is not None:
            ledger = ("… behind" if show.broker_running else "… held", UNSURE)
        else:
            ledger = ("✓ no gap", GOOD) if verdict.passed else ("✗ broken", BAD)
        figure_line = _spread(
            [
                _figure("tags", f"{reached}/{tags}", GOOD if reached == tags else UNSURE),
                _figure("in", f"{figures.rate_in:.0f}/s", "bold"),
                _figure("out", f"{figures.rate_out:.0f}/s", "bold"),
                _figure("journal", _grouped(figures.held), UNSURE if figures.held > 1000 else "bold"),
                _figure("p50", _ms(figures.p50_ms), "bold"),
                _figure("p99", _ms(figures.p99_ms), "bold"),
                _figure("ledger", *ledger),
            ],
            width,
        )
        return [
            _ends(title, right, width),
            figure_line,
            self._spark(width),
            self._news(width),
        ]

    def _spark(self, width: int) -> Text:
        half = (width - 22) // 2
        figures = self._show.figures
        line = Text(" out ", QUIET, no_wrap=True)
        line.append(_sparkline(list(figures.rates)[-half:], half), ACCENT)
        line.append("  journal ", QUIET)
        line.append(_sparkline(list(figures.depths)[-half:], half), UNSURE)
        return line

    def _news(self, width: int) -> Text:
        """What is going on, in one sentence. An outage isn't red: that is what the journal is for."""
        show, held = self._show, _grouped(self._show.figures.held)
        outage = show.outage
        if self.notice is not None:
            text, style = self.notice, f"bold {UNSURE}"
        elif outage is not None and outage.back is None:
            left = max(0.0, outage.ends - time.monotonic())
            text, style = (
                f"Broker stopped. Buffering: {held} values held; it is back in {left:.0f} s.",
                f"bold {UNSURE}",
            )
        elif outage is not None:
            done = _grouped(outage.backfilled)
            text, style = f"Broker is back. Catching up beside live values: {done} backfilled.", f"bold {ACCENT}"
        elif show.outages:
            last = show.outages[-1]
            took = (last.caught_up or 0.0) - (last.back or 0.0)
            done = _grouped(last.backfilled)
            text = f"Outage over: {done} values backfilled within {took:.1f} s of the broker's return."
            style = GOOD
        elif show.figures.status is None:
            text, style = "Starting: plant → gateway → broker → this subscriber.", QUIET
        else:
            page = show.page.sentence
            port = show.broker_address.rpartition(":")[2]
            text = f"{page or f'Live from {len(show.board.assets)} devices'} · MQTT port {port}"
            # As long as nobody has claimed it, this is the line to be seen.
            style = f"bold {ACCENT}" if page is not None and show.page.claim_code is not None else QUIET
        line = Text("── ", STALE, no_wrap=True)
        line.append(text, style)
        line.truncate(width, overflow="ellipsis")
        line.append(f" {'─' * max(0, width - line.cell_len - 1)}", STALE)
        return line

    # -- body --------------------------------------------------------------------------------------------------------

    def _body(self, page: Sequence[_Line], rows: int, columns: int, width: int) -> Table:
        each = (width - (columns - 1)) // columns
        now_ms = time.time() * 1000.0
        lines = [_heading(line, each) if isinstance(line, Asset) else _row(line, each, now_ms) for line in page]
        lines += [Text("")] * (rows * columns - len(lines))
        grid = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
        for _ in range(columns):
            grid.add_column(width=each, no_wrap=True)
        for row in range(rows):
            grid.add_row(*(lines[column * rows + row] for column in range(columns)))
        return grid

    # -- foot --------------------------------------------------------------------------------------------------------

    def _foot(self, width: int) -> Text:
        keys = Text(" ", no_wrap=True)
        for key, what in (("b", "stop the broker for 20 s"), ("← →", "page"), ("q", "quit")):
            keys.append(f" {key} ", f"bold black on {QUIET}")
            keys.append(f" {what}   ", QUIET)
        dots = Text(no_wrap=True)
        if self.pager.pages > 1:
            for page in range(self.pager.pages):
                dots.append("● " if page == self.pager.page else "○ ", ACCENT if page == self.pager.page else STALE)
        return _ends(keys, dots, width)


_Line = Asset | Cell | None


def _paginate(assets: Sequence[Asset], rows: int, columns: int) -> list[list[_Line]]:
    """Lines of every page, column by column. Assets stay together where that takes no more pages."""
    size = rows * columns
    dense, loose = _flow(assets, rows, together=False), _flow(assets, rows, together=True)
    flow = loose if -(-len(loose) // size) == -(-len(dense) // size) else dense
    return [flow[at : at + size] for at in range(0, len(flow), size)]


def _flow(assets: Sequence[Asset], rows: int, *, together: bool) -> list[_Line]:
    """Every asset's name and tags in one long column of which `rows` fit side by side; each starts with a name."""
    flow: list[_Line] = []
    for asset in assets:
        room = rows - len(flow) % rows
        size = len(asset.cells) + 1
        if room < 3 or (together and room < size <= rows):
            flow += [None] * room
        flow.append(asset)
        for cell in asset.cells:
            if len(flow) % rows == 0:
                flow.append(asset)
            flow.append(cell)
    return flow


def _heading(asset: Asset, width: int) -> Text:
    line = Text(asset.name, f"bold {ACCENT}", no_wrap=True)
    line.append(f"  {asset.area}", QUIET)
    states = {"normal": ("✓ normal", GOOD), "": ("… waiting", QUIET)}
    state, style = states.get(asset.state, (f"! {asset.state.replace('_', ' ')}", UNSURE))
    return _ends(line, Text(state, style), width)


def _row(cell: _Line, width: int, now_ms: float) -> Text:
    if not isinstance(cell, Cell):
        return Text("")
    icon, word, style = _quality(cell)
    stale = cell.known and cell.stale(now_ms)
    room = width - _FIXED
    value = _value(cell, room - 1)
    path = _short(cell.path, room - max(len(value), _VALUE) - 1)
    number, _, unit = value.partition("\u00a0")
    line = Text(no_wrap=True)
    line.append(f"{icon} ", STALE if stale else style)
    line.append(path, STALE if stale else "")
    line.append(" " * (room - len(path) - len(value)))
    line.append(number, STALE if stale else "bold" if style == GOOD else style)
    line.append(f" {unit}" if unit else "", STALE if stale else QUIET)
    line.append(f" {word:<4}", STALE if stale else style)
    line.append(_age(cell, now_ms).rjust(5), UNSURE if stale else STALE)
    return line


def _quality(cell: Cell) -> tuple[str, str, str]:
    if not cell.known:
        return "·", "wait", QUIET
    if cell.quality < GOOD_BELOW:
        return "✓", "good", GOOD
    return ("✗", "bad", BAD) if cell.quality >= BAD_FROM else ("~", "unsr", UNSURE)


def _value(cell: Cell, room: int) -> str:
    """Value and unit with a no-break space between them, in at most `room` characters."""
    unit = _UNITS.get(cell.unit or "", cell.unit or "")
    tail = f"\u00a0{unit}" if unit else ""
    text = _said(cell.value, _VALUE - len(tail))
    room -= len(tail)
    return (text if len(text) <= room else f"{text[: room - 1]}…") + tail


def _said(value: Any, room: int) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        size = abs(value)
        return f"{value:.0f}" if size >= 10_000 else f"{value:.1f}" if size >= 100 else f"{value:.2f}"
    grouped = _grouped(value) if isinstance(value, int) else str(value)
    return grouped if len(grouped) <= room else str(value)


def _age(cell: Cell, now_ms: float) -> str:
    if not cell.known:
        return ""
    age = cell.age_s(now_ms)
    return f"{age:.1f}s" if age < 10 else f"{age:.0f}s" if age < 600 else f"{age / 60:.0f}m"


def _short(path: str, width: int) -> str:
    """A path in `width` characters; its end says more than its beginning: ``tempe…/setpoint``."""
    if len(path) <= width or width < 2:
        return path[: max(0, width)]
    tail = path[path.rindex("/") :] if "/" in path else path
    head = width - len(tail) - 1
    return f"{path[:head]}…{tail}" if head > 0 else f"…{path[len(path) - width + 1 :]}"


def _lamp(name: str, on: bool, *, waiting: bool = False) -> Text:
    lamp = Text("  ")
    lamp.append("● " if on else "○ ", GOOD if on else UNSURE if waiting else QUIET)
    lamp.append(name, "" if on else UNSURE if waiting else QUIET)
    return lamp


def _figure(name: str, value: str, style: str) -> Text:
    return Text(f"{name} ", QUIET, no_wrap=True).append(value, style)


def _spread(parts: Sequence[Text], width: int) -> Text:
    """The parts in one line, with even space between."""
    used = sum(part.cell_len for part in parts) + 2
    gap = max(1, (width - used) // (len(parts) - 1))
    return Text(" ", no_wrap=True).append_text(Text(" " * gap).join(parts))


def _ends(left: Text, right: Text, width: int) -> Text:
    gap = max(1, width - left.cell_len - right.cell_len)
    line = left.copy()
    line.append(" " * gap)
    line.append_text(right)
    line.no_wrap = True
    line.truncate(width)
    return line


def _sparkline(numbers: Sequence[float], width: int) -> str:
    top = max(numbers, default=0.0)
    blocks = (_BLOCKS[round(number / top * 8)] if top > 0 else _BLOCKS[0] for number in numbers)
    return "".join(blocks).rjust(width)


def _grouped(number: int) -> str:
    """Thousands apart by a narrow space: 9 412 664."""
    return f"{number:,}".replace(",", "\u202f")


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms" if value < 100 else f"{value:.0f} ms"


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"
