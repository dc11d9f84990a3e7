"""The same runtime on the event loops it really runs on, whose timers are coarse and may fire early."""

import asyncio
import time
from collections.abc import Callable

import pytest

from gateway.driver import PollGroup
from gateway.model import Batch, Layout, Quality, Tag, Value
from gateway.settings import DeviceSettings, GroupSettings, LinkSettings, TagRules
from gateway.southbound import Supervisor
from gateway.southbound.probe import probe
from gateway.southbound.schedule import phase
from tests.conformance.adapters.talker import TalkerAdapter
from tests.southbound.harness import link
from tests.support.loops import LOOP_FACTORIES
from tests.support.site import SITE

LOOPS = pytest.mark.parametrize("new_loop", LOOP_FACTORIES.values(), ids=LOOP_FACTORIES)


@LOOPS
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


@LOOPS
def test_a_device_that_only_talks_is_heard_lost_and_heard_again(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def main() -> None:
        adapter = TalkerAdapter()
        await adapter.start()
        tags = tuple(Tag(point.path, point.type) for point in adapter.points)
        layout = Layout("d", "pushed", ("acme", "plant1", "d"), tags)
        poll = PollGroup("pushed", layout, adapter.points, 1.0, subscribed=True, stale_s=60)
        rules = tuple(TagRules(point.type, point.type) for point in adapter.points)
        device = DeviceSettings("d", adapter.device_options(), (GroupSettings(poll, rules),))
        settings = LinkSettings("l", adapter.kind, adapter.link_options(), SITE, (device,))
        batches: asyncio.Queue[Batch] = asyncio.Queue()
        supervisor = Supervisor([settings], batches.put_nowait, lambda health: None)

        async def until(values: tuple[Value, ...], code: int = 0) -> None:
            async with asyncio.timeout(10):
                while True:
                    batch = await batches.get()
                    if tuple(batch.values) == values and (batch.qualities or [0])[0] == code:
                        return

        probed = await probe(settings, "d")
        assert list(probed.groups[0].published.values) == list(adapter.values)
        supervisor.start()
        await until((1450, True, "Filler"))
        await adapter.change()
        await until((1451, True, "Filler"))
        await adapter.stop()
        await until((None, None, None), Quality.BAD_NO_COMMUNICATION)
        await adapter.start()
        await until((1451, True, "Filler"))
        assert supervisor.status()["links"]["l"]["losses"] == 1
        await supervisor.stop()
        await adapter.stop()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
