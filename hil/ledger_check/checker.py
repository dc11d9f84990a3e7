"""What the messages of a namespace prove about the gateway that published them.

The law, per source and boot: every value carries a number from one gapless sequence (`seq`; a message with n values
takes n numbers). The live stream and the backfill (`hist`) together make the whole; each of them is in order; what
comes twice came from the window of unacknowledged messages when a connection broke; and what the retained `_ledger`
counts as delivered has been seen here. Counts never go back, but for one moment: a gateway that was killed knows of the
run before what had been saved of it, which may be less than was told. That is noted.

Where the checker came late, only what follows its first live value is proven. Not checkable: the profiles `umh` and
`value`, which carry no numbers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from hil.ledger_check.intervals import Intervals

BAD = 0x80000000
"""OPC UA status codes of the bad severity start here."""
_TOO_MANY = "ledger counts too many"
_EXAMPLES = 3
_MOST_UNPLACED = 200_000
_MOST_REPEATABLE = 100_000
_SHOWN_SPANS = 5


class Breach(NamedTuple):
    """A kind of fault at one place."""

    kind: str
    where: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found. `reasons` say why it isn't a pass, `notes` what a pass doesn't cover; each is a sentence."""

    passed: bool
    reasons: tuple[str, ...]
    notes: tuple[str, ...]
    sources: int
    values: int
    """Distinct values seen."""
    messages: int
    repeated: int
    """Values seen more than once."""
    backfilled: int
    missing: int
    pending: int
    """Of the missing, those that the ledger says are still to come."""
    dropped: int
    """Of the missing, those that the ledger says were dropped."""

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": "PASS" if self.passed else "FAIL",
            **{name: getattr(self, name) for name in self.__slots__ if name != "passed"},
        }


@dataclass(slots=True)
class _Boot:
    """One source in one boot."""

    complete: bool
    """True: everything from the first number on must be seen; False: only what follows the first live one seen."""
    joined: int | None = None
    """The first live number seen."""
    seen: Intervals = field(default_factory=Intervals)
    told: Mapping[str, Any] | None = None
    """What the ledger said of it last, in the stream of messages."""
    teller: int = 0
    """The boot of the gateway that said so."""
    set_back: bool = False
    """True: a later boot knew less of it than it had told itself."""
    retained: Mapping[str, Any] | None = None
    """What the ledger says that the broker retains at the end. It may be ahead of the stream."""

    @property
    def ledger(self) -> Mapping[str, Any] | None:
        """The latest there is."""
        known = [counts for counts in (self.told, self.retained) if counts is not None]
        return max(known, key=lambda counts: (counts["last"], counts["delivered"]), default=None)


@dataclass(slots=True)
class _Source:
    prefix: str
    name: str
    boots: dict[int, _Boot] = field(default_factory=dict)
    joined_boot: int | None = None
    """The boot whose live values were the first ones seen. Later boots are seen from their start."""


class _Order:
    """The last new number of each stream in one place where order must hold: a tag's topic, or a source."""

    __slots__ = ("floor", "hist", "live")

    def __init__(self) -> None:
        self.live: dict[int, int] = {}
        self.hist: dict[int, int] = {}
        self.floor: dict[int, int] = {}
        """The live ones as they were at the last :meth:`Checker.expect_retained`."""


@dataclass(slots=True)
class _Route:
    """Where a topic's values belong."""

    source: _Source
    order: _Order
    whole: bool
    """True for a message of many values."""


class Checker:
    """Fed with every message below ``{root}/v1/#`` in the order of arrival; to be asked for its verdict at any time.

    `window`: publishes the gateway may have in flight, which bounds what may come twice after a connection broke.
    `from_start`: the subscription was there before the gateway started, so nothing at all may be missing.
    """

    def __init__(self, root: str = "uns", window: int = 100, *, from_start: bool = False) -> None:
        self._base = f"{root}/v1/"
        self._window = window
        self._from_start = from_start
        self._sources: dict[str, _Source] = {}
        self._routes: dict[str, _Route] = {}
        self._source_orders: dict[str, _Order] = {}
        self._gateways: set[str] = set()
        self._breaches: dict[Breach, list[str]] = {}
        self._counts: dict[Breach, int] = {}
        self._unplaced: deque[tuple[str, dict[str, Any], bool]] = deque()
        self._recent: deque[tuple[str, int, int]] = deque(maxlen=window)
        self._repeatable: dict[tuple[str, int, int], None] = {}
        self._credit = window
        self._largest = 1
        self._ledgers = 0
        self._auditing = False
        self.values = 0
        """Distinct values seen so far."""
        self.messages = 0
        self.repeated = 0
        self.backfilled = 0

    def feed(self, topic: str, payload: bytes, retain: bool) -> None:
        """Take one message. `retain`: it is the broker's stored copy, sent because of a new subscription."""
        if not payload:
            return  # the broker is told to keep nothing there any more: no value, and no document
        route = self._routes.get(topic)
        if route is None and not topic.startswith(self._base):
            return
        if route is None and self._is_service(topic, payload, retain):
            return
        body = self._parse(topic, payload)
        if body is None:
            return
        if route is None:
            route = self._place(topic)
        if route is not None:
            self._take(topic, route, body, retain)
        elif len(self._unplaced) < _MOST_UNPLACED:
            self._unplaced.append((topic, body, retain))
        else:
            self._breach("values of no known asset", topic, "more of them came than can be kept")

    def interrupted(self) -> None:
        """The subscriber's own connection broke: the broker may repeat what wasn't acknowledged."""
        self._broken()

    def session_lost(self) -> None:
        """The broker forgot the subscription meanwhile: what passed in between was never seen."""
        self._breach(
            "lost session", "the broker", "it kept no session while this subscriber was away, so nothing is proven"
        )

    def expect_retained(self) -> None:
        """What the broker retains comes from now on, beside the stream of messages and maybe ahead of it.

        Its values may not be older than the live ones that have come so far; its ledgers are compared at the verdict.
        """
        self._auditing = True
        for route in self._routes.values():
            route.order.floor = dict(route.order.live)

    # -- one message -------------------------------------------------------------------------------------------------

    def _parse(self, topic: str, payload: bytes) -> dict[str, Any] | None:
        try:
            body = orjson.loads(payload)
        except orjson.JSONDecodeError as error:
            self._breach("unreadable payload", topic, f"the payload isn't JSON ({error})")
            return None
        if not isinstance(body, dict):
            self._breach("no sequence number", topic, "a bare value can't be checked; use the payload profile full")
            return None
        return body

    def _is_service(self, topic: str, payload: bytes, retain: bool) -> bool:
        """Handle topics whose last level starts with ``_``; values of a whole group don't count as such."""
        prefix, _, last = topic.rpartition("/")
        if not last.startswith("_"):
            return "/_cmd" in topic
        if last == "_ledger":
            self._gateways.add(prefix)
            body = self._parse(topic, payload)
            if body is not None:
                self._take_ledger(topic, body, retain)
        elif last == "_namespace":
            self._gateways.add(prefix)
        elif last == "_meta":
            self._learn(prefix)
        elif last == "_state" and not retain and (prefix in self._gateways or not self._gateways):
            self._broken()
        return True

    def _learn(self, prefix: str, name: str | None = None) -> _Source:
        """An asset's topic prefix is known now: place what waited for it."""
        source = self._sources.get(prefix)
        if source is None:
            source = self._sources[prefix] = _Source(prefix, name or prefix.rpartition("/")[2])
            waiting, self._unplaced = self._unplaced, deque()
            for topic, body, retain in waiting:
                route = self._place(topic)
                if route is None:
                    self._unplaced.append((topic, body, retain))
                else:
                    self._take(topic, route, body, retain)
        return source

    def _place(self, topic: str) -> _Route | None:
        prefix, separator, _ = topic.partition("/_values/")
        if separator:
            source = self._sources.get(prefix) or self._learn(prefix)
            order = self._source_orders.setdefault(prefix, _Order())
            route = self._routes[topic] = _Route(source, order, whole=True)
            return route
        prefix = topic
        while len(prefix) > len(self._base):
            prefix = prefix.rpartition("/")[0]
            owner = self._sources.get(prefix)
            if owner is not None:
                route = self._routes[topic] = _Route(owner, _Order(), whole=False)
                return route
        return None

    def _take(self, topic: str, route: _Route, body: dict[str, Any], retain: bool) -> None:
        seq, boot, hist = body.get("seq"), body.get("boot"), body.get("hist", False)
        if type(seq) is not int or type(boot) is not int or seq < 1:
            self._breach("no sequence number", topic, "the payload has no seq and boot; use the payload profile full")
            return
        count = self._check_values(topic, route, body)
        last = (route.order.hist if hist else route.order.live).get(boot, 0)
        if retain:
            if hist:
                self._breach("retained backfill", topic, f"the broker retains a backfilled value (seq {seq})")
            elif seq < (floor := route.order.floor.get(boot, 0)) and not route.whole:
                self._breach("retained backfill", topic, f"the retained value (seq {seq}) is older than live {floor}")
            return
        if not count:
            return
        self.messages += 1
        self._largest = max(self._largest, count)
        record = route.source.boots.get(boot) or self._open_boot(route.source, boot)
        if record.joined is None and not hist:
            record.joined = seq
            if route.source.joined_boot is None:
                route.source.joined_boot = boot
        new = record.seen.add(seq, seq + count - 1)
        key = (route.source.prefix, boot, seq)
        if new:
            if seq <= last:
                stream = "backfill" if hist else "live"
                self._breach(
                    "out of order", topic, f"seq {seq} came after {last} in the {stream} stream of boot {boot}"
                )
            else:
                (route.order.hist if hist else route.order.live)[boot] = seq
            self.values += new
            self.backfilled += new if hist else 0
        if new < count:
            self.repeated += count - new
            self._check_repeat(topic, key)
        self._recent.append(key)

    def _check_values(self, topic: str, route: _Route, body: dict[str, Any]) -> int:
        """How many values the message has, after a look at their qualities."""
        if type(body.get("timestamp_ms")) is not int:
            self._breach("no time stamp", topic, "the payload has no timestamp_ms")
        if not route.whole:
            if "value" not in body or type(body.get("quality")) is not int:
                self._breach("no value", topic, "the payload lacks value or quality")
            elif body["value"] is None and body["quality"] < BAD:
                self._breach("null that isn't bad", topic, f"null came with quality {body['quality']:#010x}")
            return 1
        values, quality = body.get("values"), body.get("quality", {})
        if not isinstance(values, dict) or not isinstance(quality, dict) or not values:
            self._breach("no value", topic, "the payload has no values")
            return 0
        if None in values.values():
            for path, value in values.items():
                if value is None and quality.get(path, 0) < BAD:
                    self._breach(
                        "null that isn't bad", f"{topic} {path}", f"null came with quality {quality.get(path, 0)}"
                    )
        return len(values)

    def _open_boot(self, source: _Source, boot: int) -> _Boot:
        later = source.joined_boot is not None and boot > source.joined_boot
        record = source.boots[boot] = _Boot(complete=self._from_start or later)
        return record

    # -- repeats -----------------------------------------------------------------------------------------------------

    def _broken(self) -> None:
        """A connection broke: the last `window` messages may come once more."""
        for key in self._recent:
            self._repeatable[key] = None
        while len(self._repeatable) > _MOST_REPEATABLE:
            del self._repeatable[next(iter(self._repeatable))]
        self._recent.clear()
        self._credit += self._window

    def _check_repeat(self, topic: str, key: tuple[str, int, int]) -> None:
        if key in self._repeatable:
            del self._repeatable[key]
        elif key not in self._recent:
            self._breach(
                "repeated beyond the window",
                topic,
                f"seq {key[2]} of boot {key[1]} came again, long after the {self._window} messages in flight",
            )
            return
        self._credit -= 1
        if self._credit < 0:
            self._breach(
                "repeated beyond the window",
                topic,
                f"more messages came again than the {self._window} that can be in flight when a connection breaks",
            )

    # -- the ledger --------------------------------------------------------------------------------------------------

    def _take_ledger(self, topic: str, body: dict[str, Any], retain: bool) -> None:
        self._ledgers += 1
        sources, teller = body.get("sources"), body.get("boot")
        if not isinstance(sources, dict) or type(teller) is not int:
            self._breach("unreadable ledger", topic, "it has no sources or no boot")
            return
        for name, entry in sources.items():
            if isinstance(entry, dict) and "topic" not in entry:
                continue  # a device that is no longer configured has no topic to be seen under
            try:
                source = self._learn(entry["topic"], name)
                source.name = name
                for boot, counts in entry["boots"].items():
                    self._compare(source, int(boot), counts, teller, retain)
            except (KeyError, TypeError, ValueError, AttributeError) as error:
                self._breach("unreadable ledger", topic, f"the entry of {name} lacks or garbles {error}")

    def _compare(self, source: _Source, boot: int, counts: Mapping[str, Any], teller: int, retain: bool) -> None:
        first, last, delivered = counts["first"], counts["last"], counts["delivered"]
        dropped = sum(span["last"] - span["first"] + 1 for span in counts["dropped"])
        claimed = delivered + counts["refused"] + counts["pending"] + dropped
        where = f"{source.name} boot {boot}"
        total = last - first + 1
        if total != claimed:
            self._breach(
                "ledger doesn't add up",
                where,
                f"{first}–{last} are {total} values, but delivered {delivered} + refused {counts['refused']} + pending "
                f"{counts['pending']} + dropped {dropped} are {claimed}",
            )
        record = source.boots.get(boot)
        if record is None:
            record = self._open_boot(source, boot)
        if retain and self._auditing:
            record.retained = counts
            return
        before = record.told
        if before is not None and (
            first != before["first"] or last < before["last"] or delivered < before["delivered"]
        ):
            if record.teller < teller and boot < teller and first == before["first"]:
                record.set_back = True
            else:
                self._breach("ledger goes back", where, f"it said {_brief(before)} and then {_brief(counts)}")
        record.told, record.teller = counts, teller
        if record.complete:
            seen = record.seen.within(first, last)
            if seen < delivered:
                self._breach(_TOO_MANY, where, _too_many(delivered, seen))
            elif not retain and seen - delivered > 2 * self._window * self._largest:
                self._breach(
                    "ledger counts too few", where, f"it counts {delivered} values as delivered, but {seen} came here"
                )

    # -- the verdict -------------------------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """True when nothing is missing but what the ledger says was dropped."""
        return not self._missing()

    def _missing(self) -> list[tuple[_Source, int, list[tuple[int, int]]]]:
        """Per source and boot the spans that are neither seen nor dropped by the ledger's own word."""
        found = []
        for source in self._sources.values():
            for boot, record in source.boots.items():
                spans = record.seen.gaps(*_range(record))
                dropped = Intervals((span["first"], span["last"]) for span in (record.ledger or {}).get("dropped", ()))
                left = [part for low, high in spans for part in dropped.gaps(low, high)]
                if left:
                    found.append((source, boot, left))
        return found

    def verdict(self) -> Verdict:
        """What can be said now. What the ledger says is still pending isn't held against the gateway, but noted."""
        reasons = [self._sentence(breach) for breach in self._counts]
        notes: list[str] = []
        missing = pending = 0
        for source, boot, spans in self._missing():
            record = source.boots[boot]
            count = sum(high - low + 1 for low, high in spans)
            missing += count
            where = f"{source.name} boot {boot}"
            ledger = record.ledger
            waiting = ledger["pending"] + ledger["refused"] if ledger is not None else 0
            if count <= waiting:
                pending += count
                notes.append(f"{where}: {_values(count)} still to come, as the ledger says ({_shown(spans)}).")
            else:
                reasons.append(f"{where}: {_values(count)} missing: {_shown(spans)}.")
        dropped = 0
        for source in self._sources.values():
            for boot, record in source.boots.items():
                where, ledger = f"{source.name} boot {boot}", record.ledger
                if record.set_back:
                    notes.append(f"{where}: its end was told, but not saved yet when the gateway was killed.")
                if ledger is None:
                    continue
                delivered, seen = ledger["delivered"], record.seen.within(ledger["first"], ledger["last"])
                if record.complete and seen < delivered and Breach(_TOO_MANY, where) not in self._counts:
                    reasons.append(f"{where}: {_TOO_MANY}: {_too_many(delivered, seen)}.")
                for span in ledger["dropped"]:
                    dropped += span["last"] - span["first"] + 1
                    notes.append(
                        f"{where}: {span['first']}–{span['last']} were dropped, as the ledger says: {span['reason']}."
                    )
        if self._unplaced:
            count, first = len(self._unplaced), self._unplaced[0][0]
            reasons.append(f"{count} messages belong to no asset that _meta or _ledger names, the first to {first}.")
        if not self.messages:
            reasons.append(f"No values came below {self._base}.")
        if not self._ledgers:
            reasons.append(f"No _ledger came below {self._base}.")
        return Verdict(
            passed=not reasons,
            reasons=tuple(reasons),
            notes=tuple(notes),
            sources=sum(any(boot.seen for boot in source.boots.values()) for source in self._sources.values()),
            values=self.values,
            messages=self.messages,
            repeated=self.repeated,
            backfilled=self.backfilled,
            missing=missing,
            pending=pending,
            dropped=dropped,
        )

    def _breach(self, kind: str, where: str, detail: str) -> None:
        breach = Breach(kind, where)
        self._counts[breach] = self._counts.get(breach, 0) + 1
        examples = self._breaches.setdefault(breach, [])
        if len(examples) < _EXAMPLES:
            examples.append(detail)

    def _sentence(self, breach: Breach) -> str:
        more = self._counts[breach] - len(self._breaches[breach])
        tail = f" (and {more} more)" if more else ""
        return f"{breach.where}: {breach.kind}: {'; '.join(self._breaches[breach])}{tail}."


def _range(record: _Boot) -> tuple[int, int]:
    """First and last number that should have been seen."""
    ledger = record.ledger
    last = record.seen.last if record.seen else 0
    if ledger is not None:
        last = max(last, ledger["last"])
    if record.complete:
        return (ledger["first"] if ledger is not None else 1), last
    return (record.joined, last) if record.joined is not None else (1, 0)


def _brief(counts: Mapping[str, Any]) -> str:
    return f"first {counts['first']}, last {counts['last']}, delivered {counts['delivered']}"


def _too_many(delivered: int, seen: int) -> str:
    return f"it counts {delivered} values as delivered, of which {seen} came here"


def _values(count: int) -> str:
    return "1 value is" if count == 1 else f"{count} values are"


def _shown(spans: list[tuple[int, int]]) -> str:
    texts = [str(low) if low == high else f"{low}–{high}" for low, high in spans[:_SHOWN_SPANS]]
    return ", ".join(texts) + (f" and {len(spans) - _SHOWN_SPANS} more spans" if len(spans) > _SHOWN_SPANS else "")
