"""``python -m hil.ledger_check``: watch a broker for a while, then say whether the gateway's account is true."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import click
import orjson

from hil.ledger_check.checker import Checker, Verdict
from hil.ledger_check.subscriber import Broker, Subscriber

PASSWORD = "LEDGER_CHECK_PASSWORD"
_UNREACHABLE = 4
_POLL_S = 0.2


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The broker.")
@click.option("--port", default=1883, show_default=True, help="Its port.")
@click.option("--username", help=f"User name; the password is read from ${PASSWORD}.")
@click.option("--ca", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="CA certificates: use TLS.")
@click.option("--root", default="uns", show_default=True, help="First level of the topics.")
@click.option("--for", "seconds", type=click.FloatRange(min=0, min_open=True), help="How long; default: until Ctrl-C.")
@click.option("--window", default=100, show_default=True, help="Publishes the gateway may have in flight.")
@click.option("--from-start", is_flag=True, help="The gateway starts after this: not one value may be missing.")
@click.option("--session", metavar="ID", help="Client id of a session the broker keeps while disconnected.")
@click.option("--settle", "settle_s", default=15.0, show_default=True, help="Seconds to wait for what is on its way.")
@click.option("--json", "as_json", is_flag=True, help="Print the verdict as JSON.")
def main(
    host: str,
    port: int,
    username: str | None,
    ca: Path | None,
    root: str,
    seconds: float | None,
    window: int,
    from_start: bool,
    session: str | None,
    settle_s: float,
    as_json: bool,
) -> None:
    """Prove from outside that a gateway loses, repeats and reorders nothing.

    Exit code 0: nothing found; 1: something is wrong; 4: the broker can't be reached.
    """
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    checker = Checker(root, window, from_start=from_start)
    broker = Broker(host, port, username, os.environ.get(PASSWORD), ca)
    subscriber = Subscriber(broker, checker, root=root, session=session)
    try:
        with subscriber:
            subscriber.ready.wait(10)
            if subscriber.refusal is not None:
                _fail(f"{subscriber.refusal}; check --username and the broker's access rules")
            click.echo(f"watching {root}/v1/# at {host}:{port}", err=True)
            stop.wait(seconds)
            subscriber.audit_retained()
            verdict = settle(subscriber, checker, settle_s)
    except OSError as error:
        _fail(f"no broker answers at {host}:{port} ({error}); check --host and --port")
    if as_json:
        click.echo(orjson.dumps(verdict.to_json(), option=orjson.OPT_INDENT_2).decode())
    else:
        _print(verdict)
    sys.exit(0 if verdict.passed else 1)


def settle(subscriber: Subscriber, checker: Checker, seconds: float) -> Verdict:
    """As soon as nothing is missing; after `seconds` whatever there is to say."""
    pause = threading.Event()
    end = time.monotonic() + seconds
    while True:
        with subscriber.lock:
            if checker.settled or time.monotonic() >= end:
                return checker.verdict()
        pause.wait(_POLL_S)


def _print(verdict: Verdict) -> None:
    click.echo(
        f"{'PASS' if verdict.passed else 'FAIL'}  {verdict.values} values of {verdict.sources} sources in "
        f"{verdict.messages} messages; {verdict.backfilled} backfilled, {verdict.repeated} repeated, "
        f"{verdict.missing} missing, {verdict.dropped} dropped"
    )
    for sentence in (*verdict.reasons, *verdict.notes):
        click.echo(f"  {sentence}")


def _fail(message: str) -> None:
    click.echo(f"ledger_check: {message}", err=True)
    sys.exit(_UNREACHABLE)


if __name__ == "__main__":
    main()
