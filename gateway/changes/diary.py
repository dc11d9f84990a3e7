"""Writing down what is done to the configuration: the audit log before and after, the history in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from gateway.actors import Actor
from gateway.audit import AuditError
from gateway.changes.errors import ChangeRefused
from gateway.changes.history import Outcome, Revision
from gateway.changes.ports import Audit
from gateway.changes.records import Records

log = logging.getLogger(__name__)

T = TypeVar("T")


class Diary:
    """What is about to be done is written down, or it isn't done. What is done is done, written down or not."""

    def __init__(self, records: Records, audit: Audit) -> None:
        self._records = records
        self._audit = audit

    async def begin(self, actor: Actor, action: str, subject: str, **details: Any) -> None:
        """An audit row about what is to be done. Without it, it isn't."""
        try:
            await self._audit.record(actor, action, subject, "begun", **details)
        except AuditError as error:
            raise ChangeRefused(507, "audit", f"{error}", "make room on the disk, then try again") from None

    async def ended(self, actor: Actor, action: str, revision: Revision, outcome: str, **details: Any) -> None:
        """An audit row about what became of a revision."""
        await self.ended_with(actor, action, f"revision {revision.number}", outcome, **details)

    async def ended_with(self, actor: Actor, action: str, subject: str, outcome: str, **details: Any) -> None:
        """An audit row about what is done already, which it therefore can't stop any more."""
        try:
            await self._audit.record(
                actor, action, subject, outcome, **{key: value for key, value in details.items() if value is not None}
            )
        except AuditError as error:
            log.error("the audit log didn't take %s of %s: %s", action, subject, error)

    async def decide(self, revision: Revision, outcome: Outcome, by: Actor, why: str | None = None) -> Revision:
        """Note what came of a revision. A disk that can't take it changes nothing about it."""
        try:
            return await asyncio.to_thread(self._records.history.decide, revision.number, outcome, by, why)
        except OSError as error:
            log.error("the history can't be written: %s", error)
            return revision

    async def on_disk(self, write: Callable[..., T], *arguments: Any) -> T:
        try:
            return await asyncio.to_thread(write, *arguments)
        except OSError as error:
            raise ChangeRefused(
                507, "disk", f"the history can't be written: {error.strerror or error}", "make room on the disk"
            ) from None
