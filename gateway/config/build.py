"""From the checked document to `gateway.settings`: references, templates, topics, defaults.

A template's tags are validated once; devices that use it share the same tuples of points, tags and rules. Only their
layouts differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import orjson

from gateway import registry
from gateway.config.csvtags import read_rows
from gateway.config.document import Document
from gateway.config.names import quote
from gateway.config.places import Cell, Key, Place
from gateway.config.plans import plan_device
from gateway.config.problems import Problem
from gateway.config.report import Checker, Report
from gateway.config.scaling import Scaling, published_type, report_findings
from gateway.config.schema import (
    SECTIONS,
    DeviceTable,
    GatewayTable,
    GroupTable,
    JournalTable,
    LinkTable,
    ReportTable,
    SecretTable,
    SinkTable,
    TagTable,
    TemplateTable,
    TlsTable,
)
from gateway.config.tls import check_tls
from gateway.config.topics import CASE_HINT, Assets, check_paths
from gateway.config.words import listing, meant_or_all
from gateway.driver import DriverKind, Point, PollGroup
from gateway.model import Layout, Tag
from gateway.secrets import SecretError, resolve
from gateway.settings import (
    BreakerSettings,
    DeviceSettings,
    GatewaySettings,
    GroupSettings,
    JournalSettings,
    LinkSettings,
    MqttSettings,
    ReportPolicy,
    Secret,
    TagRules,
    TlsSettings,
)

Raw: TypeAlias = Mapping[str, Any]

_MIB = 1 << 20
_LONGEST_SOCKET_PATH = 107
"""`sun_path` of Linux, unix(7), less its final NUL."""
_REPORT_KEYS = tuple(ReportTable.model_fields)
_TAG_COLUMNS = tuple(key for key in TagTable.model_fields if key != "report") + _REPORT_KEYS


@dataclass(frozen=True, slots=True, eq=False)
class Tags:
    """The tags of a group, checked: column *i* is `tags[i]`, `points[i]`, `rules[i]`, and stands at `place_of(i)`."""

    tags: tuple[Tag, ...]
    points: tuple[Point, ...]
    rules: tuple[TagRules, ...]
    place_of: Callable[[int], Place]


@dataclass(frozen=True, slots=True)
class Group:
    """A group as written: in a device that overrides a template's, interval or tags may be None."""

    name: str
    interval_s: float | None
    tags: Tags | None
    place: Place


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

    def __init__(self, document: Document, report: Report, *, check_secrets: bool) -> None:
        self._document = document
        self._report = report
        self._check_secrets = check_secrets
        self._directory = document.sources[0].path.parent
        self._kinds: dict[str, DriverKind | None] = {}
        self._broken: dict[str, str] = {}
        self._csv: dict[tuple[Path, str | None], Tags] = {}
        self._inline: dict[tuple[DriverKind | None, bytes], Tags] = {}
        self._paths_checked: set[tuple[Tags, ...]] = set()
        self._planned: list[tuple[str, Any, tuple[Point, ...]]] = []
        """(driver, device options, points) that were planned without an error."""
        self._checker = Checker(report, self._tables())

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
        sinks = self._sinks(gateway)
        templates = self._templates()
        links = self._links()
        self._devices(gateway, links, templates)
        if gateway is None or journal is None:
            return None
        data_dir = self._path(gateway.data_dir)
        return GatewaySettings(
            id=gateway.id,
            location=_location(gateway),
            data_dir=data_dir,
            socket=self._socket(gateway, data_dir),
            clock=gateway.clock,
            journal=journal,
            links=tuple(
                LinkSettings(
                    name=name,
                    kind=link.kind,
                    options=link.options,
                    devices=tuple(link.devices),
                    breaker=BreakerSettings(link.table.breaker.failures, link.table.breaker.retry_ms / 1000),
                )
                for name, link in links.items()
                if link.kind is not None
            ),
            sinks=sinks,
        )

    # -- tables -----------------------------------------------------------------------------------------------------

    def _tables(self) -> dict[str, Iterable[str]]:
        """Every table and its keys, the drivers' included, for "it belongs into …"."""
        tables: dict[str, list[str]] = {
            "[gateway]": [*GatewayTable.model_fields],
            "[journal]": [*JournalTable.model_fields],
            "[[sink]]": [*SinkTable.model_fields],
            "[sink.tls]": [*TlsTable.model_fields],
            "[[link]]": [*LinkTable.model_fields],
            "[[device]]": [*DeviceTable.model_fields],
            "[[device.group]]": [*GroupTable.model_fields],
            "[[device.group.tag]]": [*TagTable.model_fields],
            "report = {…} of a tag": [*_REPORT_KEYS],
            "[[template]]": [*TemplateTable.model_fields],
        }
        drivers = (table.get("driver") for table in self._raw_tables("link", "template"))
        for name in sorted({name for name in drivers if isinstance(name, str)}):
            if kind := self._kind(name):
                tables["[[link]]"] += kind.link_options.model_fields
                tables["[[device]]"] += kind.device_options.model_fields
                tables["[[device.group.tag]]"] += kind.tag_options.model_fields
        return dict(tables)

    def _raw_tables(self, *sections: str) -> list[Raw]:
        found: list[Raw] = []
        for section in sections:
            value = self._document.body.get(section)
            found += [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
        return found

    def _sections(self, name: str) -> list[tuple[Raw, Place]]:
        return self._checker.array(self._document.body.get(name, []), Key((name,)))

    def _kind(self, name: str) -> DriverKind | None:
        """The driver of that name, or None; if it is there and can't be loaded, why not is kept."""
        if name not in self._kinds:
            self._kinds[name] = None
            if name in registry.driver_names():
                try:
                    self._kinds[name] = registry.load_driver(name)
                except (ImportError, TypeError, AttributeError) as error:
                    self._broken[name] = f"{error}"
        return self._kinds[name]

    def _driver(self, name: str, place: Place) -> DriverKind | None:
        """The driver of that name, or None and a problem."""
        kind = self._kind(name)
        if name in self._broken:
            message = f"the driver {quote(name)} can't be loaded: {self._broken[name]}"
            self._report.add(place, message, "install its package again, with everything it needs")
        elif kind is None:
            names = registry.driver_names()
            self._report.add(place, f"there is no driver {quote(name)}", meant_or_all(name, names, "driver"))
        return kind

    def _path(self, text: str, base: Path | None = None) -> Path:
        return (base or self._directory) / text

    def _unique(self, names: dict[str, Place], name: str, place: Place, what: str) -> bool:
        """Whether a name is new, also in another case; a problem naming both places if not."""
        known = names.setdefault(name.lower(), place)
        if known is place:
            return True
        self._report.add(
            place.child("name"),
            f"the {what} {quote(name)} is also defined at {self._report.where(known.child('name'))}",
            "give one of them another name" + CASE_HINT,
        )
        return False

    # -- gateway, journal, sinks ------------------------------------------------------------------------------------

    def _gateway(self) -> GatewayTable | None:
        raw = self._document.body.get("gateway")
        place = Key(("gateway",))
        if raw is None:
            self._report.add(
                Key(()), "there is no [gateway] table", 'add [gateway] with id, enterprise and site, such as id = "gw1"'
            )
            return None
        if not self._is_table(raw, place):
            return None
        table = self._checker.table(GatewayTable, raw, place)
        if table is not None:
            for level, above in (("line", "area"), ("cell", "line")):
                if getattr(table, level) and not getattr(table, above):
                    message = f"gateway.{level} is given, but gateway.{above} isn't"
                    self._report.add(place.child(level), message, f"add {above}, or take {level} out")
        return table

    def _is_table(self, raw: Any, place: Place) -> bool:
        if isinstance(raw, dict):
            return True
        name = place.label
        if isinstance(raw, list):
            self._report.add(place, f"[[{name}]] is a list of tables, but must be one table", f"write [{name}], once")
        else:
            self._report.add(place, f"{name} must be a table", f"write [{name}] above its keys")
        return False

    def _socket(self, gateway: GatewayTable, data_dir: Path) -> Path:
        socket = self._path(gateway.socket) if gateway.socket else data_dir / "control.sock"
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
        if not self._is_table(raw, place):
            return None
        table = self._checker.table(JournalTable, raw, place)
        if table is None or gateway is None:
            return None
        return JournalSettings(
            path=self._path(table.path) if table.path else self._path(gateway.data_dir) / "journal.db",
            deadline_s=table.deadline_ms / 1000,
            max_bytes=round(table.max_mb * _MIB),
            max_age_s=table.max_age_h * 3600,
            memory_values=table.memory_values,
            min_free_bytes=round(table.min_free_mb * _MIB),
        )

    def _sinks(self, gateway: GatewayTable | None) -> tuple[MqttSettings, ...]:
        names: dict[str, Place] = {}
        clients: dict[tuple[str, int, str], Place] = {}
        sinks = []
        for raw, place in self._sections("sink"):
            table = self._checker.table(SinkTable, raw, place)
            if table is None:
                continue
            sink = self._sink(table, place, gateway.id if gateway else "")
            sinks.append(sink)
            if not self._unique(names, table.name, place, "sink"):
                continue
            known = clients.setdefault((sink.host.lower(), sink.port, sink.client_id), place)
            if known is not place:
                self._report.add(
                    place.child("client_id"),
                    f"this sink and the one at {self._report.where(known)} use the client id {quote(sink.client_id)} "
                    "at the same broker, which would disconnect one for the other",
                    "give each sink its own client_id, or leave it out",
                )
        return tuple(sinks)

    def _sink(self, table: SinkTable, place: Place, gateway_id: str) -> MqttSettings:
        if table.password is not None and table.username is None and table.protocol == "3.1.1":
            message = "sink.password is given without sink.username, which MQTT 3.1.1 doesn't allow"
            self._report.add(place.child("password"), message, "add username, or take password out")
        return MqttSettings(
            name=table.name,
            host=table.host,
            port=table.port or (1883 if table.tls is None else 8883),
            client_id=table.client_id or f"{gateway_id}-{table.name}",
            protocol=5 if table.protocol == "5" else 4,
            keepalive_s=table.keepalive_s,
            ack_timeout_s=table.ack_timeout_s,
            connect_timeout_s=table.connect_timeout_s,
            window=table.window,
            reconnect_max_s=table.reconnect_max_s,
            username=table.username,
            password=self._secret(table.password, place.child("password")) if table.password else None,
            tls=self._tls(table.tls, place.child("tls")) if table.tls is not None else None,
            root=table.root,
            granularity=table.granularity,
            profile=table.profile,
            retain=table.retain,
            strict_order=table.order == "strict",
            backfill_values_per_s=table.backfill_values_per_s,
            refused_retry_s=table.refused_retry_s,
            ledger_interval_s=table.ledger_interval_s,
        )

    def _secret(self, table: SecretTable, place: Place) -> Secret | None:
        given = {key: value for key, value in table if value is not None}
        if len(given) != 1:
            message = f"{place.label} names {len(given)} homes of a secret, but must name one"
            self._report.add(place, message, f"write one of {listing(SecretTable.model_fields)}")
            return None
        (source, name), *_ = given.items()
        secret = Secret(source, str(self._path(name)) if source == "file" else name)
        if self._check_secrets:
            try:
                resolve(secret)
            except SecretError as error:
                message, _, hint = str(error).rpartition(": ")
                self._report.add(place.child(source), f"{place.label}: {message}", hint)
        return secret

    def _tls(self, table: TlsTable, place: Place) -> TlsSettings:
        settings = TlsSettings(
            ca=self._path(table.ca) if table.ca else None,
            certificate=self._path(table.certificate) if table.certificate else None,
            key=self._path(table.key) if table.key else None,
            server_name=table.server_name,
        )
        for key, message, hint in check_tls(settings, files=self._check_secrets):
            self._report.add(place.child(key), f"{place.label}.{key}: {message}", hint)
        return settings

    # -- links, templates, devices ----------------------------------------------------------------------------------

    def _links(self) -> dict[str, Link]:
        names: dict[str, Place] = {}
        links: dict[str, Link] = {}
        for raw, place in self._sections("link"):
            common, own = _split(raw, LinkTable)
            table = self._checker.table(LinkTable, common, place)
            driver = raw.get("driver")
            kind = self._driver(driver, place.child("driver")) if isinstance(driver, str) and driver else None
            options = kind and self._checker.options(kind.link_options, own, place, LinkTable.model_fields)
            if table is None:
                # References to it are no problem of their own.
                if isinstance(name := raw.get("name"), str):
                    links.setdefault(name, Link(LinkTable.model_construct(name=name), kind, None, []))
                continue
            if self._unique(names, table.name, place, "link"):
                links[table.name] = Link(table, kind, options, [])
        return links

    def _templates(self) -> dict[str, Template]:
        names: dict[str, Place] = {}
        templates: dict[str, Template] = {}
        for raw, place in self._sections("template"):
            table = self._checker.table(TemplateTable, {**raw, "group": []}, place)
            driver = raw.get("driver")
            kind = self._driver(driver, place.child("driver")) if isinstance(driver, str) and driver else None
            groups = self._groups(raw.get("group", []), place.child("group"), kind)
            for group in groups.values():
                self._complete(group)
            if table is None:
                if isinstance(name := raw.get("name"), str):
                    templates.setdefault(name, Template(str(driver), groups))
                continue
            if self._unique(names, table.name, place, "template"):
                templates[table.name] = Template(table.driver, groups)
        return templates

    def _devices(self, gateway: GatewayTable | None, links: dict[str, Link], templates: dict[str, Template]) -> None:
        names: dict[str, Place] = {}
        assets = Assets(self._report, _location(gateway), gateway.id) if gateway else None
        for raw, place in self._sections("device"):
            link = self._reference(raw, "link", links, place)
            kind = link.kind if link else None
            common, own = _split(raw, DeviceTable)
            table = self._checker.table(DeviceTable, {**common, "group": []}, place)
            options = kind and self._checker.options(kind.device_options, own, place, DeviceTable.model_fields)
            template = self._reference(raw, "template", templates, place)
            if template and link and link.kind and template.driver != link.table.driver:
                self._report.add(
                    place.child("template"),
                    f"the template {quote(raw['template'])} is written for the driver {quote(template.driver)}, "
                    f"but the link {quote(raw['link'])} has the driver {quote(link.table.driver)}",
                    "use a link and a template of the same driver",
                )
                template = None
            own_groups = self._groups(raw.get("group", []), place.child("group"), kind)
            groups = self._override(template.groups if template else {}, own_groups)
            if table is None or not self._unique(names, table.name, place, "device"):
                continue
            if template is None and "template" in raw:
                # What the template would have brought isn't known, so nothing can be called missing.
                continue
            complete = [done for group in groups.values() if (done := self._complete(group))]
            if not groups and not raw.get("group"):
                message = f"the device {quote(table.name)} has no group, so nothing would be read"
                self._report.add(place, message, "add a [[device.group]], or name a template")
            self._check_paths([group.tags for group in complete])
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
                    ),
                    group.tags.rules,
                )
                for group in complete
            ]
            device = DeviceSettings(table.name, options, tuple(settings))
            if link and link.kind and link.options is not None and options is not None:
                self._plan(link, device, complete)
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
            self._report.add(place.child(key), message, meant_or_all(name, known, key))
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

    def _plan(self, link: Link, device: DeviceSettings, groups: Sequence[_Complete]) -> None:
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
        plans = plan_device(link.kind, link.table.name, link.options, device, [settings for _, settings in fresh])
        for (group, _), plan in zip(fresh, plans, strict=True):
            if not plan.errors:
                self._planned.append((link.kind.name, device.options, group.tags.points))
                continue
            columns = {tag.path: index for index, tag in enumerate(group.tags.tags)}
            for error in plan.errors:
                message, _, hint = error.message.rpartition(": ")
                place = group.tags.place_of(columns[error.path])
                self._report.add(
                    place, f"tag {quote(error.path)}: {message or hint}", hint if message else "mend the tag"
                )

    def _check_paths(self, groups: Sequence[Tags]) -> None:
        """Once for every combination of groups: devices of one template share theirs."""
        if tuple(groups) not in self._paths_checked:
            self._paths_checked.add(tuple(groups))
            check_paths(self._report, groups)

    # -- groups and tags --------------------------------------------------------------------------------------------

    def _groups(self, raws: Any, place: Place, kind: DriverKind | None) -> dict[str, Group]:
        """The groups of a device or template, by name."""
        names: dict[str, Place] = {}
        groups: dict[str, Group] = {}
        for raw, spot in self._checker.array(raws, place):
            table = self._checker.table(GroupTable, {**raw, "tag": []}, spot)
            rows: list[Tags] = []
            if table is not None and table.tags_csv is not None:
                rows.append(self._csv_tags(table.tags_csv, spot, kind))
            if raw.get("tag", []) != []:
                rows.append(self._inline_tags(raw["tag"], spot.child("tag"), kind))
            if table is None or not self._unique(names, table.name, spot, "group"):
                continue
            interval_s = None if table.interval_ms is None else table.interval_ms / 1000
            groups[table.name] = Group(table.name, interval_s, _join(rows), spot)
        return groups

    def _override(self, base: dict[str, Group], own: dict[str, Group]) -> dict[str, Group]:
        """A template's groups with the device's on top: what a device's group leaves out comes from the template's."""
        groups = dict(base)
        spellings = {name.lower(): name for name in base}
        for name, group in own.items():
            if spellings.get(name.lower(), name) != name:
                message = (
                    f"the group {quote(name)} differs only in case from the template's {quote(spellings[name.lower()])}"
                )
                self._report.add(group.place.child("name"), message, "spell it the same way, or give it another name")
            elif (known := base.get(name)) is not None:
                group = Group(
                    name,
                    known.interval_s if group.interval_s is None else group.interval_s,
                    known.tags if group.tags is None else group.tags,
                    group.place,
                )
            groups[name] = group
        return groups

    def _complete(self, group: Group) -> _Complete | None:
        """The group if it has an interval and tags, else None and problems."""
        if group.interval_s is None:
            self._report.add(group.place, f"{group.place.label}.interval_ms is missing", "add interval_ms = 1000")
        if group.tags is None:
            message = f"the group {quote(group.name)} has no tags"
            self._report.add(group.place, message, f'add [[{group.place.label}.tag]] tables, or tags_csv = "FILE"')
        if group.interval_s is None or group.tags is None:
            return None
        return _Complete(group.name, group.interval_s, group.tags)

    def _inline_tags(self, raws: Any, place: Place, kind: DriverKind | None) -> Tags:
        """Tags of `tag` tables. Devices with the very same ones share them as if they had a template."""
        tables = self._checker.array(raws, place)

        def place_of(index: int) -> Place:
            return tables[index][1]

        try:
            key = (kind, orjson.dumps(raws, option=orjson.OPT_PASSTHROUGH_DATETIME))
        except TypeError:
            return self._tags([raw for raw, _ in tables], place_of, kind)
        if known := self._inline.get(key):
            return replace(known, place_of=place_of)
        tags = self._tags([raw for raw, _ in tables], place_of, kind)
        if len(tags.tags) == len(tables):
            self._inline[key] = tags
        return tags

    def _csv_tags(self, name: str, group: Place, kind: DriverKind | None) -> Tags:
        assert isinstance(group, Key)
        path = self._path(name, self._document.source_of(group.path).path.parent)
        key = (path, kind.name if kind else None)
        if key not in self._csv:
            self._csv[key] = self._read_csv(path, name, group, kind)
        return self._csv[key]

    def _read_csv(self, path: Path, name: str, group: Place, kind: DriverKind | None) -> Tags:
        empty = Tags((), (), (), lambda index: Cell(path, index))
        if not path.exists():
            message = f"the file {quote(name)} doesn't exist (looked for {path})"
            self._report.add(group.child("tags_csv"), message, "create it, or mend the path")
            return empty
        own = kind.tag_options.model_fields if kind else {}
        required = [name for name, info in (TagTable.model_fields | own).items() if info.is_required()]
        problems: list[Problem] = []
        rows = read_rows(path, (*_TAG_COLUMNS, *own), required, problems)
        self._report.add_problems(problems)
        if rows is None or kind is None:
            return empty
        if not rows.rows and not problems:
            self._report.add_problems([Problem(path, None, "the file has no tags", "add a row for each tag")])
        raws = []
        for row in rows.rows:
            report = {key: row.pop(key) for key in _REPORT_KEYS if key in row}
            raws.append({**row, "report": report} if report else row)
        lines = rows.lines
        return self._tags(raws, lambda index: Cell(path, lines[index]), kind, strings=True)

    def _tags(
        self, raws: Sequence[Raw], places: Callable[[int], Place], kind: DriverKind | None, *, strings: bool = False
    ) -> Tags:
        """Validate tags. One that has a problem is left out of the result."""
        tags: list[Tag] = []
        points: list[Point] = []
        rules: list[TagRules] = []
        kept: list[int] = []
        for index, raw in enumerate(raws):
            common, own = _split(raw, TagTable)
            table = self._checker.table(TagTable, common, places(index), strings=strings)
            options = None
            if kind is not None:
                options = self._checker.options(
                    kind.tag_options, own, places(index), TagTable.model_fields, strings=strings
                )
            if table is None:
                continue
            scaling = Scaling(table.type, table.scale, table.offset, table.output, table.low, table.high, table.clamp)
            published, findings = published_type(scaling)
            policy = None
            if table.report is not None:
                findings = (*findings, *_report_findings(table, table.report))
                policy = _policy(table.report)
            for finding in findings:
                self._report.add(
                    places(index).child(*finding.key), f"tag {quote(table.name)}: {finding.message}", finding.hint
                )
            if findings or options is None:
                continue
            kept.append(index)
            points.append(Point(table.name, table.type, options))
            tags.append(
                Tag(
                    table.name,
                    published,
                    table.unit,
                    table.low,
                    table.high,
                    table.description,
                    table.writable,
                    table.original_name,
                )
            )
            rules.append(
                TagRules(table.type, published, table.scale, table.offset, table.low, table.high, table.clamp, policy)
            )
        return Tags(tuple(tags), tuple(points), tuple(rules), lambda index: places(kept[index]))


@dataclass(frozen=True, slots=True)
class _Complete:
    """A group with everything it needs."""

    name: str
    interval_s: float
    tags: Tags


def _split(raw: Raw, model: type[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """(keys of the model, all others: the driver's)"""
    fields = model.model_fields
    common: dict[str, Any] = {}
    own: dict[str, Any] = {}
    for key, value in raw.items():
        (common if key in fields else own)[key] = value
    return common, own


def _location(table: GatewayTable) -> tuple[str, ...]:
    return tuple(level for level in (table.enterprise, table.site, table.area, table.line, table.cell) if level)


def _join(parts: Sequence[Tags]) -> Tags | None:
    """Tags of a CSV file followed by inline ones; None if the group has neither."""
    if len(parts) < 2:
        return parts[0] if parts else None
    first, second = parts
    size = len(first.tags)
    return Tags(
        first.tags + second.tags,
        first.points + second.points,
        first.rules + second.rules,
        lambda index: first.place_of(index) if index < size else second.place_of(index - size),
    )


@cache
def _policy(table: ReportTable) -> ReportPolicy:
    return ReportPolicy(
        deadband=table.deadband,
        deadband_percent=table.deadband_percent,
        min_interval_s=table.min_interval_ms / 1000,
        max_interval_s=None if table.max_interval_ms is None else table.max_interval_ms / 1000,
    )


def _report_findings(table: TagTable, report: ReportTable) -> list[Any]:
    return report_findings(
        table.type,
        table.low,
        table.high,
        report.deadband,
        report.deadband_percent,
        report.min_interval_ms,
        report.max_interval_ms,
    )
