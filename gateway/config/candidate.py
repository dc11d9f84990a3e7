"""A link and a device, or a sink, that aren't configured yet, checked as if they were: what is tested before it is
saved.

They are read as a configuration of their own, so that the models, the defaults and the sentences are the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.config.build import Builder
from gateway.config.context import Context
from gateway.config.document import Document, Source
from gateway.config.places import Key, Place
from gateway.config.reading import DiskFiles
from gateway.config.report import Report
from gateway.settings import GatewaySettings, LinkSettings, MqttSettings

_LEVELS = ("enterprise", "site", "area", "line", "cell")
_GROUP = "test"


@dataclass(frozen=True, slots=True)
class Flaw:
    """One thing to mend in a table that was given."""

    field: str
    """Where: ``link.host``, ``device.unit``, ``tag.0.address``; empty: the whole."""
    message: str
    mend: str | None


class Flawed(Exception):
    """The tables can't be used. Never empty."""

    def __init__(self, flaws: tuple[Flaw, ...]) -> None:
        super().__init__("; ".join(flaw.message for flaw in flaws))
        self.flaws = flaws


def candidate_link(
    link: Mapping[str, Any],
    device: Mapping[str, Any],
    tags: Sequence[Any],
    gateway: GatewaySettings,
    directory: Path,
) -> LinkSettings:
    """One link with one device, whose tags are read as one group. The tables are those of the configuration.

    Names may be left out. `directory`: where relative paths start. Raises Flawed with everything that is wrong.
    """
    link = {"name": "link", **link}
    own = {key: value for key, value in device.items() if key != "link"}
    groups = own.get("group", [])
    if tags and isinstance(groups, list):
        groups = [*groups, {"name": _GROUP, "interval_ms": 1000, "tag": [*tags]}]
    device = {"name": "device", **own, "link": link["name"], "group": groups}
    return _read({"link": [link], "device": [device]}, gateway, directory).links[0]


def candidate_sink(sink: Mapping[str, Any], gateway: GatewaySettings, directory: Path) -> MqttSettings:
    """One sink. Its name may be left out. Raises Flawed with everything that is wrong."""
    return _read({"sink": [{"name": "sink", **sink}]}, gateway, directory).sinks[0]


def _read(body: Mapping[str, Any], gateway: GatewaySettings, directory: Path) -> GatewaySettings:
    where = dict(zip(_LEVELS, gateway.location, strict=False))
    head = {"gateway": {"id": gateway.id, "data_dir": str(gateway.data_dir), **where}}
    path = directory / "candidate.toml"
    document = Document([Source(path, "", {**head, **body})], DiskFiles(path))
    report = Report(document)
    settings = Builder(Context(document, report, check_secrets=True, unfinished=True)).build()
    flaws = tuple(Flaw(_field(place), message, mend) for place, message, mend in report.found())
    if flaws or settings is None:
        raise Flawed(flaws)
    return settings


def _field(place: Place | None) -> str:
    """As it stands in the tables that were given."""
    path = place.path if isinstance(place, Key) else ()
    if path[:1] == ("device",) and len(path) > 4 and path[2] == "group" and path[4] == "tag":
        return ".".join(map(str, ("tag", *path[5:])))
    return ".".join(str(part) for at, part in enumerate(path) if at != 1)
