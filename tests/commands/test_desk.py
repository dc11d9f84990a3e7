"""The write desk: what it lets through, that it never does anything twice, and what it says about it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.actors import Actor, Role
from gateway.audit import AuditError, AuditLog
from gateway.commands import Outcome, WriteDesk, WriteRecord, WriteRefused, WriteRequest
from gateway.commands import memory as memory_module
from gateway.commands.policy import Policy
from gateway.driver import DeviceSilent, LinkDown, NotWritten, WriteDiffers, WriteFailed
from gateway.model import DataType, Value
from gateway.settings import GatewaySettings, WriteRules, WriteSettings
from tests.commands.field import ON, SETPOINT, D, FakeField, T, settings

OLGA = Actor("olga", Role.OPERATOR, "page")
EVA = Actor("eva", Role.ENGINEER, "page")
_ids = itertools.count()


def ask(tag: str = "d/setpoint", value: Value = 100, **more: Any) -> WriteRequest:
    return WriteRequest(tag, value, more.pop("id", f"id-{next(_ids):08d}"), **more)


class Rig:
    """A desk on a directory; `settings` and the clocks can be turned."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.settings: GatewaySettings = SETPOINT
        self.field = FakeField()
        self.ns = 1_800_000_000_000_000_000
        self.s = 0.0
        self.trusted = True

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[WriteDesk]:
        async with AuditLog(self.directory / "audit") as self.audit:
            async with WriteDesk(
                self.directory / "writes",
                lambda: self.settings,
                self.field,
                self.audit,
                now_ns=lambda: self.ns,
                trusted=lambda: self.trusted,
                monotonic=lambda: self.s,
            ) as desk:
                yield desk

    async def until_sent(self) -> None:
        async with asyncio.timeout(5):
            await self.field.on_the_wire.wait()


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


@pytest.fixture
async def desk(rig: Rig) -> AsyncIterator[WriteDesk]:
    async with rig.open() as desk:
        yield desk


async def refused(
    desk: WriteDesk, request: WriteRequest, code: str, sentence: str, actor: Actor = OLGA
) -> WriteRefused:
    with pytest.raises(WriteRefused, match=sentence) as caught:
        await desk.write(actor, request)
    assert caught.value.code == code
    assert caught.value.mend
    return caught.value


async def test_a_write_is_sent_once_read_back_and_audited_before_and_after(rig: Rig, desk: WriteDesk) -> None:
    record = await desk.write(OLGA, ask(value=12_000, reason="new batch"))
    assert (record.outcome, record.sent, record.read_back) == (Outcome.WRITTEN, True, 12_000)
    assert rig.field.sent == [("d/setpoint", 12_000)]
    done, intent = await rig.audit.query(action="write")
    assert (intent.action, intent.outcome, intent.details["reason"]) == ("write.intent", "asked", "new batch")
    assert (done.action, done.outcome, done.details["read_back"]) == ("write.done", "written", 12_000)
    assert {intent.details["id"], done.details["id"]} == {record.id}
    assert (done.actor, done.subject) == ("olga", "d/setpoint")


async def test_nothing_is_written_unless_it_was_switched_on(rig: Rig, desk: WriteDesk) -> None:
    rig.settings = settings(T("setpoint"), write=WriteSettings())
    await refused(desk, ask(), "writes-disabled", "writing is switched off on this gateway")
    rig.settings = settings(T("setpoint"), write=ON)
    assert (await desk.write(OLGA, ask())).outcome is Outcome.WRITTEN
    assert len(rig.field.sent) == 1


@pytest.mark.parametrize(
    ("request_", "code", "sentence"),
    [
        (ask("d/nowhere"), "no-such-tag", "there is no tag 'd/nowhere'"),
        (ask("nowhere"), "no-such-tag", "there is no tag 'nowhere'"),
        (ask("d/serial"), "not-writable", "d/serial isn't declared writable"),
        (ask("d/limit", 1), "role-too-low", "writing d/limit needs the role engineer, yours is operator"),
        (ask(value=24_001), "out-of-limits", "24001 is over the greatest value that may be written, 24000"),
        (ask(value=-1), "out-of-limits", "-1 is under the least value that may be written, 0"),
        (ask(value=0.5), "out-of-limits", "0.5 is between two steps"),
        (ask(value=True), "out-of-limits", "True isn't a number"),
        (ask(value=None), "out-of-limits", "None isn't a number"),
        (ask(value="5"), "out-of-limits", "'5' isn't a number"),
        (ask(value=math.nan), "out-of-limits", "nan can't be written"),
        (ask("d/ratio", 5.5), "out-of-limits", "5.5 is over the greatest value that may be written, 5"),
        (ask("d/ratio", 1.3), "out-of-limits", "only -10 and steps of 0.5 from there"),
        (ask("d/run", 1), "out-of-limits", "1 isn't a bool"),
        (ask(id="short"), "bad-request", "'short' can't be the id of a write"),
        (ask(id="x" * 65), "bad-request", "can't be the id of a write"),
        (ask(reason="x" * 501), "bad-request", "longer than 500 characters"),
        (ask(ttl_s=0.0), "bad-request", "ttl is 0 s"),
        (ask(ttl_s=math.nan), "bad-request", "ttl is nan s"),
        (ask(value=1 << 64), "bad-request", "can't be understood"),
        (ask("d/recipe", "\ud800"), "bad-request", "can't be understood"),
        (ask("d/recipe", "x" * 20_000), "bad-request", "longer than 16384 bytes"),
        (ask(expires_ns=1_799_999_999_000_000_000), "expired", "it expired 1.0 s ago; nothing was sent"),
    ],
)
async def test_what_is_refused_says_the_limit_and_sends_nothing(
    rig: Rig, desk: WriteDesk, request_: WriteRequest, code: str, sentence: str
) -> None:
    await refused(desk, request_, code, sentence)
    assert rig.field.calls == []
    if code != "bad-request":
        assert await desk.find(request_.id) is None


async def test_a_tag_may_ask_for_more_than_the_gateway(rig: Rig, desk: WriteDesk) -> None:
    await refused(desk, ask("d/limit", 5), "reason-missing", "writing d/limit needs a reason", EVA)
    await refused(desk, ask("d/limit", 5, reason="  "), "reason-missing", "needs a reason", EVA)
    assert (await desk.write(EVA, ask("d/limit", 5, reason="set up"))).outcome is Outcome.WRITTEN


async def test_a_tag_is_not_written_faster_than_it_may(rig: Rig, desk: WriteDesk) -> None:
    rig.settings = settings(T("a", write=WriteRules(min_interval_s=2)), T("b"))
    await desk.write(OLGA, ask("d/a"))
    rig.s = 1.5
    refusal = await refused(desk, ask("d/a"), "too-fast", "d/a may be written every 2 s only")
    assert refusal.retry_after_s == pytest.approx(0.5)
    await desk.write(OLGA, ask("d/b"))
    rig.s = 2.0
    await desk.write(OLGA, ask("d/a"))


async def test_a_gateway_takes_so_many_writes_in_a_minute(rig: Rig, desk: WriteDesk) -> None:
    write = WriteSettings(enabled=True, min_interval_s=0, max_per_minute=3)
    rig.settings = settings(*(T(f"t{i}") for i in range(20)), write=write)
    for number in range(3):
        await desk.write(OLGA, ask(f"d/t{number}"))
    refusal = await refused(desk, ask("d/t3"), "too-fast", "takes 3 writes in a minute at most")
    assert refusal.retry_after_s == pytest.approx(20)
    rig.s = 20.0
    await desk.write(OLGA, ask("d/t3"))
    await refused(desk, ask("d/t4"), "too-fast", "in a minute")
    assert len(rig.field.sent) == 4


TYPES = st.sampled_from([D.UINT16, D.INT16, D.INT32, D.UINT64, D.FLOAT32, D.FLOAT64, D.BOOL, D.STRING])
NUMBERS = st.none() | st.integers(-1000, 1000) | st.floats(-1000, 1000)
VALUES: st.SearchStrategy[Value] = (
    st.none() | st.booleans() | st.integers() | st.integers(-2000, 2000) | st.floats() | st.text(max_size=5)
)


@st.composite
def tags(draw: st.DrawFn) -> T:
    kind = draw(TYPES)
    low, high, least, most = (draw(NUMBERS) if kind.is_numeric else None for _ in range(4))
    step = draw(st.none() | st.sampled_from([0.1, 0.5, 1, 7])) if kind.is_numeric else None
    role = draw(st.none() | st.sampled_from([Role.OPERATOR, Role.ENGINEER, Role.ADMIN]))
    write = draw(st.none() | st.just(WriteRules(least, most, step, None, role, draw(st.none() | st.booleans()))))
    scale = draw(st.sampled_from([1.0, 0.1, -2.0])) if kind.is_numeric else 1.0
    return T("t", kind, draw(st.booleans()), low, high, scale, write)


@given(
    tags(),
    VALUES,
    st.sampled_from(Role),
    st.booleans(),
    st.none() | st.text(max_size=3),
)
def test_nothing_outside_the_limits_is_ever_passed_on(
    tag: T, value: Value, role: Role, enabled: bool, reason: str | None
) -> None:
    policy = Policy(settings(tag, write=WriteSettings(enabled=enabled)))
    try:
        policy.admit(role, WriteRequest("d/t", value, "id-00000000", reason))
    except WriteRefused:
        return
    write = tag.write or WriteRules()
    assert enabled
    assert tag.writable
    assert role.covers(write.role or Role.OPERATOR)
    assert not write.require_reason or (reason or "").strip()
    if tag.type.is_numeric:
        assert isinstance(value, int | float)
        assert not isinstance(value, bool)
        assert math.isfinite(value)
        low = tag.low if write.low is None else write.low
        high = tag.high if write.high is None else write.high
        assert low is None or value >= low
        assert high is None or value <= high
        if write.step:
            count = (value - (low or 0)) / write.step
            assert math.isclose(count, round(count), rel_tol=1e-6, abs_tol=1e-6)
    elif tag.type is DataType.BOOL:
        assert isinstance(value, bool)
    else:
        assert isinstance(value, str)


@pytest.mark.parametrize(
    ("fault", "outcome", "message"),
    [
        (NotWritten("the device refused it"), Outcome.REFUSED, "the device refused it"),
        (WriteDiffers("it reads 4 now"), Outcome.DIFFERS, "it reads 4 now"),
        (WriteFailed("odd"), Outcome.UNKNOWN, "odd; whether it was written is unknown"),
        (DeviceSilent("no answer; whether d/setpoint was written is unknown"), Outcome.UNKNOWN, "no answer; whether"),
        (LinkDown("gone"), Outcome.UNKNOWN, "gone; whether it was written is unknown"),
        (RuntimeError("flaw"), Outcome.UNKNOWN, "this went wrong inside the gateway (RuntimeError); whether"),
    ],
)
async def test_whatever_comes_of_it_is_remembered_and_never_sent_again(
    rig: Rig, desk: WriteDesk, fault: Exception, outcome: Outcome, message: str
) -> None:
    rig.field.fault = fault
    request = ask()
    record = await desk.write(OLGA, request)
    assert (record.outcome, record.sent) == (outcome, True)
    assert record.message is not None
    assert record.message.startswith(message)
    rig.field.fault = None
    assert await desk.write(OLGA, request) == record
    assert await desk.find(request.id) == record
    assert len(rig.field.sent) == 1
    assert (await rig.audit.query(action="write.done"))[0].outcome == outcome


@pytest.mark.parametrize(
    "early",
    [
        NotWritten("no"),
        LinkDown("link l is down; nothing was sent"),
        DeviceSilent("rests"),
        KeyError("d"),
        WriteFailed("x"),
    ],
)
async def test_what_never_went_out_is_refused_and_not_unknown(rig: Rig, desk: WriteDesk, early: Exception) -> None:
    rig.field.early = early
    request = ask()
    record = await desk.write(OLGA, request)
    assert (record.outcome, record.sent) == (Outcome.REFUSED, False)
    rig.field.early = None
    # Also an id of which nothing went out is never sent: what was answered stays true.
    assert await desk.write(OLGA, request) == record
    assert rig.field.sent == []


async def test_an_id_is_one_write(rig: Rig, desk: WriteDesk) -> None:
    request = ask()
    await desk.write(OLGA, request)
    for other in (ask(value=101, id=request.id), ask("d/run", True, id=request.id), ask(expected=5, id=request.id)):
        await refused(desk, other, "id-reused", "was used for another write; nothing was sent")
    assert len(rig.field.sent) == 1


async def test_a_repetition_while_it_is_under_way_waits_for_it(rig: Rig, desk: WriteDesk) -> None:
    rig.field.gate = asyncio.Event()
    request = ask()
    first = asyncio.create_task(desk.write(OLGA, request))
    await rig.until_sent()
    second = asyncio.create_task(desk.write(OLGA, request))
    await refused(desk, ask(value=7, id=request.id), "id-reused", "another write")
    rig.field.gate.set()
    assert await first == await second
    assert len(rig.field.sent) == 1


async def test_who_leaves_does_not_end_what_was_begun(rig: Rig, desk: WriteDesk) -> None:
    rig.field.gate = asyncio.Event()
    request = ask()
    first = asyncio.create_task(desk.write(OLGA, request))
    await rig.until_sent()
    first.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await first
    rig.field.gate.set()
    assert (await desk.write(OLGA, request)).outcome is Outcome.WRITTEN
    assert len(rig.field.sent) == 1


async def test_ids_survive_a_restart(rig: Rig) -> None:
    request = ask()
    async with rig.open() as desk:
        record = await desk.write(OLGA, request)
    async with rig.open() as desk:
        assert await desk.write(OLGA, request) == record
    assert len(rig.field.sent) == 1


async def test_a_stop_ends_what_is_under_way_as_unknown(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.commands.desk.FINISH_LIMIT_S", 0.05)
    rig.field.gate = asyncio.Event()
    request = ask()
    async with rig.open() as desk:
        waiting = asyncio.create_task(desk.write(OLGA, request))
        await rig.until_sent()
    record = await waiting
    assert record.outcome is Outcome.UNKNOWN
    assert (
        record.message
        == "the gateway was stopped while d/setpoint was being written; whether it was written is unknown"
    )
    async with rig.open() as desk:
        assert await desk.find(request.id) == record


async def test_expiry_and_expectation_reach_the_wire(rig: Rig, desk: WriteDesk) -> None:
    now = asyncio.get_running_loop().time()
    await desk.write(OLGA, ask(ttl_s=2.5, expected=99))
    await desk.write(OLGA, ask(expires_ns=rig.ns + 3_000_000_000))
    await desk.write(OLGA, ask(expires_ns=rig.ns + 3_000_000_000, ttl_s=1.0))
    await desk.write(OLGA, ask())
    assert [call["expected"] for call in rig.field.calls] == [99, None, None, None]
    assert [round(call["expires"] - now, 1) for call in rig.field.calls] == [
        pytest.approx(2.5, abs=0.2), pytest.approx(3.0, abs=0.2),
        pytest.approx(1.0, abs=0.2),
        pytest.approx(10.0, abs=0.3),
    ]  # fmt: skip
    rig.trusted = False
    await refused(desk, ask(expires_ns=rig.ns + 1), "expired", "clock isn't known to be right")


async def test_nothing_is_sent_that_cannot_be_audited_or_remembered(
    rig: Rig, desk: WriteDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: Any, **__: Any) -> None:
        raise AuditError("the audit log can't be written: No space left on device")

    def no_space(handle: int, body: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(rig.audit, "record", full)
        await refused(desk, ask(), "not-recorded", "No space left on device; nothing was sent")
    with monkeypatch.context() as patched:
        patched.setattr(memory_module.os, "write", no_space)
        request = ask()
        # The audit log writes with the same call: only the memory's disk is full here.
        patched.setattr(rig.audit, "record", _nothing)
        await refused(desk, request, "not-recorded", "No space left on device; nothing was sent")
    assert rig.field.sent == []
    assert (await desk.write(OLGA, request)).outcome is Outcome.WRITTEN


async def _nothing(*_: Any, **__: Any) -> None: ...


async def test_an_outcome_that_cannot_be_kept_is_still_known(
    rig: Rig, desk: WriteDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_space(_: WriteRecord) -> None:
        raise OSError(28, "No space left on device")

    request = ask()
    with monkeypatch.context() as patched:
        patched.setattr(desk._memory, "done", no_space)
        record = await desk.write(OLGA, request)
    assert record.outcome is Outcome.WRITTEN
    assert await desk.write(OLGA, request) == record
    assert len(rig.field.sent) == 1


async def test_a_memory_that_cannot_be_read_refuses_everything(rig: Rig) -> None:
    (rig.directory / "writes").write_text("no directory")
    async with rig.open() as desk:
        await refused(desk, ask(), "not-recorded", "so this might be one of them; nothing was sent")
        (rig.directory / "writes").unlink()
        assert (await desk.write(OLGA, ask())).outcome is Outcome.WRITTEN


async def test_refusals_cannot_flush_the_audit_log(rig: Rig, desk: WriteDesk) -> None:
    for _ in range(200):
        await refused(desk, ask(value=-1), "out-of-limits", "-1")
    assert len(await rig.audit.query(action="write.refuse", limit=500)) == 30
    rig.s += 2
    await refused(desk, ask(value=-1), "out-of-limits", "-1")
    assert (await rig.audit.query(action="write.refuse"))[0].details["refused_before"] == 170


async def test_a_preview_says_what_would_be_and_does_nothing(rig: Rig, desk: WriteDesk) -> None:
    preview = desk.preview(Role.OPERATOR, ask(value=5), with_value=True)
    assert (preview.refusal, preview.frames, preview.ttl_s) == (None, ["d/setpoint = 5"], 10)
    preview = desk.preview(Role.OPERATOR, ask(value=-5), with_value=True)
    assert str(preview.refusal) == "d/setpoint: -5 is under the least value that may be written, 0"
    assert preview.frames is None
    assert desk.preview(Role.VIEWER, ask(), with_value=True).refusal is not None
    assert desk.preview(Role.VIEWER, ask(), with_value=False).target.to_json()["max"] == 24_000
    assert rig.field.calls == []


async def test_an_outcome_whose_row_was_lost_is_audited_at_the_next_start(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with rig.open() as desk:
        await desk.write(OLGA, ask())
        record = rig.audit.record
        with monkeypatch.context() as patched:

            async def dying(actor: Actor, action: str, *rest: Any, **details: Any) -> None:
                if action == "write.done":
                    raise AuditError("the power failed")
                await record(actor, action, *rest, **details)

            patched.setattr(rig.audit, "record", dying)
            request = ask(value=6)
            await desk.write(OLGA, request)
    for _ in range(2):
        async with rig.open():
            rows = await rig.audit.query(action="write.done")
            assert [row.details["id"] for row in rows].count(request.id) == 1
            assert len(rows) == 2
            assert (rows[0].actor, rows[0].details["late"]) == ("olga", True)
