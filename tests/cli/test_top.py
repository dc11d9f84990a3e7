"""`tidegate top` shows what the stream adds up to."""

from __future__ import annotations

from rich.console import Console

from gateway.cli.top import Board, _drawn
from gateway.control.client import ServerEvent

GROUPS = [{"device": "filler"}, {"device": "meter"}]


def snapshot() -> Board:
    board = Board()
    board.take(
        ServerEvent(
            "snapshot",
            {
                "t": 10_000,
                "groups": GROUPS,
                "tags": {"path": ["speed", "on", "energy"], "unit": ["1/min", None, "kW.h"], "group": [0, 0, 1]},
                "i": [0, 1, 2],
                "v": [71.5, True, None],
                "q": [0, 0, 0x800A0000],
                "a": [None, None, -1],
                "g": [0],
                "ga": [400],
                "names": {"0": "Good", str(0x800A0000): "BadTimeout"},
            },
            "1-1",
        )
    )
    return board


def text(board: Board, errors: bool = False, lines: int | None = None) -> list[str]:
    console = Console(width=100, no_color=True, highlight=False)
    with console.capture() as captured:
        console.print(_drawn(board, errors, lines))
    return [" ".join(line.split()) for line in captured.get().splitlines()]


def test_the_worst_comes_first_and_everything_has_its_age() -> None:
    assert text(snapshot()) == [
        "2 good, 1 bad",
        "tag value unit quality age",
        "meter/energy – kW.h ✖ BadTimeout never",
        "filler/speed 71.5 1/min ● Good 400 ms",
        "filler/on true ● Good 400 ms",
    ]


def test_a_tick_changes_what_it_says_and_ages_the_rest() -> None:
    board = snapshot()
    board.take(ServerEvent("tick", {"t": 75_000, "i": [2], "v": ["9007199254740993"], "g": [1], "ga": [100]}, "1-2"))
    assert text(board)[1:] == [
        "tag value unit quality age",
        "filler/speed 71.5 1/min ● Good 65 s",
        "filler/on true ● Good 65 s",
        "meter/energy 9007199254740993 kW.h ● Good 100 ms",
    ]


def test_what_doesnt_fit_is_counted() -> None:
    assert text(snapshot(), lines=1)[0] == "2 good, 1 bad; 2 more, narrow them down with a pattern or --errors"
    assert len(text(snapshot(), errors=True)) == 3
