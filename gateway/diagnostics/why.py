"""Why isn't this tag in MQTT? One tag's whole way, with what was last seen at each stage, and where it stops.

Everything is worked out from what the stages know anyway, when somebody asks.
"""

from __future__ import annotations

import difflib
import enum
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.durations import duration
from gateway.journal import Fate, Where
from gateway.live import Entry, Live
from gateway.live.describe import describe, payloads
from gateway.live.plain import whole
from gateway.model import Layout, Quality, Record, Value, is_bad, is_good, quality_name
from gateway.pipeline import Stage as Pipeline
from gateway.pipeline.report import LastReport
from gateway.sentences import with_mend
from gateway.settings import TagRules
from gateway.status import Status

_LATE = 3
"""Intervals without a read after which a polled group is called late."""
_LATE_S = 5.0


class Plant(Protocol):
    """`gateway.runtime.Runtime`, as far as this needs it."""

    @property
    def live(self) -> Live: ...
    def status(self) -> Status: ...
    def stage(self, layout: Layout) -> Pipeline: ...
    def fate(self, sink: str, record: Record, position: int) -> Fate: ...
    def refusal(self, sink: str, device: str, topic: str) -> str | None: ...


class Mark(enum.StrEnum):
    OK = "ok"
    NOTE = "note"
    """It goes on, but not as one might expect."""
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of the way."""

    stage: str
    mark: Mark
    sentence: str
    mend: str | None = None
    sink: str | None = None
    """Of what each destination has for itself."""
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    tag: str
    steps: Sequence[Step]
    stage: str | None
    """Where it stops; None: it arrives."""
    sentence: str
    mend: str | None

    @property
    def arrives(self) -> bool:
        return self.stage is None


def why(plant: Plant, tag: str) -> Answer:
    """`tag`: ``device/path``. One that isn't configured has an answer, too."""
    try:
        entry = plant.live.directory.find(tag)
    except KeyError:
        step = _not_configured(plant, tag)
        return Answer(tag, [step], step.stage, step.sentence, step.mend)
    steps = list(_Way(plant, entry).steps())
    stop = next((step for step in steps if step.mark is Mark.STOP), None)
    if stop is not None:
        return Answer(tag, steps, stop.stage, stop.sentence, stop.mend)
    end = steps[-1]
    held = next((step for step in steps if step.stage == "report" and step.mark is Mark.NOTE), None)
    bad = next((step for step in steps if step.stage == "quality" and step.mark is Mark.NOTE), None)
    note = held or bad
    sentence = f"it is: {end.sentence}" + (f"; but {note.sentence}" if note is not None else "")
    return Answer(tag, steps, None, sentence, note.mend if note is not None else None)


def _not_configured(plant: Plant, tag: str) -> Step:
    names = [group.device.name for group in plant.live.directory.groups]
    device = tag.partition("/")[0]
    known = [f"{group.device.name}/{each.path}" for group in plant.live.directory.groups for each in group.layout.tags]
    close = difflib.get_close_matches(tag, known, n=1)
    if close:
        mend = f"did you mean {close[0]!r}?"
    elif device in names:
        mend = f"add it to the tags of {device!r}, or look whether a change of the configuration waits to be applied"
    else:
        mend = "write it as DEVICE/TAG, and look whether a change of the configuration waits to be applied"
    return Step("configured", Mark.STOP, f"the running configuration has no tag {tag!r}", mend)


class _Way:
    def __init__(self, plant: Plant, entry: Entry) -> None:
        self._plant = plant
        self._entry = entry
        self._status = plant.status()
        self._group = entry.group
        self._link = self._status["southbound"]["links"][entry.group.link.name]
        self._device = self._link["devices"][entry.group.device.name]
        self._read = self._device["groups"][entry.group.settings.poll.name]
        self._rules: TagRules = entry.group.settings.rules[entry.column]
        self._now_ns = plant.live.mono_ns()
        state = entry.group.current.state()
        self._value: Value = state.values[entry.column]
        self._quality = state.quality(entry.column)
        self._heard_ns = state.heard_ns(entry.column)

    def steps(self) -> Iterator[Step]:
        """Up to the first that stops; of several sinks each to its own end."""
        for step in self._southbound():
            yield step
            if step.mark is Mark.STOP:
                return
        sinks = self._plant.live.directory.sinks
        if not sinks:
            yield Step("topic", Mark.STOP, "no destination is configured", "add a [[sink]]")
            return
        messages = {message["sink"]: message for message in payloads(self._plant.live.directory, self._entry)}
        for sink in sinks:
            yield from self._northbound(sink.name, messages.get(sink.name))

    def _southbound(self) -> Iterator[Step]:
        known = describe(self._plant.live.directory, self._entry)
        address = known["address"]
        yield Step(
            "configured",
            Mark.OK,
            f"{address or known['path']} of {known['device']}, {known['mode']} in group {known['group']}",
            details=known,
        )
        yield self._link_step()
        yield self._device_step()
        yield self._read_step()
        yield from self._value_steps()
        yield self._report_step()

    def _link_step(self) -> Step:
        link, name = self._link, self._group.link.name
        if link["state"] in ("up", "connecting") and self._device["state"] == "normal":
            return Step("link", Mark.OK, f"{name} is connected to {link['far_end']}")
        if link["state"] == "up":
            return Step("link", Mark.OK, f"{name} is connected to {link['far_end']}")
        sentence, mend = with_mend(link["detail"] or f"the link {name} is {link['state']}")
        return Step(
            "link",
            Mark.STOP,
            f"the link {name} is {link['state']}: {sentence}" if link["detail"] else sentence,
            mend or f"test the way to it: tidegate test {self._group.device.name}",
            details={"since_ns": link["since_ns"]},
        )

    def _device_step(self) -> Step:
        device, name = self._device, self._group.device.name
        if device["breaker"] == "closed" and device["state"] != "failure":
            return Step(
                "device", Mark.OK, f"{name} answers" if device["state"] == "normal" else f"{name} was just asked"
            )
        sentence, mend = with_mend(device["detail"] or f"{name} is in failure")
        return Step(
            "device",
            Mark.STOP,
            sentence,
            mend or "check that it is on, its address on the line, and its cabling",
            details={"since_ns": device["since_ns"], "breaker": device["breaker"]},
        )

    def _read_step(self) -> Step:
        """What came over the wire."""
        path = self._entry.tag.path
        error = next((error["message"] for error in self._read["errors"] if error["path"] == path), None)
        if error is not None:
            sentence, mend = with_mend(error)
            return Step("wire", Mark.STOP, f"it can't be read: {sentence}", mend or "mend the tag's address or type")
        if self._heard_ns < 0:
            speaks = "nothing was heard of it yet" if self._group.settings.poll.subscribed else "it wasn't read yet"
            return Step("wire", Mark.STOP, speaks, "wait a moment; if it stays so, look at the log")
        age_s = self._age_s(self._heard_ns)
        raw = self._raw()
        shown = "" if raw is None else f" as {_shown(raw[0])}"
        heard = "heard" if self._group.settings.poll.subscribed else "read"
        interval_s = self._group.settings.poll.interval_s
        late = not self._group.settings.poll.subscribed and age_s > max(_LATE * interval_s, _LATE_S)
        return Step(
            "wire",
            Mark.NOTE if late else Mark.OK,
            f"{heard} {duration(age_s)} ago{shown}"
            + (f", though it is to be read every {duration(interval_s)}" if late else ""),
            details={"age_s": round(age_s, 3), "value": None if raw is None else whole(raw[0])},
        )

    def _raw(self) -> tuple[Value, int] | None:
        """(value on the wire, quality there), if the last batch of the group had it."""
        batch = self._plant.stage(self._group.layout).wire
        if batch is None or batch.history or batch.event:
            return None
        column = self._entry.column
        if batch.columns is not None and column not in batch.columns:
            return None
        at = column if batch.columns is None else list(batch.columns).index(column)
        return batch.values[at], 0 if batch.qualities is None else batch.qualities[at]

    def _value_steps(self) -> Iterator[Step]:
        rules, tag = self._rules, self._entry.tag
        unit = f" {tag.unit}" if tag.unit else ""
        raw = self._raw()
        wire_quality = self._quality if raw is None else raw[1]
        if is_bad(wire_quality):
            sentence = f"the driver calls it {quality_name(wire_quality)}"
            yield Step("quality", Mark.NOTE, f"{sentence}: it is published without a value", _mend_of(wire_quality))
            return
        if rules.scaled:
            formula = f"× {rules.scale:g}" + (
                f" {'+' if rules.offset >= 0 else '−'} {abs(rules.offset):g}" * bool(rules.offset)
            )
            yield Step(
                "scaled", Mark.OK, f"{formula} is {_shown(self._value)}{unit}", details={"value": whole(self._value)}
            )
        else:
            yield Step(
                "scaled", Mark.OK, f"taken as it is: {_shown(self._value)}{unit}", details={"value": whole(self._value)}
            )
        name = quality_name(self._quality)
        if is_good(self._quality):
            yield Step("quality", Mark.OK, name, details={"quality": self._quality})
            return
        beyond = self._quality == Quality.UNCERTAIN_ENGINEERING_UNITS_EXCEEDED
        limits = f", as it lies outside {_shown(rules.low)} to {_shown(rules.high)}" if beyond else ""
        mend = "look at low, high and scale of the tag" if beyond else _mend_of(self._quality)
        yield Step("quality", Mark.NOTE, f"its quality is {name}{limits}", mend, details={"quality": self._quality})

    def _report_step(self) -> Step:
        last = self._plant.stage(self._group.layout).last_report(self._entry.column)
        if last is None:
            if self._status["southbound"]["totals"]["refused_batches"]:
                return Step("report", Mark.STOP, "the journal refused what was read of it", "look at the log for why")
            return Step("report", Mark.NOTE, "it is to be reported anew with its next value")
        details = {"last_sent_age_s": round(self._age_s(last.at_ns), 3), "last_sent": whole(last.value)}
        policy = self._rules.report
        if policy is None or last.quality != self._quality or self._same(last):
            rule = "every value is reported" if policy is None else "what is known is reported"
            return Step("report", Mark.OK, f"{rule}; last {duration(self._age_s(last.at_ns))} ago", details=details)
        return Step(
            "report",
            Mark.NOTE,
            f"the present value {_shown(self._value)} is held back: {self._held(last)}",
            details=details,
        )

    def _same(self, last: LastReport) -> bool:
        return is_bad(last.quality) or last.value == self._value or last.at_ns >= self._heard_ns

    def _held(self, last: LastReport) -> str:
        why = []
        value, before = self._value, last.value
        unit = f" {self._entry.tag.unit}" if self._entry.tag.unit else ""
        numbers = isinstance(value, int | float) and isinstance(before, int | float)
        if last.band and numbers and not isinstance(value, bool):
            assert isinstance(value, int | float)
            assert isinstance(before, int | float)
            if abs(value - before) < last.band:
                why.append(f"changed by {abs(value - before):.6g}{unit}, deadband {last.band:.6g}{unit}")
        if self._now_ns < last.not_before_ns:
            why.append(f"may be sent again in {duration((last.not_before_ns - self._now_ns) / 1e9)}")
        why.append(f"last sent {duration(self._age_s(last.at_ns))} ago as {_shown(before)}{unit}")
        if last.due_ns is not None:
            why.append(f"next at the latest in {duration((last.due_ns - self._now_ns) / 1e9)}")
        return "; ".join(why)

    # -- one sink

    def _northbound(self, sink: str, message: Mapping[str, Any] | None) -> Iterator[Step]:
        settings = next(each for each in self._plant.live.directory.sinks if each.name == sink)
        topic = self._plant.live.directory.topic(self._entry, settings)
        if message is not None and "error" in message:
            yield Step("topic", Mark.STOP, f"it can't be published: {message['error']}", "mend its name or place", sink)
            return
        yield Step("topic", Mark.OK, topic, sink=sink, details={"topic": topic, **(message or {})})
        found = self._group.current.last_record(self._entry.column)
        status = self._status["sinks"][sink]
        reason = self._plant.refusal(sink, self._group.device.name, topic)
        if found is None:
            yield from self._long_ago(sink, reason)
            return
        record, position = found
        seq = record.seq + position
        age = duration(self._age_s(record.batch.mono_ns))
        fate = self._plant.fate(sink, record, position)
        details = {"seq": seq, "boot": record.boot, "where": fate.where.value}
        if fate.where is Where.DROPPED:
            yield Step(
                "journal",
                Mark.STOP,
                f"number {seq} was dropped: {fate.reason}",
                "give the journal more room, or the broker more time",
                sink,
                details,
            )
            return
        place = {Where.STORED: "on the disk", Where.WAITING: "in memory"}.get(fate.where, "handed on")
        yield Step("journal", Mark.OK, f"number {seq} of boot {record.boot}, {place}", sink=sink, details=details)
        if fate.where is Where.SETTLED:
            yield self._settled(sink, topic, reason, f"read {age} ago, delivered to {status['broker']} as number {seq}")
        elif not status["connected"]:
            error = status["last_error"] or "not connected yet"
            sentence, mend = with_mend(error)
            yield Step(
                "delivery",
                Mark.STOP,
                f"{status['broker']} isn't connected ({sentence}); the value waits {place}, one of {fate.ahead}",
                mend or f"test the way to it: tidegate mqtt test {sink}",
                sink,
            )
        elif fate.where is Where.IN_FLIGHT:
            yield Step(
                "delivery", Mark.NOTE, f"read {age} ago, sent as number {seq}, and about to be acknowledged", sink=sink
            )
        elif fate.where is Where.STORED:
            yield Step(
                "delivery",
                Mark.STOP,
                f"it waits its turn behind {fate.ahead} values that came up during an outage",
                "wait, or raise backfill_values_per_s of the sink",
                sink,
            )
        else:
            yield Step("delivery", Mark.NOTE, f"read {age} ago, number {seq} is about to be sent", sink=sink)

    def _settled(self, sink: str, topic: str, reason: str | None, delivered: str) -> Step:
        if reason is None:
            return Step("delivery", Mark.OK, delivered, sink=sink)
        return Step(
            "delivery",
            Mark.STOP,
            f"the broker refuses it on {topic}: {reason}; it is kept aside and tried again",
            "give this client the right to write there, and look at the broker's limits",
            sink,
        )

    def _long_ago(self, sink: str, reason: str | None) -> Iterator[Step]:
        """Its number isn't known any more, but it can be told whether anything is left of its device."""
        source = self._status["ledger"][sink]["sources"].get(self._group.device.name)
        boot = str(self._status["gateway"]["boot"])
        account = None if source is None else source["boots"].get(boot)
        if account is not None and account["pending"]:
            yield Step(
                "delivery", Mark.NOTE, f"{account['pending']} values of the device are still to be delivered", sink=sink
            )
        else:
            topic = "its topic"
            yield self._settled(sink, topic, reason, "its last report was delivered some time ago")

    def _age_s(self, then_ns: int) -> float:
        return max(0, self._now_ns - then_ns) / 1e9


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, float):
        return f"{value:.9g}"
    text = str(value)
    return text if len(text) <= 60 else text[:59] + "…"


_MENDS = {
    Quality.BAD_NODE_ID_INVALID: "check the address: the device says it has none such",
    Quality.BAD_NODE_ID_UNKNOWN: "check the address: the device says it has none such",
    Quality.BAD_DECODING_ERROR: "check type and order: the bytes aren't a value of this type",
    Quality.BAD_NOT_SUPPORTED: "check the address: the device doesn't offer this way to read it",
    Quality.BAD_OUT_OF_RANGE: "check the address and the count",
    Quality.BAD_TIMEOUT: "check that the device is on, and raise timeout_ms if it is slow",
    Quality.BAD_NO_COMMUNICATION: "check the way to the device",
    Quality.BAD_CONFIGURATION_ERROR: "mend the tag: tidegate check",
    Quality.BAD_SENSOR_FAILURE: "look at the sensor",
    Quality.BAD_DEVICE_FAILURE: "look at the device",
}


def _mend_of(quality: int) -> str | None:
    return next((mend for code, mend in _MENDS.items() if quality & 0xFFFF_0000 == code), None)
