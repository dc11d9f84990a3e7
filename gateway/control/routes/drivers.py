"""Which protocols there are, and what can be set for each: forms are made from this."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

from typing_extensions import TypedDict

from gateway import registry
from gateway.actors import Role
from gateway.config.export import driver_schemas, table_schema
from gateway.control.operation import Answer, Call, NoQuery, Operation, Refusal
from gateway.driver import DriverKind


class DriverSummary(TypedDict):
    name: str
    summary: str
    address_key: str
    """The key of a tag that says where it is."""
    subscribes: bool
    """Whether its devices speak by themselves unless the configuration says otherwise."""
    scans: bool
    """Whether it can search for devices."""
    templates: bool
    """Whether it brings register maps of well-known devices."""


class DriverDetails(DriverSummary):
    link: dict[str, Any]
    """JSON Schema of its `[[link]]`; the others alike."""
    device: dict[str, Any]
    group: dict[str, Any]
    tag: dict[str, Any]
    scan: dict[str, Any] | None
    """Of what a scan can be given."""


def operations() -> list[Operation[Any, Any]]:
    async def list_drivers(_: Call[NoQuery, None]) -> list[DriverSummary]:
        return await asyncio.to_thread(lambda: list(_installed()))

    async def get_driver(call: Call[NoQuery, None]) -> DriverDetails:
        return await asyncio.to_thread(_details, call.path["name"])

    return [
        Operation(
            "GET",
            "/v1/drivers",
            "list_drivers",
            Role.VIEWER,
            "List the protocols that are installed.",
            list_drivers,
            Answer(list[DriverSummary]),
        ),
        Operation(
            "GET",
            "/v1/drivers/{name}",
            "get_driver",
            Role.VIEWER,
            "Say what can be set for a protocol's links, devices and tags.",
            get_driver,
            Answer(DriverDetails),
        ),
    ]


def _installed() -> Iterator[DriverSummary]:
    """Those that can be loaded: what is wrong with another is said where it is configured."""
    for name in registry.driver_names():
        try:
            yield _summary(registry.load_driver(name))
        except (ImportError, TypeError, AttributeError):
            continue


def _details(name: str) -> DriverDetails:
    try:
        kind = registry.load_driver(name)
    except (KeyError, ImportError, TypeError, AttributeError):
        raise Refusal(
            404, "no-such-driver", f"there is no driver {name}", "see /v1/drivers for those there are"
        ) from None
    schemas = driver_schemas(name)
    return {
        **_summary(kind),
        "link": schemas["link"],
        "device": schemas["device"],
        "group": schemas["group"],
        "tag": schemas["tag"],
        "scan": table_schema(kind.scan.options) if kind.scan else None,
    }


def _summary(kind: DriverKind) -> DriverSummary:
    return {
        "name": kind.name,
        "summary": kind.summary,
        "address_key": kind.address_key,
        "subscribes": kind.subscribes,
        "scans": kind.scan is not None,
        "templates": kind.templates is not None,
    }
