"""``tidegate claim``: a new code for a gateway that nobody has claimed yet."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.cli.calling import answering, client_for
from gateway.cli.loading import load_or_exit
from gateway.cli.output import config_option, emit_json, json_option, note
from gateway.control.client import NotRunning


@click.command()
@config_option
@json_option
def claim(config_path: Path, as_json: bool) -> None:
    """Make a new claim code; an older one is good no more. Whoever enters it on the page becomes the first admin.

    A gateway that has users isn't claimed again: see tidegate user reset.
    """
    settings = load_or_exit(config_path, check_secrets=False)
    with answering():
        try:
            code = client_for(config_path, settings.socket).post("/v1/accounts/claim")["code"]
        except NotRunning:
            from gateway.cli.alone import alone

            code = alone(settings.data_dir, lambda accounts, actor: accounts.new_claim(actor))
    if as_json:
        emit_json({"code": code})
        return
    click.echo(code)
    note("enter it on the gateway's page; it is good for one admin")
