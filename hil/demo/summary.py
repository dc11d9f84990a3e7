"""What the demo says at its end, and whether it was a success."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hil.demo.show import Outage, Show

_SHOWN = 5


def summary(show: Show) -> tuple[RenderableType, bool]:
    """The text, and True only if every tag reached the broker and the ledger checker found nothing. After `finish`."""
    board, verdict = show.board, show.verdict
    assert verdict is not None, "the show isn't finished"
    totals, missing = board.totals, board.missing()
    passed = verdict.passed and not missing
    head = Text(f"\nTidegate demo, {show.elapsed_s:.0f} s: ", "bold")
    head.append("passed" if passed else "failed", "bold green" if passed else "bold red")
    lines = Table.grid(padding=(0, 1))
    _line(lines, "tags", f"{board.reached} of {board.tags} reached the broker", not missing)
    if missing:
        more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
        _line(lines, "", f"never came: {', '.join(missing[:_SHOWN])}{more}")
    rate = totals.values / show.elapsed_s
    values = f"{totals.values} in {totals.messages} messages, {rate:.0f} a second, {totals.backfilled} backfilled"
    _line(lines, "values", values)
    p50, p99 = totals.latency.percentile(0.5), totals.latency.percentile(0.99)
    if p50 is not None:
        _line(lines, "latency", f"p50 {p50} ms, p99 {p99} ms from the device's answer to the subscriber")
    for outage in show.outages:
        _line(lines, "outage", _outage(outage), outage.caught_up is not None)
    _line(
        lines,
        "ledger",
        f"{verdict.missing} missing, {verdict.dropped} dropped, {verdict.repeated} repeated of {verdict.values} values "
        f"from {verdict.sources} devices, checked from outside",
        verdict.passed,
    )
    for sentence in (*verdict.reasons, *verdict.notes)[: 2 * _SHOWN]:
        _line(lines, "", sentence)
    return Group(head, lines), passed


def _outage(outage: Outage) -> str:
    down = (outage.back or outage.ends) - outage.began
    held = f"broker down {down:.1f} s, up to {outage.most_held} values held"
    if outage.back is None or outage.caught_up is None:
        return f"{held}, not all of them had arrived at the end"
    took = outage.caught_up - outage.back
    return f"{held}, {outage.backfilled} backfilled, complete {took:.1f} s after it was back"


def _line(lines: Table, name: str, words: str, good: bool | None = None) -> None:
    icon, style = {None: ("", ""), True: ("✓", "green"), False: ("✗", "red")}[good]
    lines.add_row(f" [{style}]{icon}[/]" if style else "", f"[grey58]{name}[/]", Text(words))
