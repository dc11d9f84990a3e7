"""``tidegate template``: the library of register maps of well-known devices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

import click
import tomli

from gateway.cli.output import Exit, emit_json, fail, json_option, note, table
from gateway.config import library
from gateway.config.library import Kind, LibraryError, LibraryTemplate
from gateway.config.names import Mendable, check_name
from gateway.config.words import closest
from gateway.toml import table as toml_table


@click.group()
def template() -> None:
    """Register maps of well-known meters, inverters, drives and sensors."""


@template.command("list")
@click.option("--driver", help="Only those of this driver.")
@click.option("--kind", type=click.Choice(get_args(Kind)), help="Only devices of this kind.")
@click.option("--search", default="", metavar="WORDS", help="Only those in which every word occurs.")
@json_option
def list_templates(driver: str | None, kind: str | None, search: str, as_json: bool) -> None:
    """List the library."""
    found = [
        each
        for each in _library()
        if driver in (None, each.driver) and kind in (None, each.about.kind) and each.matches(search)
    ]
    if as_json:
        emit_json([_summary(each) for each in found])
        return
    table(
        ["template", "kind", "tags", "title"],
        [(each.id, each.about.kind, each.tags, each.about.title) for each in found],
    )
    if not found:
        note("no template fits; every one: tidegate template list")


@template.command()
@click.argument("name")
@click.option("--toml", "as_toml", is_flag=True, help="Print its [[template]], ready for a configuration.")
@json_option
def show(name: str, as_toml: bool, as_json: bool) -> None:
    """Show template NAME: what it fits, where its figures come from, its tags."""
    found = _find(name)
    if as_toml:
        click.echo(library.template_toml(found), nl=False)
        return
    if as_json:
        emit_json(
            {**_summary(found), "link": dict(found.link), "device": dict(found.device), "group": list(found.groups)}
        )
        return
    about = found.about
    for label, lines in (
        ("title", [about.title]),
        ("models", about.models),
        ("source", [about.source]),
        ("checked", about.checked),
        ("notes", about.notes),
    ):
        for line in lines:
            note(f"{label}: {line}")
    table(
        ["group", "tag", "address", "type", "scale", "unit"],
        [
            (group["name"], tag["name"], tag.get("address"), tag["type"], tag.get("scale", ""), tag.get("unit", ""))
            for group in found.groups
            for tag in group.get("tag", ())
        ],
    )


@template.command()
@click.argument("name")
@click.option("--device", required=True, metavar="NAME", help="Name of the new device.")
@click.option("--link", required=True, metavar="NAME", help="The link it hangs on.")
@click.option("--new-link", is_flag=True, help="Print the link too, with what such devices usually need.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A key of the device, such as unit=7.")
def apply(name: str, device: str, link: str, new_link: bool, settings: tuple[str, ...]) -> None:
    """Print the TOML that reads a new device by template NAME, to be pasted into the configuration.

    The template is copied, not referred to: a later release changes nothing about the tags.
    """
    found = _find(name)
    for option, text in (("--device", device), ("--link", link)):
        try:
            check_name(text)
        except Mendable as error:
            fail(f"{option} {error}", error.hint, Exit.USAGE)
    parts = [library.template_toml(found)]
    if new_link:
        keys = {"name": link, "driver": found.driver, **found.link}
        parts.append(toml_table("link", keys))
        note("the link still needs " + ("its host" if keys.get("transport", "tcp") == "tcp" else "its serial device"))
    parts.append(toml_table("device", library.device_table(found, device, link, _settings(settings))))
    click.echo("\n".join(parts), nl=False)
    for line in found.about.notes:
        note(f"note: {line}")


def _settings(given: tuple[str, ...]) -> Mapping[str, Any]:
    """KEY=VALUE pairs as TOML has them; a value that isn't TOML is text."""
    keys: dict[str, Any] = {}
    for pair in given:
        key, equals, text = (part.strip() for part in pair.partition("="))
        if not equals or not key:
            fail(f"--set {pair!r} isn't KEY=VALUE", "write it like --set unit=7", Exit.USAGE)
        try:
            keys[key] = tomli.loads(f"value = {text}")["value"]
        except tomli.TOMLDecodeError:
            keys[key] = text
    return keys


def _library() -> list[LibraryTemplate]:
    try:
        return list(library.templates())
    except LibraryError as error:
        fail(str(error), "install its driver's package again")


def _find(name: str) -> LibraryTemplate:
    try:
        return library.find(name)
    except LibraryError as error:
        meant = closest(name, [each.name for each in _library()])
        fail(str(error), f"did you mean {meant!r}?" if meant else "every one: tidegate template list", Exit.USAGE)


def _summary(each: LibraryTemplate) -> dict[str, Any]:
    return {"id": each.id, "driver": each.driver, "name": each.name, "tags": each.tags, **each.about.model_dump()}
