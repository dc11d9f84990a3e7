"""What surrounds a box, on this machine: the plant, the air, the broker and whoever keeps the books."""

from __future__ import annotations

import json
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from hil.benches.arrivals import Arrivals
from hil.benches.bench import Plugs
from hil.benches.configuration import BEACON
from hil.demo.broker import Broker
from hil.demo.child import Child
from hil.ledger_check import Checker, Subscriber, Verdict
from hil.ledger_check.__main__ import settle
from hil.ledger_check.subscriber import Broker as Address
from hil.radio.process import WorldProcess
from hil.radio.world import advert

ADVERT_PERIOD_S = 0.5
_WEATHER_S = 1.0
_READY_S = 10.0


@dataclass(frozen=True, slots=True)
class Ledger:
    """The books of one test: what the broker had, against what the gateway says it delivered."""

    _checker: Checker
    _subscriber: Subscriber

    def verdict(self, settle_s: float) -> Verdict:
        """Look at what the broker retains, too; wait for what is on its way, but not for ever."""
        self._subscriber.audit_retained()
        return settle(self._subscriber, self._checker, settle_s)


class Surroundings:
    """``with`` starts them. They share nothing with the box but what is plugged in."""

    def __init__(self, directory: Path, here: str) -> None:
        self.here = here
        self.arrivals = Arrivals()
        self.ports: Mapping[str, int] = {}
        """Endpoint of the plant → TCP port of this machine."""
        self._directory = directory
        self._ended = threading.Event()

    def __enter__(self) -> Surroundings:
        """Raises ChildFailed, BrokerMissing or OSError; nothing is left running then."""
        with ExitStack() as stack:
            plant = [sys.executable, "-m", "hil.plant", "--json", "--one-of-each", "--host", self.here]
            child = Child("plant", plant, self._directory / "plant.log", pipe=True)
            stack.callback(child.stop)
            world = stack.enter_context(WorldProcess())
            world.port = world.ask("renew", ADVERT_PERIOD_S)
            weather = threading.Thread(target=self._weather, args=(world,), name="weather", daemon=True)
            weather.start()
            stack.callback(weather.join)
            stack.callback(self._ended.set)
            self.broker = Broker(self._directory, self.here)
            stack.callback(self.broker.stop)
            self.broker.start()
            address = Address(self.here, self.broker.port)
            watcher = Subscriber(address, Checker(), session="bench-watcher", watch=self.arrivals.take)
            stack.enter_context(watcher).ready.wait(_READY_S)
            where = json.loads(child.read_line())
            self.ports = where["ports"]
            self.plugs = Plugs(where["paths"], world.port)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def put_back(self) -> None:
        """What a test that failed has left. Raises BrokerMissing or ChildFailed."""
        if not self.broker.running:
            self.broker.start()

    @contextmanager
    def ledger(self) -> Iterator[Ledger]:
        """Keep the books from now on."""
        checker = Checker()
        subscriber = Subscriber(
            Address(self.here, self.broker.port), checker, session=f"bench-ledger-{uuid.uuid4().hex[:8]}"
        )
        with subscriber:
            subscriber.ready.wait(_READY_S)
            yield Ledger(checker, subscriber)

    def _weather(self, world: WorldProcess) -> None:
        """Temperatures of the Bluetooth devices, which never stay the same."""
        hundredths = 2000
        while not self._ended.wait(_WEATHER_S):
            hundredths = 2000 + (hundredths - 1999) % 1000
            measured = b"\x40\x02" + hundredths.to_bytes(2, "little", signed=True)
            world.ask("beacon", BEACON, advert(service_data={0xFCD2: measured}), -60)
            world.ask("sensor.set_temperature", 15000 + hundredths)
