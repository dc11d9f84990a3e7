"""The box under test, what surrounds it, and how far its life has come."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from hil.benches.bench import Bench, Wiring
from hil.benches.configuration import RADIO, WIRED, Driver, configuration
from hil.benches.declaration import Part
from hil.benches.page import Declined, Page, Unanswered
from hil.benches.surroundings import Ledger, Surroundings
from hil.plant.config import SINK

ADMIN, PASSWORD = "ada", "correct horse battery"
_PAUSE_S = 0.5


@dataclass(slots=True)
class Figure:
    """Something measured, and what it should be."""

    what: str
    value: str
    goal: str
    met: bool | None
    """None: on this bench it is no goal."""


@dataclass(slots=True)
class Box:
    """One box's life. Times are seconds, longer where the bench says that it needs patience."""

    bench: Bench
    around: Surroundings
    wiring: Wiring
    figures: list[Figure] = field(default_factory=list)
    _api: Page | None = None

    @property
    def api(self) -> Page:
        """A program with an admin's token."""
        assert self._api is not None, "nobody has claimed the box yet: run the tests from the beginning"
        return self._api

    @property
    def drivers(self) -> tuple[Driver, ...]:
        return WIRED + (RADIO if self.can(Part.RADIO) else ())

    def can(self, part: Part) -> bool:
        return part not in self.bench.declaration.cannot

    def patient(self, seconds: float) -> float:
        return seconds * self.bench.declaration.patience

    # -- claimed, configured, collecting

    def claim(self, mark: int = 0) -> None:
        """Make the first admin, and a token for what follows. `mark`: where on the console to look for the code."""
        visitor = self.bench.page
        status, text = visitor.claim(self.bench.claim_code(mark), ADMIN, PASSWORD)
        assert status == 303, text
        made = visitor.call(
            "POST", "/v1/accounts/tokens", {"name": f"bench-{time.time_ns()}", "role": "admin", "days": 1}
        )
        self._api = visitor.with_token(made["secret"])

    def users(self) -> set[str]:
        return {user["name"] for user in self.api.get("/v1/accounts/users")["users"]}

    def let_bench_in(self) -> None:
        """A stick with the bench's key, as whoever stands before a fresh box brings one."""
        self.bench.provision({"provision.toml": f"{ssh_table(self.bench)}\n".encode()})
        self.wait_for_shell()
        self.bench.remove_stick()

    def wait_for_shell(self) -> None:
        """Until it lets the bench's key in."""
        self.until(lambda: self.bench.run("true", check=False).code == 0, 120, "it lets the bench's key in")

    def wait_until_up(self) -> None:
        """After a start: it answers, and has the bench's devices again."""
        self.bench.wait_until_up()
        if self.can(Part.SYSTEM):
            self.wait_for_shell()
        self.bench.ready()

    def configure(self) -> None:
        """Hand over the configuration for the plant, for good, and see every one of its values arrive."""
        self.around.arrivals.forget()
        text = configuration(self.wiring, self.around.ports, self.around.broker.port, radio=self.can(Part.RADIO))
        main = self.api.get("/v1/config/files")["main"]
        self.api.call("PUT", "/v1/config/draft", {"files": {main: text}})
        self.api.call("POST", "/v1/config/apply", {"reason": "the bench's plant", "confirm_within_s": 0})
        for driver in self.drivers:
            self.around.arrivals.wait_for_good(driver.prefix, driver.tags, self.patient(60))

    def put_back(self) -> None:
        """After a failure: the next test finds everything as it should be, or fails for a reason of its own."""
        self.around.put_back()
        self.bench.put_back()

    def wait_for_every_driver(self) -> None:
        """Values that arrive from now on are good, and there are some of each. What doesn't change isn't sent again."""
        self.around.arrivals.forget()
        for driver in self.drivers:
            self.around.arrivals.wait_for_good(driver.prefix, 1, self.patient(60))

    # -- what it says of itself

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get("/v1/status")
        return found

    @property
    def boot(self) -> int:
        number: int = self.status()["gateway"]["boot"]
        return number

    def until(self, done: Callable[[], object], seconds: float, what: str) -> Any:
        """What `done` gives as soon as that is something; while the box doesn't answer it is asked again."""
        end = time.monotonic() + self.patient(seconds)
        said = ""
        while time.monotonic() < end:
            try:
                if found := done():
                    return found
            except (OSError, http.client.HTTPException, Unanswered, Declined) as error:
                said = f" ({error})"
            time.sleep(_PAUSE_S)
        raise AssertionError(f"not within {self.patient(seconds):.0f} s: {what}{said}\n{self.bench.last_words()}")

    def wait_for_status(self, done: Callable[[dict[str, Any]], object], seconds: float, what: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            status = self.status()
            return status if done(status) else None

        found: dict[str, Any] = self.until(look, seconds, what)
        return found

    def held(self) -> int:
        """Values in the journal that the broker hasn't acknowledged."""
        return pending(self.status())

    def wait_until_delivered(self) -> None:
        """Until no more is held back than what is on its way anyway."""
        self.wait_for_status(lambda status: pending(status) < 200, 120, "what was held back has been delivered")

    # -- the books

    @contextmanager
    def nothing_lost(self) -> Iterator[Ledger]:
        """Whatever happens within: in the end every value has arrived, in order, and the gateway's books are true."""
        with self.around.ledger() as ledger:
            self.wait_for_every_driver()
            yield ledger
            self.wait_for_every_driver()
            self.wait_until_delivered()
            verdict = ledger.verdict(self.patient(20))
            assert verdict.passed, "\n".join(verdict.reasons)
            assert (verdict.missing, verdict.dropped) == (0, 0), "\n".join(verdict.notes)

    def measured(self, what: str, value: str, goal: str, met: bool | None, *, must: bool = True) -> None:
        """Keep a figure for the table at the end; one that misses its goal is also an error.

        `must`: False for times, which a busy machine may stretch; the table shows a miss all the same.
        """
        self.figures.append(Figure(what, value, goal, met))
        assert not must or met is not False, f"{what}: {value}, the goal is {goal}"


def ssh_table(bench: Bench) -> str:
    """Of a provisioning file that lets the bench's key in."""
    return f"[ssh]\nauthorized_keys = [{json.dumps(bench.public_key)}]"


def pending(status: dict[str, Any]) -> int:
    ledger = status.get("ledger", {}).get(SINK, {})
    return sum(
        boot.get("pending", 0)
        for source in ledger.get("sources", {}).values()
        for boot in source.get("boots", {}).values()
    )
