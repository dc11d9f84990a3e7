"""What is told of the configuration, JSON-ready: the types of this room's answers."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from gateway.changes.diff import FileConflict, FileDiff
from gateway.changes.history import Revision
from gateway.changes.meaning import Meaning
from gateway.delta import Applied, Delta
from gateway.settings import BreakerSettings, JournalSettings, MqttSettings, TagRules


class ProblemBody(TypedDict):
    message: str
    mend: str | None
    file: str
    """Its name in the configuration; a file elsewhere by its path."""
    line: int | None


class FileSize(TypedDict):
    name: str
    bytes: int


class FileText(TypedDict):
    name: str
    bytes: int
    text: str | None
    """Null if it isn't UTF-8."""


class Files(TypedDict):
    digest: str
    main: str
    files: list[FileText]


class OwnerBody(TypedDict):
    name: str
    set_by: str | None
    set_at_ms: int | None


class DraftBody(TypedDict):
    version: str
    base: str
    """Digest of what was in place when it was begun."""
    digest: str
    author: str
    changed_by: str
    changed_at_ms: int
    begun_at_ms: int


class DraftFiles(DraftBody):
    main: str
    files: list[FileText]


class Rebased(DraftBody):
    conflicts: list[FileConflict]
    """Files that both sides changed; the draft has its own text of them."""


class PendingBody(TypedDict):
    """A change that runs and comes back unless it is confirmed."""

    revision: int
    author: str
    reason: str
    changes: list[str]
    confirm_by: Literal["hand", "health"]
    confirm_within_s: float
    seconds_left: float
    not_well_yet: list[str]
    """What was well before and isn't yet, such as ``sink plant``."""


class Trouble(TypedDict):
    """Why something else than the files in place runs."""

    runs: Literal["files", "revision", "starter"]
    revision: int | None
    problems: list[ProblemBody]


class Overview(TypedDict):
    main: str
    digest: str | None
    """Null where the files in place can't be read."""
    running_digest: str
    files: list[FileSize]
    edited_outside: bool
    """The files in place aren't those that were started with or confirmed."""
    owner: OwnerBody
    pending: PendingBody | None
    draft: DraftBody | None
    trouble: Trouble | None
    needs_restart: list[str]


class Difference(TypedDict):
    files: list[FileDiff]
    patch: str
    changes: list[Meaning] | None
    """In words; null if one side isn't TOML."""


class DraftDifference(Difference):
    version: str
    conflict: bool
    """The files in place have changed since the draft was begun."""
    theirs: list[FileDiff]
    """How they have."""
    conflicts: list[FileConflict]
    """The files that were changed on both sides."""


class Validation(TypedDict):
    valid: bool
    problems: list[ProblemBody]
    effect: Delta | None
    """What applying it would restart; null if it is invalid."""
    unnamed: list[str]
    """CSV files of the draft that nothing names: they are left out when it is applied."""
    version: str


class Change(TypedDict):
    revision: Revision
    effect: Applied
    pending: PendingBody | None
    """Null if it needs no confirmation."""


class TagView(TypedDict):
    name: str
    type: str
    published_type: str
    count: int | None
    unit: str | None
    description: str | None
    original_name: str | None
    writable: bool
    rules: TagRules
    options: dict[str, Any]
    """The driver's."""


class GroupView(TypedDict):
    name: str
    interval_ms: float
    subscribed: bool
    stale_ms: float | None
    tags_csv: str | None
    from_template: bool
    tags: list[TagView]


class DeviceView(TypedDict):
    name: str
    file: str | None
    template: str | None
    location: list[str]
    options: dict[str, Any]
    groups: list[GroupView]


class LinkView(TypedDict):
    name: str
    file: str | None
    driver: str
    to: str
    options: dict[str, Any]
    breaker: BreakerSettings
    devices: list[DeviceView]


class SinkView(TypedDict):
    name: str
    file: str | None
    settings: MqttSettings


class TemplateView(TypedDict):
    name: str
    file: str | None
    driver: str | None


class GatewayView(TypedDict):
    id: str
    location: list[str]
    data_dir: str
    socket: str
    clock: str


class SettingsView(TypedDict):
    digest: str
    gateway: GatewayView
    journal: JournalSettings
    sinks: list[SinkView]
    links: list[LinkView]
    templates: list[TemplateView]


JsonSchema = TypedDict(
    "JsonSchema",
    {
        "$schema": str,
        "title": str,
        "description": str,
        "type": str,
        "additionalProperties": bool,
        "properties": dict[str, Any],
        "$defs": dict[str, Any],
    },
)
"""A JSON Schema (2020-12)."""
