"""Searching for devices."""

from __future__ import annotations

import tomllib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Any

from pydantic import Field, ValidationError
from typing_extensions import TypedDict

from gateway import registry
from gateway.actors import Role
from gateway.control.operation import Answer, Body, Call, Event, NoQuery, Operation, Refusal, events
from gateway.control.refusing import diagnostics_errors
from gateway.control.routes.diagnostics import event, failed
from gateway.diagnostics.room import Diagnostics
from gateway.driver import Finding, LinkDown, Progress, ScanFailed


class ScanOptions(Body):
    options: dict[str, Any] = Field(default_factory=dict, description="As `GET /v1/scans` describes them.")


class Searchable(TypedDict):
    driver: str
    summary: str
    options: dict[str, Any]
    """JSON Schema of the options."""


class ScanEvent(TypedDict, total=False):
    """A `finding` has `row`, `config`, `link`, `device`; a `progress` `done`, `total`, `doing`; a `failed` `sentence`,
    `mend`."""

    row: dict[str, Any]
    config: str
    """TOML that configures it; empty for what is only told of."""
    link: dict[str, Any] | None
    """The `[[link]]` of `config`."""
    device: dict[str, Any] | None
    """Its `[[device]]`, groups and tags included; null where only the link is known."""
    done: int
    total: int
    """0: not known."""
    doing: str
    sentence: str
    mend: str | None


def operations(room: Diagnostics) -> list[Operation[Any, Any]]:
    async def list_scans(_: Call[NoQuery, None]) -> list[Searchable]:
        found: list[Searchable] = []
        for name in registry.driver_names():
            try:
                kind = registry.load_driver(name)
            except (ImportError, TypeError, AttributeError):
                continue  # the configuration's check says so where it matters
            if kind.scan is not None:
                schema = kind.scan.options.model_json_schema()
                found.append({"driver": name, "summary": kind.scan.summary, "options": schema})
        return found

    async def scan(call: Call[NoQuery, ScanOptions]) -> AsyncIterator[Event]:
        name = call.path["driver"]
        try:
            kind = registry.load_driver(name)
        except (KeyError, ImportError, TypeError, AttributeError):
            raise Refusal(404, "no-such-thing", f"there is no driver {name!r}") from None
        if kind.scan is None:
            raise Refusal(404, "no-such-thing", f"the driver {name!r} can't search for devices")
        try:
            options = kind.scan.options.model_validate(call.body.options)
        except ValidationError as error:
            problems = tuple(
                {"message": each["msg"], "field": ".".join(map(str, each["loc"])) or None}
                for each in error.errors(include_url=False, include_input=False)
            )
            raise Refusal(409, "options-invalid", "the options can't be used", problems=problems) from None
        with diagnostics_errors():
            search = room.scan(name, options)
        return _findings(search)

    return [
        Operation(
            "GET",
            "/v1/scans",
            "list_scans",
            Role.ENGINEER,
            "List the drivers that can search for devices, with their options.",
            list_scans,
            Answer(list[Searchable]),
        ),
        Operation(
            "POST",
            "/v1/scans/{driver}",
            "scan_devices",
            Role.ENGINEER,
            "Search for devices in a driver's way: read-only, and never on what a running link has for itself.",
            scan,
            events(ScanEvent, "Each `finding` and `progress`, then `done` or `failed`. Leaving ends the search."),
            body=ScanOptions,
            refusals=(409,),
        ),
    ]


async def _findings(search: AsyncGenerator[Finding | Progress, None]) -> AsyncGenerator[Event, None]:
    try:
        async for each in search:
            if isinstance(each, Finding):
                yield event("finding", {"row": each.row, "config": each.config, **_tables(each.config)})
            else:
                yield event("progress", {"done": each.done, "total": each.total, "doing": each.doing})
        yield event("done", {})
    except (LinkDown, ScanFailed) as error:
        yield failed(error)
    except PermissionError as error:
        yield failed(ScanFailed(f"no permission to use {error.filename or 'what it takes'}: run as a user who has it"))
    finally:
        await search.aclose()


def _tables(config: str) -> Mapping[str, Any]:
    """The tables of what a finding proposes, so that nobody else needs to read TOML for them."""
    proposed = tomllib.loads(config)
    return {section: next(iter(proposed.get(section, ())), None) for section in ("link", "device")}
