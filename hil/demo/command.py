"""``tidegate demo``: a whole simulated plant, broker and gateway, live on the terminal."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable

import click
from rich.console import Console
from rich.live import Live

from gateway.cli.output import Exit, colourful, fail
from hil.demo.broker import BrokerMissing
from hil.demo.child import ChildFailed
from hil.demo.keys import Keys
from hil.demo.show import OUTAGE_S, Show
from hil.demo.summary import summary
from hil.demo.view import View

_FRAME_S = 0.25
_SWITCH_S = 0.0005
"""Drawing a frame takes tens of ms; the subscriber's thread, which measures latency, mustn't wait for it."""
_LINE_S = 2.0
_OUTAGE_AT_S = 5.0
_SHORTEST_WITH_OUTAGE_S = _OUTAGE_AT_S + OUTAGE_S + 5.0


@click.command()
@click.option(
    "--seconds",
    type=click.FloatRange(min=5),
    envvar="DEMO_SECONDS",
    show_envvar=True,
    help="End by itself after so long. Default: at q or Ctrl-C.",
)
@click.option("--outage", is_flag=True, help="Stop the broker for 20 s, to see buffering and catching up.")
@click.option("--plain", is_flag=True, help="Print lines instead of a live view; the default without a terminal.")
@click.option(
    "--granularity",
    type=click.Choice(["tag", "asset"]),
    default="tag",
    show_default=True,
    help="One topic for each tag, or one message for each poll.",
)
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same plant.")
def demo(seconds: float | None, outage: bool, plain: bool, granularity: str, seed: int) -> None:
    """Run a simulated bottling plant, a broker, the gateway and its page, and watch every value arrive.

    Keys: b stops the broker for 20 s, q quits. Exit code 0 only if every tag reached the broker and nothing is missing.
    """
    if outage and seconds is not None and seconds < _SHORTEST_WITH_OUTAGE_S:
        raise click.UsageError(f"--outage needs --seconds of at least {_SHORTEST_WITH_OUTAGE_S:.0f}, or none at all.")
    stop, hurry = threading.Event(), threading.Event()

    def on_signal(*_: object) -> None:
        (hurry if stop.is_set() else stop).set()

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    sys.setswitchinterval(_SWITCH_S)
    live = not plain and sys.stdout.isatty()
    console = Console(no_color=not colourful(sys.stdout), highlight=False)
    try:
        with Show(granularity, seed) as show:
            run = _run_live if live else _run_plain
            run(show, console, _Script(show, seconds, outage), stop, hurry)
    except BrokerMissing:
        fail(
            "the demo needs an MQTT broker and mosquitto isn't installed",
            "sudo apt-get install mosquitto, or: make demo",
        )
    except ChildFailed as error:
        fail(str(error), "run it again with --plain; if it happens again, please report it with these lines")
    except OSError as error:
        fail(f"the demo can't start: {error}", "check that the temporary directory is writable and the loopback is up")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    text, passed = summary(show)
    console.print(text)
    sys.exit(Exit.OK if passed else Exit.FAILED)


class _Script:
    """What happens by itself and when."""

    def __init__(self, show: Show, seconds: float | None, outage: bool) -> None:
        self._show = show
        self._seconds = seconds
        self._outage = outage

    def play(self) -> bool:
        """Do what is due; False when the show is over."""
        elapsed = self._show.elapsed_s
        if self._outage and elapsed >= _OUTAGE_AT_S:
            self._outage = False
            self._show.stop_broker()
        return self._seconds is None or elapsed < self._seconds


def _run_live(show: Show, console: Console, script: _Script, stop: threading.Event, hurry: threading.Event) -> None:
    view = View(show)
    actions: dict[str, Callable[[], None]] = {
        "b": show.stop_broker,
        "q": stop.set,
        "left": lambda: view.pager.turn(-1),
        "right": lambda: view.pager.turn(1),
        " ": lambda: view.pager.turn(1),
    }
    with Keys() as keys, Live(view, console=console, screen=True, auto_refresh=False) as live:
        while not stop.is_set() and script.play():
            show.tick()
            live.refresh()
            pressed = keys.wait(_FRAME_S)
            if pressed in actions:
                actions[pressed]()
        stop.set()
        view.notice = "Ending: what is under way arrives, then the gateway stops. Ctrl-C ends at once."
        live.refresh()
        show.finish(hurry, live.refresh)


def _run_plain(show: Show, console: Console, script: _Script, stop: threading.Event, hurry: threading.Event) -> None:
    due, said = 0.0, None
    while not stop.is_set() and script.play():
        show.tick()
        if show.page.sentence not in (None, said) and show.page.claim_code is not None:
            said = show.page.sentence
            console.print(f"\n{_invitation(show, said)}\n", soft_wrap=True)
        if show.elapsed_s >= due:
            due = show.elapsed_s + _LINE_S
            console.print(_line(show), soft_wrap=True)
        stop.wait(_FRAME_S)
    stop.set()
    show.finish(hurry)


def _invitation(show: Show, page: str) -> str:
    """What to open, and how to look from outside."""
    port = show.broker_address.rpartition(":")[2]
    return (
        f"Page {page}\n"
        "     The browser warns once: the certificate was made just now, on this machine.\n"
        f"MQTT mosquitto_sub -p {port} -V 5 -t 'uns/v1/#' -v"
    )


def _line(show: Show) -> str:
    figures, outage = show.figures, show.outage
    latency = f"p50 {figures.p50_ms} ms  p99 {figures.p99_ms} ms" if figures.p50_ms is not None else "p50 –  p99 –"
    broker = "up" if outage is None else "back, catching up" if outage.back is not None else "stopped"
    return (
        f"{show.elapsed_s:6.1f} s  tags {show.board.reached}/{show.board.tags}  in {figures.rate_in:.0f}/s  "
        f"out {figures.rate_out:.0f}/s  journal {figures.held}  {latency}  broker {broker}"
    )
