"""``tidegate check``: every problem of a configuration at once, or what it amounts to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from gateway.cli.loading import print_problems
from gateway.cli.output import Exit, config_option, emit_json, json_option, table
from gateway.config import ConfigErrors, Problem, load
from gateway.config.plans import plan_all
from gateway.settings import GatewaySettings


@click.command()
@click.argument("config", type=click.Path(path_type=Path, readable=False), required=False)
@config_option
@json_option
@click.option(
    "--without-secrets",
    is_flag=True,
    help="Don't look for secrets, certificates and keys, for a machine that isn't the gateway.",
)
def check(config: Path | None, config_path: Path, as_json: bool, without_secrets: bool) -> None:
    """Check CONFIG and conf.d/*.toml beside it, and report every problem at once.

    CONFIG is short for --config CONFIG. Connects to nothing. Exit code 3 if there is a problem.
    """
    try:
        settings = load(config or config_path, check_secrets=not without_secrets)
    except ConfigErrors as errors:
        if as_json:
            emit_json({"valid": False, "problems": [_problem_body(problem) for problem in errors.problems]})
        else:
            print_problems(errors.problems)
        sys.exit(Exit.CONFIG)
    links = _links(settings)
    if as_json:
        emit_json({"valid": True, "problems": [], "links": links, "sinks": [sink.name for sink in settings.sinks]})
    else:
        _print(settings, links)


def _problem_body(problem: Problem) -> dict[str, Any]:
    return {
        "file": str(problem.file),
        "line": problem.line,
        "message": problem.message,
        "hint": problem.hint,
    }


def _links(settings: GatewaySettings) -> list[dict[str, Any]]:
    """What each link amounts to: devices, groups, tags, and the requests that reading them once takes."""
    bodies: dict[str, dict[str, Any]] = {
        link.name: {
            "name": link.name,
            "driver": link.kind.name,
            "to": link.kind.describe_link(link.options),
            "devices": len(link.devices),
            "groups": 0,
            "tags": 0,
            "requests": 0,
            "requests_per_s": 0.0,
            "values_per_s": 0.0,
            "continuous_groups": 0,
            "subscribed_groups": 0,
        }
        for link in settings.links
    }
    for link, _, group, plan in plan_all(settings):
        body = bodies[link.name]
        requests, tags = len(plan.describe()), len(group.poll.points)
        body["groups"] += 1
        body["tags"] += tags
        if group.poll.subscribed:
            body["subscribed_groups"] += 1
            continue
        body["requests"] += requests
        if group.poll.interval_s:
            body["requests_per_s"] += requests / group.poll.interval_s
            body["values_per_s"] += tags / group.poll.interval_s
        else:
            body["continuous_groups"] += 1
    return list(bodies.values())


def _print(settings: GatewaySettings, links: list[dict[str, Any]]) -> None:
    table(
        ("link", "driver", "to", "devices", "groups", "tags", "requests", "requests/s", "values/s"),
        (
            (
                *(body[key] for key in ("name", "driver", "to", "devices", "groups", "tags", "requests")),
                _rate(body, "requests_per_s"),
                _rate(body, "values_per_s"),
            )
            for body in links
        ),
    )
    totals = {key: sum(body[key] for body in links) for key in ("devices", "groups", "tags")}
    counts = {"links": len(links), **totals, "sinks": len(settings.sinks)}
    click.echo("valid: " + ", ".join(f"{count} {_plural(word, count)}" for word, count in counts.items()))


def _rate(body: dict[str, Any], key: str) -> str:
    """A rate; what groups that are read continuously or subscribed to add to it only their devices know."""
    unknown = [word for word in ("continuous", "subscribed") if body[f"{word}_groups"]]
    return " + ".join([f"{body[key]:.4g}"] * bool(body[key] or not unknown) + unknown)


def _plural(word: str, count: int) -> str:
    return word.removesuffix("s") if count == 1 else word
