"""The same runtime on the event loops it really runs on, whose timers are coarse and may fire early."""

import asyncio
import time
from collections.abc import Callable

import pytest
import uvloop

from gateway.southbound import Supervisor
from gateway.southbound.schedule import phase
from tests.southbound.harness import link


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_reads_begin_on_their_slots_and_never_before(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    settings, wire = link("l", {"d": [0.05, 0.05]})
    unit = wire.units["d"]
    unit.read_s = 0
    begins: dict[str, list[float]] = {"g0": [], "g1": []}
    enough = asyncio.Event()

    async def main() -> None:
        supervisor = Supervisor([settings], lambda batch: None, lambda health: None)

        def note(group):
            begins[group.name].append(time.monotonic())
            if len(begins["g1"]) > 8:
                enough.set()
            return [1] * len(group.points)

        unit.values = note
        supervisor.start()
        async with asyncio.timeout(10):
            await enough.wait()
        await supervisor.stop()

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
    for index, name in enumerate(("g0", "g1")):
        # Half a millisecond early is on time; how late is up to the machine, but the middle one is near its slot.
        slots = [(at - phase(index) * 0.05 + 0.001) / 0.05 for at in begins[name][1:]]
        assert len({int(slot) for slot in slots}) == len(slots)
        assert sorted(slot % 1 for slot in slots)[len(slots) // 2] < 0.2
