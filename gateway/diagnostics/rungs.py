"""The steps of a test, one after the other: each is tried only if those before it held."""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.sentences import one_line, with_mend

log = logging.getLogger(__name__)


class State(enum.StrEnum):
    RUNNING = "running"
    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Rung:
    """One step as far as it is."""

    id: str
    title: str
    state: State
    sentence: str = ""
    """What came of it, or why it wasn't tried."""
    mend: str | None = None
    """Of a failed one: what to do."""
    duration_s: float = 0.0
    details: Mapping[str, Any] = field(default_factory=dict)
    """JSON-ready."""

    def to_json(self) -> dict[str, Any]:
        return {
            "rung": self.id,
            "title": self.title,
            "state": self.state.value,
            "sentence": self.sentence,
            "mend": self.mend,
            "duration_ms": round(self.duration_s * 1e3, 1),
            "details": dict(self.details),
        }


class Failed(Exception):
    """A step failed: one sentence, what to do about it, and what else is known."""

    def __init__(self, sentence: str, mend: str | None = None, **details: Any) -> None:
        super().__init__(sentence)
        self.sentence, self.mend = (sentence, mend) if mend is not None else with_mend(sentence)
        self.details = details


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step held, or wasn't needed."""

    sentence: str
    details: Mapping[str, Any] = field(default_factory=dict)
    skipped: bool = False


@dataclass(frozen=True, slots=True)
class Step:
    id: str
    title: str
    run: Callable[[], Awaitable[Outcome]]
    """Raises Failed."""
    limit_s: float
    mend: str | None = None
    """What to do if it failed and doesn't say so itself."""


async def climb(steps: Sequence[Step]) -> AsyncGenerator[Rung, None]:
    """Every step when it begins and when it ends. After the first that fails the others are skipped.

    A step that takes longer than its limit has failed. Closing the iterator ends the step under way.
    """
    failed: str | None = None
    for step in steps:
        rung = Rung(step.id, step.title, State.RUNNING)
        if failed is not None:
            yield replace(rung, state=State.SKIPPED, sentence=f"not tried, because this failed: {failed}")
            continue
        yield rung
        begun = time.monotonic()
        try:
            async with asyncio.timeout(step.limit_s):
                outcome = await step.run()
        except Failed as error:
            failed = step.title.lower()
            mend = error.mend or step.mend
            rung = replace(rung, state=State.FAILED, sentence=error.sentence, mend=mend, details=error.details)
        except TimeoutError:
            failed = step.title.lower()
            sentence = f"it took longer than {step.limit_s:g} s"
            rung = replace(
                rung, state=State.FAILED, sentence=sentence, mend="look whether it is overloaded, and try again"
            )
        except Exception as error:
            log.exception("a test's step %r failed", step.id)
            failed = step.title.lower()
            sentence = f"the driver failed: {type(error).__name__}: {one_line(str(error))}"
            rung = replace(rung, state=State.FAILED, sentence=sentence, mend="report it: the log has the details")
        else:
            state = State.SKIPPED if outcome.skipped else State.PASSED
            rung = replace(rung, state=state, sentence=outcome.sentence, details=outcome.details)
        yield replace(rung, duration_s=time.monotonic() - begun)
