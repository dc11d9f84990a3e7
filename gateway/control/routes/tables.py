"""The tables of the configuration as somebody wrote them: what a form is filled with."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from typing_extensions import TypedDict

from gateway.actors import Role
from gateway.config import ConfigErrors
from gateway.config.document import read
from gateway.config.schema import SECTIONS
from gateway.config.tree import Tree
from gateway.control.operation import Answer, Call, NoQuery, Operation, Refusal


class ConfiguredTable(TypedDict):
    section: str
    name: str
    table: dict[str, Any]
    """Its keys; secrets are references."""


def operations(main: Path, tree: Callable[[], Awaitable[Tree]]) -> list[Operation[Any, Any]]:
    """`main`: where the main file stands. `tree`: the draft, or what is in place where there is none."""

    async def tables_of(section: str) -> list[ConfiguredTable]:
        if section not in SECTIONS or not SECTIONS[section][1]:
            raise Refusal(
                404, "no-such-table", f"there is no list of {section}", "ask for link, device, template or sink"
            )
        try:
            body = (await asyncio.to_thread(read, main, await tree())).body
        except ConfigErrors as errors:
            message = f"the configuration can't be read: {errors.problems[0].message}"
            raise Refusal(409, "config-unreadable", message, "mend it first") from None
        tables = body.get(section)
        named = [(table.get("name"), table) for table in _of(tables) if isinstance(table, dict)]
        return [{"section": section, "name": name, "table": table} for name, table in named if isinstance(name, str)]

    async def list_tables(call: Call[NoQuery, None]) -> list[ConfiguredTable]:
        return await tables_of(call.path["section"])

    async def get_table(call: Call[NoQuery, None]) -> ConfiguredTable:
        section, name = call.path["section"], call.path["name"]
        for each in await tables_of(section):
            if each["name"] == name:
                return each
        raise Refusal(404, "no-such-table", f"there is no {section} {name}", f"see /v1/tables/{section} for those")

    return [
        Operation(
            "GET",
            "/v1/tables/{section}",
            "list_tables",
            Role.VIEWER,
            "Give the links, devices, templates or sinks as they are configured, those of the draft if there is one.",
            list_tables,
            Answer(list[ConfiguredTable]),
            refusals=(409,),
        ),
        Operation(
            "GET",
            "/v1/tables/{section}/{name}",
            "get_table",
            Role.VIEWER,
            "Give a link, device, template or sink as it is configured.",
            get_table,
            Answer(ConfiguredTable),
            refusals=(409,),
        ),
    ]


def _of(tables: Any) -> list[Any]:
    return tables if isinstance(tables, list) else []
