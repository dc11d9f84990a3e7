"""A group whose device speaks by itself: what its driver speaks to, what was heard, what is overdue.

Everything here happens at once, in the driver's call or in the link's; only the link's task calls drivers.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from gateway.driver import DeviceSilent, LinkDown, PollGroup, Receiver
from gateway.model import Batch, Quality, is_bad
from gateway.settings import TagRules
from gateway.southbound.image import Image
from gateway.southbound.status import SubscriptionStatus

if TYPE_CHECKING:
    from gateway.southbound.unit import Group

log = logging.getLogger(__name__)

LOSS_EPISODE_S = 60.0
"""Losses with shorter pauses between them are one piece of news."""
LEAST_OFFER_S = 0.1
OFFER_AGAIN_S = 1.0
"""What couldn't be handed on is offered again after this long: the device won't repeat it."""


class Owner(Protocol):
    """The link, as its subscriptions see it."""

    def deliver(self, batch: Batch) -> bool: ...

    def heard(self, group: Group) -> None:
        """The device gave a sign of life."""
        ...

    def owes(self, group: Group) -> None:
        """Something couldn't be handed on: `next_look` is sooner now."""
        ...

    def ended(self, group: Group) -> None:
        """Its subscription's `failure` says why; the link's task is to act on it as if a read had raised it."""
        ...


class Subscription:
    """One subscribed group at run time, over all the times it is set up. Times are CLOCK_MONOTONIC, in seconds."""

    def __init__(self, group: Group, rules: Sequence[TagRules], owner: Owner, clock: Callable[[], float]) -> None:
        """`rules`: position *i* belongs to column *i*."""
        self.failure: Exception | None = None
        """What ended it, until the link's task has seen to that."""
        self.image = Image(group.poll.layout, group.poll.stale_s)
        self.setups = 0
        self.lost = 0
        self.lost_reason = ""
        self.history = 0
        self.events = 0
        self.heard_at: float | None = None
        self.set_up_at: float | None = None
        """None: it isn't."""
        self._group = group
        self._poll = group.poll
        self._all = range(len(group.poll.points))
        self._owner = owner
        self._clock = clock
        self._receiver: _Receiver | None = None
        self._errors: frozenset[int] = frozenset()
        self._lost_at = -math.inf
        self._owed = False
        """Something couldn't be handed on since the image last was."""
        self._newest_ns = 0
        """`mono_ns` of what was handed on last: order is that of the calls, whatever a driver stamps."""
        self._timed = [i for i, rule in enumerate(rules) if _pace_s(rule) < math.inf]
        self._offer_s = min(map(_pace_s, rules), default=math.inf)
        self._offer_at = math.inf

    # -- for the link's task -------------------------------------------------------------------------------------------

    def open(self, errors: Collection[int]) -> Receiver:
        """What to give to ``subscribe``; the one before is no longer listened to. `errors`: columns in error."""
        self.end()
        self.setups += 1
        self.set_up_at = self._clock()
        self._errors = frozenset(errors)
        self.image.begin(self._errors, self.set_up_at)
        self._offer_at = self.set_up_at + self._offer_s
        self._receiver = _Receiver(self)
        return self._receiver

    def end(self) -> None:
        """From now on its receiver is deaf. Idempotent."""
        if self._receiver is not None:
            self._receiver.subscription = None
            self._receiver = None
        self.set_up_at = self.failure = None

    def overdue(self, now: float, retry_s: float, *, resting: bool) -> bool:
        """Whether to set it up (again): it isn't; or it may have died unnoticed, or was not believed in (`resting`).

        Then once at once, and after that every `retry_s` until something is heard.
        """
        if self.set_up_at is None:
            return True
        if not resting and not self.image.all_stale:
            return False
        fresh = self.heard_at is None or self.heard_at < self.set_up_at
        return not fresh or now >= self.set_up_at + retry_s

    def look(self, now: float) -> None:
        """Report what has become stale, and what couldn't be handed on before; offer what may have been held back."""
        self._report(() if self.set_up_at is None else self.image.expire(now))
        if self.set_up_at is not None and now >= self._offer_at:
            self._report(self.image.current(self._timed))
            self._offer_at = now + self._offer_s

    def next_look(self, now: float, retry_s: float, *, resting: bool) -> float:
        """When the link's task is needed again; infinite if it isn't."""
        again = now + OFFER_AGAIN_S if self._owed else math.inf
        if resting or self.image.all_stale:
            retry = (now if self.set_up_at is None else self.set_up_at) + retry_s
            return min(again, retry, now + (self._poll.stale_s or math.inf))
        return min(again, self._offer_at, self.image.next_expiry(now))

    def mark(self, code: Quality, columns: Collection[int] | None = None) -> None:
        """Report `columns` (None: all) as bad, unless that is what was reported last."""
        self._report(self.image.mark(code, columns))

    def repeat(self) -> None:
        """Hand on once more what holds now."""
        self._report(None)

    def _report(self, columns: Sequence[int] | None) -> None:
        """Hand on what `columns` (None: all) are now; all of them if something is owed."""
        batch = self.image.batch(None if self._owed else columns, self._clock())
        if batch is not None:
            self._owed = False
            self._newest_ns = max(self._newest_ns, batch.mono_ns)
            self._hand_on(batch)

    def _hand_on(self, batch: Batch) -> None:
        if not self._owner.deliver(batch):
            self._owed = True
            if self.set_up_at is not None:
                self._owner.owes(self._group)

    # -- for its receiver ----------------------------------------------------------------------------------------------

    def take(self, batch: Batch) -> None:
        try:
            require_fit(self._poll, batch)
            if batch.history and batch.source_ns is None:
                raise TypeError("the driver gave values of the past without their times")
        except TypeError as error:
            self.fail(error)
            return
        if batch.history:
            self.history += len(batch)
            self._owner.deliver(batch)
            return
        if batch.event:
            self.events += len(batch)
            self._owner.deliver(batch)
            self.confirm(batch.columns)
            return
        now = self._clock()
        if batch.values:
            bad = 0 if batch.qualities is None else sum(map(is_bad, batch.qualities))
            self._group.bad += bad
            self._group.good += len(batch) - bad
            if batch.mono_ns < self._newest_ns:
                batch = replace(batch, mono_ns=self._newest_ns)
            self._newest_ns = batch.mono_ns
            self._hand_on(batch)
            self.image.take(batch, now)
        if not self._errors or not self._errors.issuperset(self._all if batch.columns is None else batch.columns):
            self._alive(now)

    def confirm(self, columns: Sequence[int] | None) -> None:
        if columns and (min(columns) < 0 or max(columns) >= len(self._all)):
            self.fail(TypeError(f"the driver confirmed columns that group {self._poll.name!r} hasn't"))
            return
        now = self._clock()
        self._report(self.image.confirm(columns, now))
        self._alive(now)

    def lose(self, count: int, reason: str) -> None:
        now = self._clock()
        self.lost += count
        self.lost_reason = reason
        if now - self._lost_at > LOSS_EPISODE_S:
            log.warning("device %s, group %s: values were lost: %s", self._poll.layout.source, self._poll.name, reason)
        self._lost_at = now

    def fail(self, error: Exception) -> None:
        self.end()
        self.failure = error
        self._owner.ended(self._group)

    def _alive(self, now: float) -> None:
        self.heard_at = now
        self._owner.heard(self._group)

    # -- status --------------------------------------------------------------------------------------------------------

    def status(self, now: float) -> SubscriptionStatus:
        return {
            "setups": self.setups,
            "standing": self.set_up_at is not None,
            "last_heard_age_s": None if self.heard_at is None else round(now - self.heard_at, 3),
            "stale_after_s": self._poll.stale_s,
            "stale": self.image.stale,
            "lost": self.lost,
            "lost_reason": self.lost_reason,
            "history": self.history,
            "events": self.events,
        }


class _Receiver:
    """What the driver holds. Deaf once its time is over, however long the driver keeps it."""

    __slots__ = ("subscription",)

    def __init__(self, subscription: Subscription) -> None:
        self.subscription: Subscription | None = subscription

    def take(self, batch: Batch) -> None:
        if self.subscription is not None:
            self.subscription.take(batch)

    def confirm(self, columns: Sequence[int] | None = None) -> None:
        if self.subscription is not None:
            self.subscription.confirm(columns)

    def lost(self, count: int, reason: str) -> None:
        if self.subscription is not None:
            self.subscription.lose(count, reason)

    def silent(self, reason: str) -> None:
        if self.subscription is not None:
            self.subscription.fail(DeviceSilent(reason))

    def down(self, reason: str) -> None:
        if self.subscription is not None:
            self.subscription.fail(LinkDown(reason))


def _pace_s(rules: TagRules) -> float:
    """How often to offer a value that the report filter may hold back for a time, to meet its intervals to a tenth.

    A device that has said its value once won't say it again only because it was too early then. Infinite if there is
    nothing to meet.
    """
    policy = rules.report
    if policy is None:
        return math.inf
    longest = math.inf if policy.max_interval_s is None else policy.max_interval_s
    return max(min(policy.min_interval_s or math.inf, longest) / 10, LEAST_OFFER_S)


def require_fit(poll: PollGroup, batch: Batch) -> None:
    """Raises TypeError if a driver gave a batch that isn't one of this group."""
    if batch.layout is not poll.layout:
        raise TypeError(f"the driver gave a batch of another group than {poll.name!r}")
    size = len(poll.points)
    columns = batch.columns
    if columns is not None:
        if columns and (min(columns) < 0 or max(columns) >= size or len(set(columns)) != len(columns)):
            raise TypeError(f"the driver gave columns that group {poll.name!r} hasn't, or one twice")
        size = len(columns)
    if len(batch.values) != size:
        raise TypeError(f"the driver gave {len(batch.values)} values for {size} tags")
    if batch.qualities is not None and len(batch.qualities) != size:
        raise TypeError(f"the driver gave {len(batch.qualities)} qualities for {size} tags")
    if batch.source_ns is not None and len(batch.source_ns) != size:
        raise TypeError(f"the driver gave {len(batch.source_ns)} times for {size} tags")
