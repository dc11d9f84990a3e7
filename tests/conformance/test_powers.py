"""The optional powers that diagnostics need: saying who a device is, and showing what goes over the wire."""

from __future__ import annotations

import asyncio

import pytest

from gateway.driver import DeviceSilent, Identifies, LinkDown, Plan, Traces
from gateway.wire import Direction, Frame
from tests.conformance.rig import Rig
from tests.support.groups import group_of


def identifying(rig: Rig) -> Identifies:
    if not isinstance(rig.driver, Identifies):
        pytest.skip("a device of this driver doesn't say who it is")
    return rig.driver


def tracing(rig: Rig) -> Traces:
    if not isinstance(rig.bus, Traces):
        pytest.skip("a bus of this driver can't be traced")
    return rig.bus


async def test_a_device_says_who_it_is_in_texts(patient_rig: Rig) -> None:
    driver = identifying(patient_rig)
    await patient_rig.bus.connect()
    said = await driver.identify()
    assert all(isinstance(text, str) and text for pair in said.items() for text in pair)


async def test_a_silent_device_has_no_identity(rig: Rig) -> None:
    driver = identifying(rig)
    await rig.bus.connect()
    await rig.silence(rig.driver.plan(group_of(*rig.adapter.points)))
    with pytest.raises((DeviceSilent, LinkDown)):
        await driver.identify()


async def test_every_byte_of_a_read_is_shown_and_nothing_once_it_is_off(patient_rig: Rig) -> None:
    bus = tracing(patient_rig)
    frames: list[Frame] = []
    bus.trace(frames.append)
    await patient_rig.bus.connect()
    plan = patient_rig.plan(*patient_rig.adapter.points)
    await patient_rig.read_right(plan)
    assert any(frame.direction is Direction.RECEIVED for frame in frames)
    if patient_rig.asked():
        assert sum(frame.direction is Direction.SENT for frame in frames) >= patient_rig.asked()
    assert all(frame.data and frame.form for frame in frames)
    assert [frame.mono_ns for frame in frames] == sorted(frame.mono_ns for frame in frames)
    bus.trace(None)
    seen = len(frames)
    await patient_rig.read_right(plan)
    assert len(frames) == seen


async def test_a_trace_may_begin_at_any_time_and_outlasts_the_connection(patient_rig: Rig) -> None:
    bus = tracing(patient_rig)
    await patient_rig.bus.connect()
    plan = patient_rig.plan(*patient_rig.adapter.points)
    await patient_rig.read_right(plan)
    frames: list[Frame] = []
    bus.trace(frames.append)
    await _until_more(patient_rig, plan, frames, 0)
    before = len(frames)
    await patient_rig.bus.connect()
    await _until_more(patient_rig, plan, frames, before)


async def _until_more(rig: Rig, plan: Plan, frames: list[Frame], before: int) -> None:
    """What talks unasked may be read from what it said before: that puts nothing on the wire."""
    async with asyncio.timeout(rig.bound_s):
        while len(frames) <= before:
            await rig.read_right(plan)
            await asyncio.sleep(0.001)


async def test_every_frame_has_a_meaning_whatever_becomes_of_its_bytes(patient_rig: Rig) -> None:
    bus = tracing(patient_rig)
    kind = patient_rig.adapter.kind
    assert kind.dissect is not None, "what can be traced can be understood"
    frames: list[Frame] = []
    bus.trace(frames.append)
    await patient_rig.bus.connect()
    await patient_rig.read_right(patient_rig.plan(*patient_rig.adapter.points))
    asked: Frame | None = None
    for frame in frames:
        meaning = kind.dissect(frame, asked)
        assert meaning.summary
        assert not meaning.fault
        assert all(0 <= part.offset <= part.offset + part.length <= len(frame.data) for part in meaning.parts)
        for size in range(len(frame.data)):
            for data in (frame.data[:size], frame.data[:size] + b"\xff" + frame.data[size + 1 :]):
                broken = Frame(0, 0, frame.direction, data, frame.form)
                for part in kind.dissect(broken, asked).parts:
                    assert part.offset + part.length <= len(data)
        if frame.direction is Direction.SENT:
            asked = frame


def test_where_a_link_leads_is_told(rig: Rig) -> None:
    kind, options = rig.adapter.kind, rig.adapter.link_options()
    if isinstance(rig.bus, Traces):
        assert kind.endpoints(options)
        assert all(endpoint.host for endpoint in kind.endpoints(options))
    assert isinstance(kind.unit_of(rig.adapter.device_options()), str)
