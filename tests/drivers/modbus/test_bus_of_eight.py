"""One dead unit of eight on one RS-485 line, through the whole southbound: what it costs the other seven."""

from __future__ import annotations

import asyncio
import itertools
import time
from pathlib import Path

from drivers.modbus import KIND
from gateway.driver import PollGroup
from gateway.model import Batch, DataType, Layout, Tag
from gateway.settings import BreakerSettings, DeviceSettings, GroupSettings, LinkSettings, TagRules
from gateway.southbound import Supervisor
from tests.drivers.modbus.points import point
from tests.support.pty_port import PtyPort
from tests.support.raw_line import LineSlave
from tests.support.site import SITE

TIMEOUT_S = 0.1
INTERVAL_S = 0.2
RETRY_S = 0.5
PERIODS = 4
UNITS = range(1, 9)
DEAD = 5


def device(unit: int) -> DeviceSettings:
    name = f"dev{unit}"
    rules = TagRules(DataType.UINT16, DataType.UINT16)
    layout = Layout(name, "main", ("acme", "plant1", name), (Tag("speed", DataType.UINT16),))
    poll = PollGroup("main", layout, (point("speed", "hr:100"),), INTERVAL_S)
    return DeviceSettings(name, KIND.device_options(unit=unit), (GroupSettings(poll, (rules,)),))


async def test_a_dead_unit_delays_the_others_by_one_timeout_per_breaker_period(tmp_path: Path) -> None:
    slave = LineSlave("rtu", units=set(UNITS) - {DEAD})
    came: dict[str, list[float]] = {f"dev{unit}": [] for unit in UNITS}
    bad: set[str] = set()

    def deliver(batch: Batch) -> bool:
        came[batch.layout.source].append(time.monotonic())
        if batch.qualities is not None:
            bad.add(batch.layout.source)
        return True

    with PtyPort(tmp_path) as port:
        slave.on(port)
        options = KIND.link_options(transport="rtu", device=port.device, baud=115200, timeout_ms=int(1000 * TIMEOUT_S))
        breaker = BreakerSettings(failures=3, retry_s=RETRY_S)
        link = LinkSettings("line", KIND, options, SITE, tuple(device(unit) for unit in UNITS), breaker)
        supervisor = Supervisor([link], deliver, lambda health: None)
        supervisor.start()
        try:
            async with asyncio.timeout(20):
                while asked_dead(slave) < 4:  # three failures open the circuit; the fourth is the first trial
                    await slave.asked(len(slave.requests) + 1)
                begun, asked, requests = time.monotonic(), asked_dead(slave), len(slave.requests)
                counters = dict(supervisor.status()["links"]["line"]["counters"])
                while asked_dead(slave) < asked + PERIODS:
                    await slave.asked(len(slave.requests) + 1)
                ended = time.monotonic()
                counters_then = dict(supervisor.status()["links"]["line"]["counters"])
        finally:
            await supervisor.stop()
    # The dead one: one request per period, and nothing more is waited for than its timeout.
    assert ended - begun >= PERIODS * RETRY_S * 0.9
    assert counters_then["timeouts"] - counters["timeouts"] in (PERIODS - 1, PERIODS)
    assert counters_then["drains"] == counters["drains"]
    assert counters_then["connects"] == 1
    # The others: none was ever bad, all were read all the time, never later than by that one timeout.
    assert bad == {f"dev{DEAD}"}
    assert len(slave.requests) - requests >= 7 * PERIODS * RETRY_S / INTERVAL_S * 0.8
    slack_s = 0.15  # what this machine's other work may cost
    for unit in set(UNITS) - {DEAD}:
        times = [at for at in came[f"dev{unit}"] if begun <= at <= ended]
        assert max(b - a for a, b in itertools.pairwise(times)) < INTERVAL_S + TIMEOUT_S + slack_s
    await slave.stop()


def asked_dead(slave: LineSlave) -> int:
    return sum(request.unit == DEAD for request in slave.requests)
