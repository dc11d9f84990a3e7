"""``tidegate probe``: read one device once, without the gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gateway.cli.drivers import ask, link_of
from gateway.cli.loading import load_or_exit
from gateway.cli.output import config_option, emit_json, json_option, note, table
from gateway.model import quality_name

if TYPE_CHECKING:
    from gateway.southbound.probe import GroupProbe, Probe


@click.command()
@click.argument("device")
@config_option
@click.option("--plan", "plan_only", is_flag=True, help="Show the requests it takes, and connect to nothing.")
@json_option
def probe(device: str, config_path: Path, plan_only: bool, as_json: bool) -> None:
    """Connect to DEVICE, read each of its groups once, and show what came back.

    Needs no running gateway. A device that allows one connection only is busy while the gateway runs.
    """
    from gateway.southbound.probe import plan_of
    from gateway.southbound.probe import probe as read_once

    link = link_of(load_or_exit(config_path, check_secrets=False), device)
    if plan_only:
        plan = plan_of(link, device)
        if as_json:
            emit_json({group: list(requests) for group, requests in plan.items()})
        else:
            table(["group", "request"], [(group, line) for group, requests in plan.items() for line in requests])
        return
    result = ask(link, device, read_once(link, device))
    if as_json:
        emit_json(_as_json(result))
    else:
        _print(result)


def _rows(group: GroupProbe) -> Iterator[tuple[str, Any, Any, str, int]]:
    """(path, wire value, published value, unit, quality) of every tag."""
    published = group.published
    qualities = published.qualities or [0] * len(published.values)
    for tag, wire, value, quality in zip(
        group.layout.tags, group.wire.values, published.values, qualities, strict=True
    ):
        yield tag.path, wire, value, tag.unit or "", quality


def _print(result: Probe) -> None:
    note(f"{result.device} on {result.link} ({result.far_end}): connected in {result.connect_s * 1e3:.1f} ms")
    for group in result.groups:
        count = len(group.requests)
        note(f"{group.layout.group}: {count} request{'s' if count != 1 else ''} in {group.read_s * 1e3:.1f} ms")
        for error in group.errors:
            note(f"  {error.path}: {error.message}")
    table(
        ["group", "tag", "wire", "value", "unit", "quality"],
        (
            [group.layout.group, path, wire, "–" if value is None else value, unit, quality_name(quality)]
            for group in result.groups
            for path, wire, value, unit, quality in _rows(group)
        ),
    )


def _as_json(result: Probe) -> dict[str, Any]:
    return {
        "device": result.device,
        "link": result.link,
        "far_end": result.far_end,
        "connect_ms": round(result.connect_s * 1e3, 3),
        "groups": {
            group.layout.group: {
                "read_ms": round(group.read_s * 1e3, 3),
                "requests": list(group.requests),
                "errors": [{"path": error.path, "message": error.message} for error in group.errors],
                "tags": {
                    path: {"wire": wire, "value": value, "unit": unit, "quality": quality}
                    for path, wire, value, unit, quality in _rows(group)
                },
            }
            for group in result.groups
        },
    }
