"""From the checked document to `gateway.settings`: references, templates, locations, defaults."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.actors import Role
from gateway.config import library
from gateway.config.context import Context, Raw, split
from gateway.config.files import check_files
from gateway.config.groups import CompleteGroup, Group, GroupReader
from gateway.config.names import quote
from gateway.config.places import Key, Place
from gateway.config.plans import plan_device
from gateway.config.problems import Problem
from gateway.config.schema import (
    SECTIONS,
    DeviceTable,
    GatewayTable,
    JournalTable,
    LinkTable,
    TemplateTable,
    WriteTable,
)
from gateway.config.sinks import read_sinks
from gateway.config.topics import Assets, check_members
from gateway.config.words import meant_or_all
from gateway.driver import DriverKind, Point, PollGroup, Site
from gateway.model import Layout
from gateway.sentences import with_mend
from gateway.settings import (
    SERVICE_DATA_DIR,
    SERVICE_SOCKET,
    BreakerSettings,
    DeviceSettings,
    GatewaySettings,
    GroupSettings,
    JournalSettings,
    LinkSettings,
    WriteSettings,
    site_of,
)

_MIB = 1 << 20
_LONGEST_SOCKET_PATH = 107
"""`sun_path` of Linux, unix(7), less its final NUL."""


@dataclass(frozen=True, slots=True)
class Template:
    driver: str
    groups: dict[str, Group]


@dataclass(slots=True)
class Link:
    table: LinkTable
    kind: DriverKind | None
    options: Any | None
    devices: list[DeviceSettings]


class Builder:
    """Builds the settings of one document. What is wrong goes into the report; the result counts if that is empty."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._document = context.document
        self._report = context.report
        self._checker = context.checker
        self._groups = GroupReader(context)
        self._planned: list[tuple[str, Any, tuple[Point, ...]]] = []
        """(driver, device options, points) that were planned without an error."""

    def build(self) -> GatewaySettings | None:
        """The whole configuration; None only if there are problems."""
        body = self._document.body
        for first, second, key in self._document.clashes:
            place = f"{first.path}:{self._document.line_in(first, (key,))}"
            self._report.add_problems(
                [
                    Problem(
                        second.path,
                        self._document.line_in(second, (key,)),
                        f"[{key}] is defined here and in {place}",
                        "keep one of them; only lists of tables ([[link]], [[device]], …) may stand in several files",
                    )
                ]
            )
        for key in body:
            if key not in SECTIONS:
                self._checker.unknown_key(key, SECTIONS, Key((key,)))
        gateway = self._gateway()
        journal = self._journal(gateway)
        write = self._write()
        sinks = read_sinks(self._context, gateway.id if gateway else "")
        templates = self._templates()
        links = self._links()
        crowded = next((sink.name for sink in sinks if (sink.granularity, sink.profile) == ("asset", "umh")), None)
        self._devices(gateway, links, templates, crowded)
        if gateway is None or journal is None:
            return None
        data_dir = self._context.path(gateway.data_dir)
        socket = self._socket(gateway, data_dir)
        check_files(self._context, data_dir, socket, journal.path)
        return GatewaySettings(
            id=gateway.id,
            location=_location(gateway),
            data_dir=data_dir,
            socket=socket,
            clock=gateway.clock,
            journal=journal,
            links=tuple(
                LinkSettings(
                    name=name,
                    kind=link.kind,
                    options=link.options,
                    site=site_of(gateway.id, data_dir, link.kind.name),
                    devices=tuple(link.devices),
                    breaker=BreakerSettings(link.table.breaker.failures, link.table.breaker.retry_ms / 1000),
                )
                for name, link in links.items()
                if link.kind is not None
            ),
            sinks=sinks,
            recent_bytes=round(gateway.recent_mb * _MIB),
            write=write,
        )

    def _gateway(self) -> GatewayTable | None:
        raw = self._document.body.get("gateway")
        place = Key(("gateway",))
        if raw is None:
            self._report.add(
                Key(()), "there is no [gateway] table", 'add [gateway] with id, enterprise and site, such as id = "gw1"'
            )
            return None
        if not self._context.is_table(raw, place):
            return None
        table = self._checker.table(GatewayTable, raw, place)
        if table is not None:
            for level, above in (("line", "area"), ("cell", "line")):
                if getattr(table, level) and not getattr(table, above):
                    message = f"gateway.{level} is given, but gateway.{above} isn't"
                    self._report.add(place.child(level), message, f"add {above}, or take {level} out")
        return table

    def _socket(self, gateway: GatewayTable, data_dir: Path) -> Path:
        socket = self._context.path(gateway.socket) if gateway.socket else _default_socket(data_dir)
        if len(bytes(socket)) > _LONGEST_SOCKET_PATH:
            key = "socket" if gateway.socket else "data_dir"
            self._report.add(
                Key(("gateway", key)),
                f"the socket's path {quote(str(socket))} has over {_LONGEST_SOCKET_PATH} bytes, too long for Linux",
                'give a shorter one, such as socket = "/run/tidegate/control.sock"',
            )
        return socket

    def _journal(self, gateway: GatewayTable | None) -> JournalSettings | None:
        raw = self._document.body.get("journal", {})
        place = Key(("journal",))
        if not self._context.is_table(raw, place):
            return None
        table = self._checker.table(JournalTable, raw, place)
        if table is None or gateway is None:
            return None
        return JournalSettings(
            path=self._context.path(table.path) if table.path else self._context.path(gateway.data_dir) / "journal.db",
            deadline_s=table.deadline_ms / 1000,
            max_bytes=round(table.max_mb * _MIB),
            max_age_s=table.max_age_h * 3600,
            memory_values=table.memory_values,
            min_free_bytes=round(table.min_free_mb * _MIB),
        )

    def _write(self) -> WriteSettings:
        """What isn't right is a problem, and then the result doesn't count."""
        raw = self._document.body.get("write", {})
        place = Key(("write",))
        table = self._checker.table(WriteTable, raw, place) if self._context.is_table(raw, place) else None
        if table is None:
            return WriteSettings()
        return WriteSettings(
            enabled=table.enabled,
            require_reason=table.require_reason,
            role=Role(table.role),
            min_interval_s=table.min_interval_ms / 1000,
            max_per_minute=table.max_per_minute,
            ttl_s=table.ttl_ms / 1000,
        )

    def _links(self) -> dict[str, Link]:
        names: dict[str, Place] = {}
        claimed: dict[str, str] = {}
        links: dict[str, Link] = {}
        for raw, place in self._context.sections("link"):
            common, own = split(raw, LinkTable)
            table = self._checker.table(LinkTable, common, place)
            driver = raw.get("driver")
            kind = self._context.driver(driver, place.child("driver")) if isinstance(driver, str) and driver else None
            options = kind and self._context.options(
                kind.link_options, own, place, LinkTable.model_fields, self._context.directory(place)
            )
            if table is None:
                # References to it are no problem of their own.
                if isinstance(name := raw.get("name"), str):
                    links.setdefault(name, Link(LinkTable.model_construct(name=name), kind, None, []))
                continue
            if self._context.unique(names, table.name, place, "link"):
                links[table.name] = Link(table, kind, options, [])
            if kind and options is not None:
                self._claim(claimed, kind.claims(options), table.name, place)
        return links

    def _claim(self, claimed: dict[str, str], claims: Sequence[str], link: str, place: Place) -> None:
        """Report what another link has already. `claimed`: who has what."""
        for claim in claims:
            # A serial port has many names; on a machine that hasn't got it each stays as it is.
            owner = claimed.setdefault(os.path.realpath(claim) if claim.startswith("/") else claim, link)
            if owner != link:
                message = f"the link {quote(link)} needs {claim} for itself, but the link {quote(owner)} has it"
                self._report.add(place, message, "let the devices share one link, or mend one of the two")

    def _templates(self) -> dict[str, Template]:
        names: dict[str, Place] = {}
        templates: dict[str, Template] = {}
        for raw, place in self._context.sections("template"):
            table = self._checker.table(TemplateTable, {**raw, "group": []}, place)
            driver = raw.get("driver")
            kind = self._context.driver(driver, place.child("driver")) if isinstance(driver, str) and driver else None
            groups = self._groups.read(raw.get("group", []), place.child("group"), kind)
            for group in groups.values():
                self._groups.complete(group, kind)
            if table is None:
                if isinstance(name := raw.get("name"), str):
                    templates.setdefault(name, Template(str(driver), groups))
                continue
            if self._context.unique(names, table.name, place, "template"):
                templates[table.name] = Template(table.driver, groups)
        return templates

    def _devices(
        self,
        gateway: GatewayTable | None,
        links: dict[str, Link],
        templates: dict[str, Template],
        crowded_sink: str | None,
    ) -> None:
        """`crowded_sink`: one that puts values and their time side by side, if there is any."""
        names: dict[str, Place] = {}
        assets = Assets(self._report, _location(gateway), gateway.id) if gateway else None
        for raw, place in self._context.sections("device"):
            link = self._reference(raw, "link", links, place)
            kind = link.kind if link else None
            common, own = split(raw, DeviceTable)
            table = self._checker.table(DeviceTable, {**common, "group": []}, place)
            options = kind and self._context.options(
                kind.device_options, own, place, DeviceTable.model_fields, self._context.directory(place)
            )
            template = self._reference(raw, "template", templates, place)
            if template and link and link.kind and template.driver != link.table.driver:
                self._report.add(
                    place.child("template"),
                    f"the template {quote(raw['template'])} is written for the driver {quote(template.driver)}, "
                    f"but the link {quote(raw['link'])} has the driver {quote(link.table.driver)}",
                    "use a link and a template of the same driver",
                )
                template = None
            own_groups = self._groups.read(raw.get("group", []), place.child("group"), kind)
            groups = self._groups.override(template.groups if template else {}, own_groups)
            if table is None or not self._context.unique(names, table.name, place, "device"):
                continue
            if template is None and "template" in raw:
                # What the template would have brought isn't known, so nothing can be called missing.
                continue
            complete = [done for group in groups.values() if (done := self._groups.complete(group, kind))]
            if not groups and not raw.get("group") and not self._context.unfinished:
                message = f"the device {quote(table.name)} has no group, so nothing would be read"
                self._report.add(place, message, "add a [[device.group]], or name a template")
            self._groups.check_paths([group.tags for group in complete])
            if crowded_sink is not None:
                check_members(self._report, [group.tags for group in complete], crowded_sink)
            if gateway is None or assets is None:
                continue
            location = self._device_location(gateway, table, place)
            assets.add(table.name, location, place, [group.tags for group in complete])
            settings = [
                GroupSettings(
                    PollGroup(
                        name=group.name,
                        layout=Layout(table.name, group.name, location, group.tags.tags),
                        points=group.tags.points,
                        interval_s=group.interval_s,
                        subscribed=group.subscribed,
                        stale_s=group.stale_s,
                    ),
                    group.tags.rules,
                )
                for group in complete
            ]
            device = DeviceSettings(table.name, options, tuple(settings))
            if link and link.kind and link.options is not None and options is not None:
                site = site_of(gateway.id, self._context.path(gateway.data_dir), link.kind.name)
                self._plan(link, site, device, complete)
            if link:
                link.devices.append(device)
        if assets:
            assets.check()

    def _reference(self, raw: Raw, key: str, known: Mapping[str, Any], place: Place) -> Any:
        """What a key refers to, or None, with a problem if it is given and there is nothing of that name."""
        name = raw.get(key)
        if not isinstance(name, str) or not name:
            return None
        if name not in known:
            message = f"there is no {key} {quote(name)}"
            hint = meant_or_all(name, known, key)
            if key == "template" and library.has(name):
                message += " in the configuration"
                hint = f"copy the library's into it: tidegate template show {name} --toml"
            self._report.add(place.child(key), message, hint)
        return known.get(name)

    def _device_location(self, gateway: GatewayTable, table: DeviceTable, place: Place) -> tuple[str, ...]:
        """Enterprise, site, levels, asset. A level of the device replaces the gateway's from there down."""
        levels: dict[str, str | None] = {}
        replaced = False
        for level in ("area", "line", "cell"):
            own = getattr(table, level)
            replaced = replaced or own is not None
            levels[level] = own if replaced else getattr(gateway, level)
        for level, above in (("line", "area"), ("cell", "line")):
            if getattr(table, level) and not levels[above]:
                message = f"device.{level} is given, but no {above} stands above it"
                self._report.add(place.child(level), message, f"add {above}, or take {level} out")
        asset = table.asset or table.name
        return (gateway.enterprise, gateway.site, *(level for level in levels.values() if level), asset)

    def _plan(self, link: Link, site: Site, device: DeviceSettings, groups: Sequence[CompleteGroup]) -> None:
        """Let the driver plan every group, which needs no connection, and report what it can't read."""
        assert link.kind is not None
        fresh = []
        for group, settings in zip(groups, device.groups, strict=True):
            if not any(
                points is group.tags.points and driver == link.kind.name and options == device.options
                for driver, options, points in self._planned
            ):
                fresh.append((group, settings))
        if not fresh:
            return
        plans = plan_device(link.kind, link.table.name, link.options, site, device, [settings for _, settings in fresh])
        for (group, _), plan in zip(fresh, plans, strict=True):
            if not plan.errors:
                self._planned.append((link.kind.name, device.options, group.tags.points))
                continue
            columns = {tag.path: index for index, tag in enumerate(group.tags.tags)}
            for error in plan.errors:
                message, hint = with_mend(error.message)
                place = group.tags.place_of(columns[error.path])
                self._report.add(place, f"tag {quote(error.path)}: {message}", hint or "mend the tag")


def _default_socket(data_dir: Path) -> Path:
    """The service's has its place apart from what it keeps: whoever may open it needs no way into that."""
    return SERVICE_SOCKET if data_dir == SERVICE_DATA_DIR else data_dir / "control.sock"


def _location(table: GatewayTable) -> tuple[str, ...]:
    return tuple(level for level in (table.enterprise, table.site, table.area, table.line, table.cell) if level)
