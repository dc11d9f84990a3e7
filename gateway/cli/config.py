"""``tidegate config``: about the configuration rather than with it."""

from __future__ import annotations

import click

from gateway.cli.output import emit_json


@click.group()
def config() -> None:
    """The configuration's schema."""


@config.command()
def schema() -> None:
    """Print the JSON Schema of tidegate.toml, drivers included, for editors and tools."""
    from gateway.config.export import json_schema

    emit_json(json_schema())
