"""The configuration's JSON Schema (2020-12), for editors and for the reference page.

It says what one table may hold. What spans tables (references, topics, scaling) only `tidegate check` knows. One schema
serves the main file and the files in `conf.d`, so no top-level table is required.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel

from gateway import registry
from gateway.config.schema import SECTIONS, DeviceTable, GroupTable, LinkTable, TagTable, TemplateTable

DIALECT = "https://json-schema.org/draft/2020-12/schema"


def json_schema(drivers: Iterable[str] | None = None) -> dict[str, Any]:
    """The schema with the options of these drivers; of every installed one if None."""
    names = registry.driver_names() if drivers is None else tuple(drivers)
    definitions: dict[str, Any] = {}
    for name in names:
        definitions |= {f"{name}.{table}": schema for table, schema in driver_schemas(name).items()}
    properties: dict[str, Any] = {}
    for key, (model, array) in SECTIONS.items():
        if model in (LinkTable, TemplateTable):
            item = _one_of(f"{name}.{key}" for name in names)
        elif model is DeviceTable:
            item = _any_of(f"{name}.{key}" for name in names)
        else:
            definitions[key] = table_schema(model)
            item = {"$ref": f"#/$defs/{key}"}
        properties[key] = {"type": "array", "items": item} if array else item
        properties[key]["description"] = _summary(model)
    return {
        "$schema": DIALECT,
        "title": "Tidegate configuration",
        "description": "tidegate.toml and conf.d/*.toml beside it.",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
        "$defs": definitions,
    }


def table_schema(model: type[BaseModel]) -> dict[str, Any]:
    """One model's schema as TOML sees it: no references, no titles, no null."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    plain = _plain(schema, definitions)
    assert isinstance(plain, dict)
    return plain


def driver_schemas(driver: str) -> dict[str, dict[str, Any]]:
    """The schemas of one driver's tables: `link`, `device`, `template`, `group`, `tag`, our keys and its own. Raises as
    `registry.load_driver` does."""
    kind = registry.load_driver(driver)
    link = _merged(LinkTable, kind.link_options)
    template = table_schema(TemplateTable)
    for table in (link, template):
        table["properties"]["driver"] = {**table["properties"]["driver"], "const": driver}
    device = _merged(DeviceTable, kind.device_options)
    group = table_schema(GroupTable)
    group["properties"]["tag"]["items"] = {"$ref": f"#/$defs/{driver}.tag"}
    for table in (device, template):
        table["properties"]["group"]["items"] = {"$ref": f"#/$defs/{driver}.group"}
    return {
        "link": link,
        "device": device,
        "template": template,
        "group": group,
        "tag": _merged(TagTable, kind.tag_options),
    }


def _merged(common: type[BaseModel], own: type[BaseModel]) -> dict[str, Any]:
    """A table that holds our keys and a driver's."""
    schema, options = table_schema(common), table_schema(own)
    schema["properties"] |= options["properties"]
    if required := [*schema.get("required", []), *options.get("required", [])]:
        schema["required"] = required
    return schema


def _one_of(names: Iterable[str]) -> dict[str, Any]:
    """Tables told apart by their driver key."""
    references = [{"$ref": f"#/$defs/{name}"} for name in names]
    return references[0] if len(references) == 1 else {"oneOf": references}


def _any_of(names: Iterable[str]) -> dict[str, Any]:
    """Devices: which driver's they are is known by their link only, so that one may fit several."""
    references = [{"$ref": f"#/$defs/{name}"} for name in names]
    return references[0] if len(references) == 1 else {"anyOf": references}


def _summary(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip()


def _plain(node: Any, definitions: dict[str, Any]) -> Any:
    """The schema with references put in place, and without what TOML has no use for."""
    if isinstance(node, list):
        return [_plain(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if reference := node.get("$ref"):
        target = definitions[str(reference).removeprefix("#/$defs/")]
        return _plain({**target, **{key: value for key, value in node.items() if key != "$ref"}}, definitions)
    if "anyOf" in node:
        options = [option for option in node["anyOf"] if option != {"type": "null"}]
        rest = {key: value for key, value in node.items() if key != "anyOf"}
        if len(options) == 1:
            return _plain({**options[0], **rest}, definitions)
        return {**_plain(rest, definitions), "anyOf": _plain(options, definitions)}
    plain = {}
    for key, value in node.items():
        if key == "properties":
            plain[key] = {name: _plain(item, definitions) for name, item in value.items()}
        elif key == "title" or (key == "default" and value is None):
            continue
        else:
            plain[key] = _plain(value, definitions)
    return plain
