"""``tidegate update``: the slots of an image."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.cli.calling import answering, client_for, socket_option
from gateway.cli.output import (
    Exit,
    config_option,
    confirmed,
    emit_json,
    fail,
    json_option,
    moment,
    note,
    table,
    yes_option,
)
from gateway.cli.stream import Stream
from gateway.control.client import ControlClient

_PART = 4 << 20
"""Bytes that are handed over at once."""


@click.group()
def update() -> None:
    """Update the whole system, where it is an image that runs from two slots.

    Elsewhere the package manager does it, and every command but status says so.
    """


@update.command()
@config_option
@socket_option
@json_option
def status(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Show what runs, what the other slot holds, and how the latest update went."""
    with answering():
        body = client_for(config_path, socket).get("/v1/update")
    _show(body, as_json=as_json)


@update.command()
@click.argument("bundle", required=False)
@click.option(
    "--ca",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Certificates (PEM) of the authority of the server that BUNDLE is downloaded from, readable by the gateway.",
)
@config_option
@socket_option
@json_option
def install(bundle: str | None, ca: Path | None, config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Install the signed BUNDLE, a file or an HTTPS address, into the slot that doesn't run.

    Without BUNDLE it comes from the address that was set for this machine. It runs after the next restart. Ctrl-C stops
    only the watching: the installation goes on.
    """
    client = client_for(config_path, socket, timeout_s=60.0)  # a slow disk may take a while over a part
    with answering():
        if bundle is None and (bundle := client.get("/v1/update")["address"]) is None:
            fail("no address is set for this machine", "name a bundle: a file, or an HTTPS address", Exit.USAGE)
        wish = (
            {"url": bundle, **({"ca": str(ca.resolve())} if ca else {})}
            if "://" in bundle
            else _handed_over(client, bundle)
        )
        client.post("/v1/update/install", wish)
        try:
            _watch(client)
        except KeyboardInterrupt:
            note("it goes on without being watched\n  → tidegate update status")
            return
        body = client.get("/v1/update")
    latest = body["installation"]
    if latest["state"] != "done":
        fail(f"the update wasn't installed: {latest['detail']}", "what runs is as it was; see: tidegate logs")
    _show(body, as_json=as_json)
    note("  → restart when it suits: systemctl reboot; then: tidegate update status")


@update.command("mark-good")
@config_option
@socket_option
@json_option
def mark_good(config_path: Path, socket: Path | None, as_json: bool) -> None:
    """Keep the slot that runs, though it hasn't run for long yet."""
    with answering():
        body = client_for(config_path, socket).post("/v1/update/mark-good")
    _show(body, as_json=as_json)


@update.command()
@config_option
@socket_option
@json_option
@yes_option
def rollback(config_path: Path, socket: Path | None, as_json: bool, yes: bool) -> None:
    """Have the other slot run after the next restart."""
    client = client_for(config_path, socket)
    confirmed("Run the other slot after the next restart?", yes=yes)
    with answering():
        body = client.post("/v1/update/roll-back")
    _show(body, as_json=as_json)
    note("  → restart when it suits: systemctl reboot")


def _handed_over(client: ControlClient, bundle: str) -> dict[str, Any]:
    """Send a file to the gateway, which may not be allowed to read it where it is."""
    path = Path(bundle)
    if not path.is_file():
        fail(f"there is no file {path}", "name the bundle that was downloaded", Exit.USAGE)
    size, sent, kept = path.stat().st_size, 0, None
    stream = Stream()
    with path.open("rb") as file:
        while part := file.read(_PART):
            kept = client.call("PUT", "/v1/update/upload", {"offset": sent, "size": size}, part)
            sent += len(part)
            stream.progress("handing the bundle over", sent * 100 // size, 100)
    stream.end()
    if kept is None:
        fail(f"{path} is empty", "download the bundle again", Exit.USAGE)
    return {"path": kept["path"]}


def _watch(client: ControlClient) -> None:
    stream = Stream()
    try:
        for event in client.events("/v1/update/progress"):
            stream.progress(event.data["doing"], event.data["percent"], 100)
    finally:
        stream.end()


def _show(body: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        emit_json(body)
        return
    if body["image"] is None:
        click.echo(f"version {body['version']}")
        note("this installation has no update slots: its package manager updates it")
        note("  → apt upgrade, or: pip install --upgrade tidegate")
        return
    click.echo(f"{body['image']}, version {body['version']}\n")
    table(
        ["slot", "version", "state", "installed"],
        ((slot["name"], slot["version"] or "empty", _state(slot), _installed(slot)) for slot in body["slots"]),
    )
    if body["trial"] is not None:
        click.echo(f"\n{body['trial']['sentence']}")
        if mend := body["trial"]["mend"]:
            note(f"  → {mend}")
    latest = body["installation"]
    if latest is not None:
        click.echo(f"\n{latest['bundle']}: {latest['state']} {latest['detail'] or latest['doing']}")


def _installed(slot: dict[str, Any]) -> str:
    return "" if slot["installed_ms"] is None else moment(slot["installed_ms"])


def _state(slot: dict[str, Any]) -> str:
    words = [word for key, word in (("booted", "runs"), ("next", "next")) if slot[key]]
    return ", ".join([*words, "good" if slot["good"] else "on trial" if slot["booted"] else "not proved"])
