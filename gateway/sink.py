"""The northbound contract: a sink takes records from a feed and says what became of each.

The journal gives every sink a :class:`Feed`. Taking a record is a loan: it ends in exactly one of `settle`, `refuse` or
`restore`, and nothing leaves the journal before `settle` or `refuse` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gateway.model import Record


class Feed(Protocol):
    """One sink's view of the journal. Every method is called on the event loop and returns at once."""

    def take(self) -> Record | None:
        """The next record to publish, live ones first, or None when there is none now.

        Per source, live records come in order and backfill records come in order. In strict mode no live record of
        any source comes while older ones are stored.
        """
        ...

    @property
    def behind(self) -> bool:
        """Whether something older than what is live waits on the disk to be taken."""
        ...

    def on_ready(self, wake: Callable[[], None]) -> None:
        """Call `wake` whenever `take` may give something again after it gave None."""
        ...

    def settle(self, record: Record) -> None:
        """The far end has taken it: an acknowledgement that *succeeded*."""
        ...

    def refuse(self, record: Record, reason: str, positions: Sequence[int] | None = None) -> None:
        """The far end has refused it (or the values at `positions`): keep it aside, alarm, try again later."""
        ...

    def restore(self) -> None:
        """The connection is gone: every record on loan goes back, to be delivered again."""
        ...


class Sink(Protocol):
    """A northbound destination. `run` returns only when cancelled; it owns its reconnects."""

    name: str

    async def run(self, feed: Feed) -> None: ...

    async def stop(self) -> None:
        """Say goodbye in order: publish the offline state, disconnect. Bounded in time."""
        ...

    def status(self) -> Mapping[str, Any]: ...
