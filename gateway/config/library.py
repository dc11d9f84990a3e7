"""The library of templates: register maps of well-known devices, one TOML file each in a driver's `templates` folder.

A file says what it is (`about`), how such a device is usually connected (`link`, `device`), and which groups of tags it
has (`group`, as in a `[[template]]`). A configuration never refers to the library: a template is copied into it, so
that a new release can't change anybody's tags.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent
from typing import Any, Literal

import tomli
from pydantic import Field, ValidationError

from gateway import registry
from gateway.config.schema import Table, Text
from gateway.toml import table as toml_table
from gateway.toml import value as toml_value

Kind = Literal["meter", "inverter", "drive", "sensor"]


class About(Table):
    """What a template is for, and where its figures come from."""

    title: Text = Field(description="What it is called in a list.")
    vendor: Text = Field(description="Who makes the devices.")
    models: list[Text] = Field(min_length=1, description="The devices it fits, as their maker names them.")
    kind: Kind = Field(description="The kind of device.")
    source: Text = Field(description="The public document it follows: its author, title, number or edition.")
    checked: list[Text] = Field(min_length=1, description="Which of its figures were compared with what else.")
    notes: list[Text] = Field(default=[], description="What to know before using it.")


class TemplateFile(Table):
    """One file of the library. `link` and `device` hold a driver's keys, `group` what a `[[template]]` has."""

    about: About = Field(description="What it is for.")
    link: dict[str, Any] = Field(default={}, description="How such a device is usually connected.")
    device: dict[str, Any] = Field(default={}, description="Keys of its `[[device]]`.")
    group: list[dict[str, Any]] = Field(min_length=1, description="Its groups, with their tags.")


class LibraryError(Exception):
    """A template that isn't there or can't be used. The message is one sentence for a user."""


@dataclass(frozen=True, slots=True)
class LibraryTemplate:
    """One template of the library."""

    driver: str
    name: str
    """Its file's name, and its `[[template]]` name in a configuration. Unique in its driver."""
    file: Path
    about: About
    link: Mapping[str, Any]
    device: Mapping[str, Any]
    groups: Sequence[Mapping[str, Any]]

    @property
    def id(self) -> str:
        """Its name in the whole library: ``modbus/eastron-sdm630``."""
        return f"{self.driver}/{self.name}"

    @property
    def tags(self) -> int:
        """How many tags it has."""
        return sum(len(group.get("tag", ())) for group in self.groups)

    def matches(self, words: str) -> bool:
        """Whether each word of a search occurs in what it is for."""
        about = self.about
        text = " ".join((self.id, about.title, about.vendor, about.kind, *about.models)).lower()
        return all(word in text for word in words.lower().split())


def templates() -> Iterator[LibraryTemplate]:
    """Every template of every installed driver, by id. Raises LibraryError for a file that can't be used.

    A driver that can't be loaded has none: what is wrong with it is said where it is configured.
    """
    for driver in registry.driver_names():
        for file in sorted(folder.glob("*.toml")) if (folder := _folder(driver)) else ():
            yield read(driver, file)


def find(name: str) -> LibraryTemplate:
    """One template by its name or its id. Raises LibraryError if there is none, or several of that name."""
    found = [template for template in templates() if name in (template.name, template.id)]
    if not found:
        raise LibraryError(f"the library has no template {name!r}")
    if len(found) > 1:
        raise LibraryError(f"the template {name!r} is one of several: {', '.join(each.id for each in found)}")
    return found[0]


def has(name: str) -> bool:
    """Whether a template of that name or id exists; reads no file."""
    driver, slash, plain = name.rpartition("/")
    drivers = [driver] if slash else registry.driver_names()
    return any((folder := _folder(each)) and (folder / f"{plain}.toml").is_file() for each in drivers)


def read(driver: str, file: Path) -> LibraryTemplate:
    """A template from its file. Raises LibraryError."""
    try:
        body = TemplateFile.model_validate(tomli.loads(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomli.TOMLDecodeError) as error:
        raise LibraryError(f"the template {file} can't be read: {error}") from None
    except ValidationError as error:
        detail = error.errors(include_url=False)[0]
        key = ".".join(map(str, detail["loc"]))
        raise LibraryError(f"the template {file} can't be used: {key}: {detail['msg']}") from None
    return LibraryTemplate(driver, file.stem, file, body.about, body.link, body.device, body.group)


def template_table(template: LibraryTemplate) -> dict[str, Any]:
    """Its `[[template]]` table."""
    return {"name": template.name, "driver": template.driver, "group": list(template.groups)}


def device_table(template: LibraryTemplate, device: str, link: str, keys: Mapping[str, Any]) -> dict[str, Any]:
    """A `[[device]]` table that uses it. `keys` win over the template's own, such as another unit."""
    return {"name": device, "link": link, "template": template.name, **template.device, **keys}


def template_toml(template: LibraryTemplate) -> str:
    """Its `[[template]]` as text for a configuration, with its source as a comment: a line for each tag."""
    parts = [
        f"# {template.about.title}\n# Source: {template.about.source}\n",
        toml_table("template", {"name": template.name, "driver": template.driver}),
    ]
    for group in template.groups:
        keys = {key: value for key, value in group.items() if key != "tag"}
        rows = "".join(f"  {toml_value(tag)},\n" for tag in group.get("tag", ()))
        parts.append("\n" + indent(toml_table("template.group", keys) + f"tag = [\n{rows}]\n", "  "))
    return "".join(parts)


def _folder(driver: str) -> Path | None:
    try:
        return registry.load_driver(driver).templates
    except (ImportError, TypeError, AttributeError, KeyError):
        return None
