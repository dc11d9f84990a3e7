"""When to try a broker again: quickly at first, because most outages are short, then patiently."""

from __future__ import annotations

import random
from collections.abc import Callable

_FIRST_S = 0.2
_EAGER_S = 1.0
_EAGER_FOR_S = 60.0
_GROWTH = 1.6
_PROVEN_S = 5.0
"""A connection that lasted this long counts as a success, even if there was nothing to deliver."""
_CONTEST_FIRST_S = 60.0
_CONTEST_MAX_S = 900.0
_UNCONTESTED_S = 60.0


class Backoff:
    """Delays of one outage after the other. Times are seconds of a monotonic clock."""

    def __init__(self, max_s: float, jitter: Callable[[], float] = random.random) -> None:
        """`jitter` gives numbers in [0, 1); gateways that lost the same broker shouldn't come back in step."""
        self._max_s = max_s
        self._jitter = jitter
        self._since: float | None = None
        self._next_s = _FIRST_S
        self._contest_s = _CONTEST_FIRST_S

    def connected(self, for_s: float, *, delivered: bool) -> None:
        """A connection ended that had been good for something: the next failure is a new outage."""
        if delivered or for_s >= _PROVEN_S:
            self._since = None
            self._next_s = _FIRST_S
        if for_s >= _UNCONTESTED_S:
            self._contest_s = _CONTEST_FIRST_S

    def after_failure(self, now: float) -> float:
        """At most 0.2 s first, at most 1 s within the first minute, at most `max_s` from then on."""
        if self._since is None:
            self._since = now
        cap_s = self._max_s if now - self._since >= _EAGER_FOR_S else min(_EAGER_S, self._max_s)
        delay_s = min(self._next_s, cap_s)
        self._next_s = min(self._next_s * _GROWTH, self._max_s)
        return self._spread(delay_s)

    def after_refusal(self) -> float:
        """The broker said no: asking again at once can only annoy it, or lock the account."""
        return self._spread(self._max_s)

    def after_takeover(self) -> float:
        """Another client uses our id. Fighting would disconnect both again and again: 1 minute, doubling to 15."""
        delay_s = self._contest_s
        self._contest_s = min(2 * delay_s, _CONTEST_MAX_S)
        return self._spread(delay_s)

    def _spread(self, delay_s: float) -> float:
        return delay_s * (0.5 + 0.5 * self._jitter())
