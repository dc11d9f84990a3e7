"""The write desk: the one door through which anything is written to a device, whoever asks.

A write passes these steps, in this order; a crash after any of them sends nothing a second time:

1. an id that is known is answered with what is remembered of it, and that is all;
2. the policy: switched on, tag writable, role, reason, limits, step, expiry, pace. What is refused here is audited,
   and not remembered: nothing was sent, and the same id may be asked again;
3. the intent is durable in the audit log, then the id in the desk's own memory;
4. the runtime compares (where something is expected), sends once and reads back;
5. the outcome is durable in the memory, then in the audit log.

If the gateway dies between 3 and 5, the outcome is remembered as unknown at the next start.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from gateway.actors import Actor, Role
from gateway.audit import AuditError, AuditLog
from gateway.commands.memory import Memory, MemoryFull
from gateway.commands.pace import Pace
from gateway.commands.policy import Policy, Target, check_value
from gateway.commands.request import Outcome, WriteRecord, WriteRefused, WriteRequest, as_json, check_form
from gateway.driver import DeviceSilent, LinkDown, NotAsExpected, NotWritten, WriteDiffers, WriteFailed
from gateway.model import Value
from gateway.settings import GatewaySettings

_log = logging.getLogger(__name__)

T = TypeVar("T")

FINISH_LIMIT_S = 1.0
"""How long writes under way may take at a stop."""
MOST_UNKEPT = 1000
REFUSALS_AT_ONCE, REFUSAL_EVERY_S = 30, 2.0
"""Refused requests that are audited one by one; more are counted, so that nobody can flush the log with them."""


class Field(Protocol):
    """The devices, as far as the desk needs them: `gateway.runtime.Runtime`."""

    async def write(
        self,
        device: str,
        path: str,
        value: Value,
        *,
        expected: Value = None,
        expires: float | None = None,
        sending: Callable[[], None],
    ) -> Value:
        """See :meth:`gateway.southbound.Supervisor.write`."""
        ...

    def preview(self, device: str, path: str, value: Value) -> Sequence[str] | None:
        """See :meth:`gateway.southbound.Supervisor.preview`."""
        ...


@dataclass(frozen=True, slots=True)
class Preview:
    """What a write would be."""

    target: Target
    value: Value
    refusal: WriteRefused | None
    """Why it wouldn't be accepted now; pace, expiry and expectation aside."""
    frames: Sequence[str] | None
    """What would go out, a line a request; None if the driver can't say or there is no value to write."""
    ttl_s: float
    enabled: bool
    """Whether anything may be written on this gateway."""


class WriteDesk:
    """One gateway's desk. ``async with`` opens and closes it. Call from the event loop."""

    def __init__(
        self,
        directory: Path,
        settings: Callable[[], GatewaySettings],
        field: Field,
        audit: AuditLog,
        *,
        now_ns: Callable[[], int] = time.time_ns,
        trusted: Callable[[], bool] = lambda: True,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`directory`: for the memory. `settings`: the configuration in force, asked at every request.

        `now_ns` and `trusted`: the wall clock, and whether it is right; both from any thread.
        """
        self._memory = Memory(directory, now_ns=now_ns, trusted=trusted, monotonic=monotonic)
        self._settings = settings
        self._field = field
        self._audit = audit
        self._now_ns = now_ns
        self._trusted = trusted
        self._pace = Pace(monotonic)
        self._policy: tuple[GatewaySettings, Policy] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="writes")
        self._running: dict[str, tuple[WriteRequest, asyncio.Task[WriteRecord]]] = {}
        self._on_the_wire: set[asyncio.Future[Value]] = set()
        self._unkept: dict[str, WriteRecord] = {}
        """Outcomes that the disk didn't take: until a stop they are known all the same."""
        self._closing = False
        self._usable = False
        self._refusals = _Refusals(monotonic)

    async def __aenter__(self) -> Self:
        """A memory that can't be read is said, and then every write is refused: it might be a repetition."""
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Writes under way may finish; after FINISH_LIMIT_S their outcome is unknown, and remembered as that."""
        self._closing = True
        running = [task for _, task in self._running.values()]
        if running:
            await asyncio.wait(running, timeout=FINISH_LIMIT_S)
            for sending in list(self._on_the_wire):
                sending.cancel()
            await asyncio.wait(running)
        await self._in_thread(self._memory.close)
        self._thread.shutdown()

    async def write(self, actor: Actor, request: WriteRequest) -> WriteRecord:
        """Do it, at most once. What was begun is finished even if nobody waits for it any more.

        Raises WriteRefused; whatever happened after that is in the record that is returned.
        """
        check_form(request)
        running = self._running.get(request.id)
        if running is not None:
            first, task = running
            if first.digest != request.digest:
                raise _reused(request.id)
            return await asyncio.shield(task)
        if self._closing:
            raise WriteRefused("stopping", "the gateway is stopping; nothing was sent", "try again when it is back")
        task = asyncio.create_task(self._write(actor, request), name=f"write {request.id}")
        self._running[request.id] = (request, task)
        task.add_done_callback(lambda done: self._finished(request.id, done))
        return await asyncio.shield(task)

    async def find(self, write_id: str) -> WriteRecord | None:
        """What is remembered of a write; None if there was none of this id for a day. Raises WriteRefused."""
        await self._require_memory()
        if (unkept := self._unkept.get(write_id)) is not None:
            return unkept
        return await self._in_thread(lambda: self._memory.get(write_id))

    def target(self, tag: str) -> Target:
        """Raises WriteRefused."""
        return self._policy_now().target(tag)

    def preview(self, role: Role, request: WriteRequest, *, with_value: bool) -> Preview:
        """What :meth:`write` would do with it now, without doing it. Raises WriteRefused if there is no such tag.

        `with_value`: False to look at the tag only.
        """
        policy = self._policy_now()
        target = policy.target(request.tag)
        refusal: WriteRefused | None = None
        frames: Sequence[str] | None = None
        if with_value:
            try:
                policy.admit(role, request)
            except WriteRefused as error:
                refusal = error
            try:
                check_value(target, request.value)
                frames = self._field.preview(*request.place, request.value)
            except NotWritten as error:
                refusal = refusal or WriteRefused("out-of-limits", str(error), "write another value")
            except (KeyError, WriteRefused):
                frames = None
        return Preview(
            target, request.value, refusal, frames, request.ttl_s or policy.write.ttl_s, policy.write.enabled
        )

    # -- the steps -----------------------------------------------------------------------------------------------------

    async def _write(self, actor: Actor, request: WriteRequest) -> WriteRecord:
        received = asyncio.get_running_loop().time()
        known = await self.find(request.id)
        if known is not None:
            if known.digest != request.digest:
                raise _reused(request.id)
            return known
        try:
            target = self._policy_now().admit(actor.role, request)
            expires = received + self._ttl_s(request)
            self._pace.take(target, self._policy_now().write.max_per_minute)
        except WriteRefused as refusal:
            await self._audit_refusal(actor, request, refusal)
            raise
        record = WriteRecord(
            request.id, request.digest, request.tag, request.value, request.reason,
            actor.name, actor.role.value, actor.via, self._now_ns(),
        )  # fmt: skip
        await self._remember(actor, record, request)
        record = await self._sent(request, record, expires)
        return await self._conclude(actor, record)

    async def _remember(self, actor: Actor, record: WriteRecord, request: WriteRequest) -> None:
        """Step 3. Raises WriteRefused; nothing may be sent then."""
        details: dict[str, Any] = {"id": record.id, "value": as_json(record.value), "reason": record.reason}
        if request.expected is not None:
            details["expected"] = as_json(request.expected)
        try:
            await self._audit.record(actor, "write.intent", record.tag, "asked", **details)
            await self._in_thread(lambda: self._memory.asked(record))
        except (AuditError, OSError, MemoryFull) as error:
            refusal = WriteRefused(
                "not-recorded", f"the write can't be recorded: {error}; nothing was sent", "mend that, then try again"
            )
            if not isinstance(error, AuditError):
                await self._audit_outcome(
                    actor, replace(record, outcome=Outcome.REFUSED, sent=False, message=str(refusal))
                )
            raise refusal from None

    async def _sent(self, request: WriteRequest, record: WriteRecord, expires: float) -> WriteRecord:
        """Step 4. Never raises: whatever comes of it is an outcome."""
        sent = False

        def sending() -> None:
            nonlocal sent
            sent = True

        device, path = request.place
        wire = asyncio.ensure_future(
            self._field.write(device, path, request.value, expected=request.expected, expires=expires, sending=sending)
        )
        self._on_the_wire.add(wire)
        came: Exception | asyncio.CancelledError | None = None
        read_back: Value = None
        try:
            read_back = await wire
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - each is an outcome
            came = error
        finally:
            self._on_the_wire.discard(wire)
        outcome, code, message = _outcome(record.tag, came, sent=sent)
        return replace(
            record,
            outcome=outcome,
            sent=sent,
            read_back=read_back,
            code=code,
            message=message,
            done_ns=self._now_ns(),
        )

    async def _conclude(self, actor: Actor, record: WriteRecord) -> WriteRecord:
        """Step 5. What can't be kept is said in the log: the write itself is done."""
        try:
            await self._in_thread(lambda: self._memory.done(record))
        except OSError as error:
            _log.error("the outcome of write %s (%s) can't be remembered: %s", record.id, record.outcome, error)
            self._unkept[record.id] = record
            if len(self._unkept) > MOST_UNKEPT:
                del self._unkept[next(iter(self._unkept))]
        await self._audit_outcome(actor, record)
        return record

    # -- the rest ------------------------------------------------------------------------------------------------------

    async def _open(self) -> None:
        try:
            lost, latest = await self._in_thread(self._memory.open)
        except OSError as error:
            _log.error("what is remembered of writes can't be read, so none is accepted: %s", error)
            return
        self._usable = True
        try:
            rows = await self._audit.query(action="write.done", limit=1000)
        except OSError as error:
            _log.error("the audit log can't be read: %s", error)
            return
        audited = {row.details.get("id") for row in rows}
        for record in (*latest, *lost):
            # The gateway died between remembering an outcome and auditing it.
            if record.id not in audited:
                await self._audit_outcome(Actor(record.actor, Role(record.role), record.via), record, late=True)

    async def _require_memory(self) -> None:
        if not self._usable:
            await self._open()
        if not self._usable:
            raise WriteRefused(
                "not-recorded",
                "what is remembered of earlier writes can't be read, so this might be one of them; nothing was sent",
                "see the gateway's log, and mend the disk",
            )

    async def _audit_outcome(self, actor: Actor, record: WriteRecord, **more: Any) -> None:
        details = {
            "id": record.id,
            "value": as_json(record.value),
            "sent": record.sent,
            "read_back": as_json(record.read_back),
            "message": record.message,
            **more,
        }
        try:
            await self._audit.record(actor, "write.done", record.tag, record.outcome.value, **details)
        except AuditError as error:
            _log.error("the outcome of write %s (%s) can't be audited: %s", record.id, record.outcome, error)

    async def _audit_refusal(self, actor: Actor, request: WriteRequest, refusal: WriteRefused) -> None:
        unsaid = self._refusals.unsaid()
        if unsaid is None:
            return
        more = {"refused_before": unsaid} if unsaid else {}
        try:
            await self._audit.record(
                actor, "write.refuse", request.tag, "refused",
                id=request.id, value=as_json(request.value), code=refusal.code, message=str(refusal), **more,
            )  # fmt: skip
        except AuditError as error:
            _log.warning("a refused write to %s can't be audited: %s", request.tag, error)

    def _ttl_s(self, request: WriteRequest) -> float:
        """Seconds it may take until it is sent. Raises WriteRefused."""
        ttl_s = request.ttl_s or self._policy_now().write.ttl_s
        if request.expires_ns is None:
            return ttl_s
        if not self._trusted():
            message = "the gateway's clock isn't known to be right, so it can't tell when this expires"
            raise WriteRefused("expired", message, "give a ttl")
        left_s = (request.expires_ns - self._now_ns()) / 1e9
        if left_s <= 0:
            raise WriteRefused("expired", f"it expired {-left_s:.1f} s ago; nothing was sent", "ask anew")
        return left_s if request.ttl_s is None else min(ttl_s, left_s)

    def _policy_now(self) -> Policy:
        settings = self._settings()
        if self._policy is None or self._policy[0] is not settings:
            self._policy = (settings, Policy(settings))
        return self._policy[1]

    def _finished(self, write_id: str, task: asyncio.Task[WriteRecord]) -> None:
        del self._running[write_id]
        if not task.cancelled():
            task.exception()  # whoever asked may be gone

    def _in_thread(self, function: Callable[[], T]) -> Awaitable[T]:
        return asyncio.get_running_loop().run_in_executor(self._thread, function)


class _Refusals:
    """Which refusals are audited one by one."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._left = float(REFUSALS_AT_ONCE)
        self._at = monotonic()
        self._unsaid = 0

    def unsaid(self) -> int | None:
        """How many weren't audited since the last one that was; None if this one isn't to be, either."""
        now = self._monotonic()
        self._left = min(float(REFUSALS_AT_ONCE), self._left + (now - self._at) / REFUSAL_EVERY_S)
        self._at = now
        if self._left < 1:
            self._unsaid += 1
            return None
        self._left -= 1
        unsaid, self._unsaid = self._unsaid, 0
        return unsaid


def _outcome(
    tag: str, came: Exception | asyncio.CancelledError | None, *, sent: bool
) -> tuple[Outcome, str | None, str | None]:
    """(outcome, code, sentence) for what sending a write ended in."""
    match came:
        case None:
            return Outcome.WRITTEN, None, None
        case NotAsExpected():
            return Outcome.REFUSED, "not-as-expected", str(came)
        case NotWritten():
            return Outcome.REFUSED, "device-refused" if sent else "not-sent", str(came)
        case WriteDiffers():
            return Outcome.DIFFERS, "reads-otherwise", str(came)
        case WriteFailed() | DeviceSilent() | LinkDown():
            message = str(came)
        case KeyError():
            message = f"{tag} is no longer there"
        case asyncio.CancelledError():
            message = f"the gateway was stopped while {tag} was being written"
        case _:
            _log.error("a write to %s went wrong inside the gateway", tag, exc_info=came)
            message = f"this went wrong inside the gateway ({type(came).__name__})"
    if not sent:
        code = "unreachable" if isinstance(came, DeviceSilent | LinkDown) else "not-sent"
        return Outcome.REFUSED, code, _saying(message, "nothing was sent", "nothing was sent")
    return Outcome.UNKNOWN, "unknown", _saying(message, "unknown", "whether it was written is unknown")


def _saying(message: str, word: str, addition: str) -> str:
    return message if word in message else f"{message}; {addition}"


def _reused(write_id: str) -> WriteRefused:
    return WriteRefused(
        "id-reused", f"the id {write_id} was used for another write; nothing was sent", "make a new id for every write"
    )
