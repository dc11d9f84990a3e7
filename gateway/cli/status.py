"""``tidegate status``: how the running gateway is doing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import config_option, emit_json, json_option, table
from gateway.durations import duration
from gateway.model import Quality, quality_name

_WAITING = quality_name(Quality.BAD_WAITING_FOR_INITIAL_DATA)


@click.command()
@config_option
@socket_option
@json_option
def status(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Show links, devices, journal, sinks and the ledger of the running gateway."""
    with answering():
        body = client_for(config_path, socket).status()
    if as_json:
        emit_json(body)
    else:
        _print(body)


def _print(body: dict[str, Any]) -> None:
    gateway = body["gateway"]
    clock = "trusted" if gateway["clock_trusted"] else "not trusted"
    click.echo(
        f"{gateway['id']}  version {gateway['version']}  boot {gateway['boot']}"
        f"  up {duration(gateway['uptime_s'])}  clock {clock}\n"
    )
    table(["device", "link", "state", "polls", "late", "missed", "good", "bad", "read p99", "detail"], _devices(body))
    subscriptions = list(_subscriptions(body))
    if subscriptions:
        click.echo()
        table(["device", "subscribed group", "state", "heard", "good", "bad", "stale", "lost", "detail"], subscriptions)
    click.echo()
    table(["sink", "broker", "state", "in flight", "messages", "values", "refused", "ack p99", "detail"], _sinks(body))
    click.echo()
    table(["journal", ""], _journal(body["journal"]))
    click.echo()
    table(["sink", "device", "boot", "first", "last", "delivered", "pending", "refused", "dropped"], _ledger(body))


def _devices(body: dict[str, Any]) -> Iterator[list[object]]:
    for link_name, link in body["southbound"]["links"].items():
        for name, device in link["devices"].items():
            groups = device["groups"].values()
            slowest = max((group["read_ms"]["p99"] or 0.0 for group in groups), default=0.0)
            counts = [sum(group[key] for group in groups) for key in ("polls", "late", "missed", "good", "bad")]
            detail = device["detail"] or link["detail"] or _bad_tags(groups)
            yield [name, link_name, device["state"], *counts, f"{slowest:.1f} ms", detail]


def _subscriptions(body: dict[str, Any]) -> Iterator[list[object]]:
    for link in body["southbound"]["links"].values():
        for name, device in link["devices"].items():
            for group_name, group in device["groups"].items():
                told = group["subscription"]
                if told is None:
                    continue
                age_s = told["last_heard_age_s"]
                heard = "never" if age_s is None else f"{duration(age_s)} ago"
                state = "standing" if told["standing"] else "ended"
                stale = f"{told['stale']} of {group['tags']}"
                detail = told["lost_reason"] or _bad_tags([group])
                yield [name, group_name, state, heard, group["good"], group["bad"], stale, told["lost"], detail]


def _bad_tags(groups: Iterable[dict[str, Any]]) -> str:
    """The first few tags that are bad though their device answers; last those that only wait for a first value."""
    found = [bad for group in groups for bad in group["bad_tags"].items()]
    found.sort(key=lambda bad: bad[1] == _WAITING)
    bad = [f"{path} {quality}" for path, quality in found]
    return ", ".join([*bad[:3], "…"] if len(bad) > 3 else bad)


def _sinks(body: dict[str, Any]) -> Iterator[list[object]]:
    for name, sink in body["sinks"].items():
        state = "connected" if sink["connected"] else "buffering"
        p99 = "" if sink["latency_p99_ms"] is None else f"{sink['latency_p99_ms']:.1f} ms"
        counts = [sink[key] for key in ("in_flight", "messages", "values", "refused")]
        yield [name, sink["broker"], state, *counts, p99, "" if sink["connected"] else sink["last_error"] or ""]


def _journal(journal: dict[str, Any]) -> Iterator[list[object]]:
    for key, value in journal.items():
        if not isinstance(value, dict):
            yield [key.replace("_", " "), "–" if value is None else value]


def _ledger(body: dict[str, Any]) -> Iterator[list[object]]:
    for sink, ledger in body["ledger"].items():
        for source, entry in ledger["sources"].items():
            for boot, numbers in entry["boots"].items():
                dropped = sum(gap["last"] - gap["first"] + 1 for gap in numbers["dropped"])
                counts = [numbers[key] for key in ("first", "last", "delivered", "pending", "refused")]
                yield [sink, source, boot, *counts, dropped]
