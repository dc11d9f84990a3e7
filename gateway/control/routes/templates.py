"""The library of templates: what there is, and one of them ready for a configuration."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.config import library
from gateway.config.library import Kind, LibraryError, LibraryTemplate
from gateway.control.operation import Answer, Call, NoQuery, Operation, Query, Refusal

Word = Annotated[str | None, Field(max_length=200)]


class Wanted(Query):
    driver: Word = Field(default=None, description="Only those of this driver.")
    kind: Kind | None = Field(default=None, description="Only devices of this kind.")
    search: str = Field(default="", max_length=200, description="Only those in which every word occurs.")


class TemplateSummary(TypedDict):
    id: str
    driver: str
    name: str
    title: str
    vendor: str
    models: list[str]
    kind: str
    source: str
    checked: list[str]
    notes: list[str]
    tags: int


class TemplateDetails(TemplateSummary):
    link: dict[str, Any]
    """What the link of such a device usually needs."""
    device: dict[str, Any]
    """Keys of its device."""
    template: dict[str, Any]
    """The `[[template]]` to add to the configuration."""
    toml: str
    """The same as text."""


def operations() -> list[Operation[Any, Any]]:
    async def list_templates(call: Call[Wanted, None]) -> list[TemplateSummary]:
        query = call.query
        found = await asyncio.to_thread(_library)
        return [
            _summary(each)
            for each in found
            if query.driver in (None, each.driver) and query.kind in (None, each.about.kind)
            if each.matches(query.search)
        ]

    async def get_template(call: Call[NoQuery, None]) -> TemplateDetails:
        name = f"{call.path['driver']}/{call.path['name']}"
        found = next((each for each in await asyncio.to_thread(_library) if each.id == name), None)
        if found is None:
            raise Refusal(
                404, "no-such-template", f"there is no template {name}", "see /v1/templates for those there are"
            )
        return {
            **_summary(found),
            "link": dict(found.link),
            "device": dict(found.device),
            "template": library.template_table(found),
            "toml": library.template_toml(found),
        }

    return [
        Operation(
            "GET",
            "/v1/templates",
            "list_templates",
            Role.VIEWER,
            "List the register maps of well-known devices.",
            list_templates,
            Answer(list[TemplateSummary]),
            query=Wanted,
        ),
        Operation(
            "GET",
            "/v1/templates/{driver}/{name}",
            "get_template",
            Role.VIEWER,
            "Show a register map, ready to be copied into a configuration.",
            get_template,
            Answer(TemplateDetails),
        ),
    ]


def _library() -> list[LibraryTemplate]:
    try:
        return list(library.templates())
    except LibraryError as error:
        raise Refusal(500, "broken-template", str(error), "install its driver's package again") from None


def _summary(each: LibraryTemplate) -> TemplateSummary:
    about = each.about
    return {
        "id": each.id,
        "driver": each.driver,
        "name": each.name,
        "title": about.title,
        "vendor": about.vendor,
        "models": about.models,
        "kind": about.kind,
        "source": about.source,
        "checked": about.checked,
        "notes": about.notes,
        "tags": each.tags,
    }
