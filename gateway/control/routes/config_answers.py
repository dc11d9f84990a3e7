"""What the operations of the configuration answer."""

from __future__ import annotations

from typing import Any, Literal

from typing_extensions import TypedDict

from gateway.changes.diff import FileConflict, FileDiff
from gateway.changes.history import Revision
from gateway.changes.meaning import Meaning
from gateway.changes.owner import Owner
from gateway.changes.pending import ConfirmBy
from gateway.control.openapi import FoundProblem
from gateway.delta import Applied, Delta


class FileSize(TypedDict):
    name: str
    bytes: int


class FileText(FileSize):
    text: str | None
    """Null: it isn't UTF-8."""


class PendingChange(TypedDict):
    """A change that runs and waits to be confirmed."""

    revision: int
    author: str
    reason: str
    changes: list[str]
    """A sentence each, the first ones."""
    confirm_by: ConfirmBy
    confirm_within_s: float
    seconds_left: float
    not_well_yet: list[str]
    """What was well before and isn't again."""


class DraftState(TypedDict):
    version: str
    base: str
    """Digest of what it was begun from."""
    digest: str
    author: str
    changed_by: str
    changed_at_ms: int
    begun_at_ms: int


class DraftFiles(DraftState):
    main: str
    files: list[FileText]


class RebasedDraft(DraftState):
    conflicts: list[FileConflict]


class Trouble(TypedDict):
    """Why something else than the files in place runs."""

    runs: Literal["files", "revision", "starter"]
    revision: int | None
    problems: list[FoundProblem]


class Overview(TypedDict):
    main: str
    digest: str | None
    """Null: the files in place can't be read."""
    running_digest: str
    files: list[FileSize]
    edited_outside: bool
    owner: Owner
    pending: PendingChange | None
    draft: DraftState | None
    trouble: Trouble | None
    needs_restart: list[str]


class ConfigFiles(TypedDict):
    digest: str
    main: str
    files: list[FileText]


class GatewayPart(TypedDict):
    id: str
    location: list[str]
    data_dir: str
    socket: str
    clock: str


class TemplatePart(TypedDict):
    name: str
    file: str | None
    driver: str | None


class ResolvedConfig(TypedDict):
    """With every default filled in. What links, devices and tags have beside their names is the drivers' affair."""

    digest: str
    gateway: GatewayPart
    journal: dict[str, Any]
    sinks: list[dict[str, Any]]
    links: list[dict[str, Any]]
    templates: list[TemplatePart]


class Differences(TypedDict):
    files: list[FileDiff]
    patch: str
    changes: list[Meaning] | None
    """Null: one of the two can't be read."""


class DraftDifferences(Differences):
    version: str
    conflict: bool
    """Whether somebody changed what is in place since it was begun."""


class Validated(TypedDict):
    valid: bool
    problems: list[FoundProblem]
    effect: Delta | None
    """What applying it would restart; null: it is invalid."""
    unnamed: list[str]
    """Files that nothing in the configuration names."""
    version: str


class ChangeMade(TypedDict):
    revision: Revision
    effect: Applied | Delta
    pending: PendingChange | None
    """Null: it needs no confirmation."""
