"""Many links together: independence, stopping, writing, status, probing."""

import asyncio
from collections import Counter

import pytest

from gateway.driver import DeviceSilent, LinkDown, NotAsExpected, NotWritten, WriteFailed
from gateway.model import DataType, Quality, Value
from gateway.settings import TagRules
from gateway.southbound.probe import probe
from tests.southbound.harness import SILENT, Field, link, run

TENTHS = TagRules(DataType.INT16, DataType.FLOAT64, scale=0.1, low=-50, high=1000)


@pytest.mark.parametrize("how", ["refused", "black hole", "silent", "crashing"])
def test_one_dead_device_among_fifty_doesnt_delay_the_others(how: str) -> None:
    made = [link(f"l{i}", {f"d{i}": [1.0]}) for i in range(50)]
    dead = made[7][1]
    unit = dead.units["d7"]
    if how == "refused":
        dead.break_off("connection refused")
    elif how == "black hole":
        dead.break_off("no answer")
        dead.connect_s = 3.0
    else:
        unit.fault = SILENT if how == "silent" else RuntimeError("flaw")
        unit.read_s = 1.0

    async def main() -> None:
        async with Field([settings for settings, _ in made]) as field:
            await asyncio.sleep(30)
            for i in range(50):
                if i == 7:
                    continue
                status = field.status(f"l{i}", f"d{i}")
                assert status["lateness_ms"]["max"] < 0.001
                assert status["missed"] == 0
                assert status["polls"] in (30, 31)
                assert field.transitions(f"d{i}") == [0]
            assert 0 not in field.codes("d7")

    run(main)


def test_first_values_of_all_arrive_at_once() -> None:
    made = [link(f"l{i}", {f"d{i}": [3600.0]}) for i in range(50)]

    async def main() -> None:
        async with Field([settings for settings, _ in made]) as field:
            await asyncio.sleep(0.02)
            assert {batch.layout.source for _, batch in field.batches} == {f"d{i}" for i in range(50)}

    run(main)


@pytest.mark.parametrize("moment", [0.0, 0.0005, 0.005, 0.5, 30.0])
def test_stopping_closes_every_bus_and_leaves_nothing(moment: float) -> None:
    made = [link(f"l{i}", {f"d{i}": [0.1, 0.0]}) for i in range(5)]
    made[1][1].break_off()
    made[2][1].units["d2"].fault = SILENT
    made[3][1].units["d3"].fault = RuntimeError("flaw")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Field([settings for settings, _ in made]) as field:
            await asyncio.sleep(moment)
            begun = loop.time()
            await field.supervisor.stop()
            assert loop.time() - begun < 0.01
            count = len(field.batches)
            await asyncio.sleep(20)
            assert len(field.batches) == count
        for _, wire in made:
            assert wire.closes >= wire.buses

    run(main)


def test_a_read_under_way_at_a_stop_is_delivered() -> None:
    settings, wire = link("l", {"d": [1.0]})
    wire.units["d"].read_s = 0.5

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Field([settings]) as field:
            await asyncio.sleep(0.2)
            assert not field.batches
            begun = loop.time()
            await field.supervisor.stop()
            assert loop.time() - begun < 0.31
            assert len(field.batches) == len(wire.units["d"].reads) == 1

    run(main)


def test_stopping_is_bounded_even_if_a_driver_wont_let_go(caplog: pytest.LogCaptureFixture) -> None:
    settings, wire = link("l", {"d": [0.1]})

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            released = asyncio.Event()

            async def stubborn(duration_s: float) -> None:
                while not released.is_set():
                    try:
                        await released.wait()
                    except asyncio.CancelledError:
                        continue

            wire.units["d"].pause = stubborn
            await asyncio.sleep(0.5)
            begun = loop.time()
            await field.supervisor.stop()
            assert loop.time() - begun == pytest.approx(5.0)
            released.set()
            await asyncio.sleep(1)

    run(main)
    assert "link l didn't stop within 5 s and is abandoned" in caplog.text


def test_a_supervisor_that_never_started_stops() -> None:
    settings, wire = link("l", {"d": [0.1]})

    async def main() -> None:
        field = Field([settings])
        async with field:
            pass
        await field.supervisor.stop()

    run(main)
    assert wire.connects == []


def test_status_tells_per_link_device_and_group() -> None:
    settings, wire = link("l", {"d": [0.1, 1.0]})
    wire.units["d"].qualities = [0, 0, Quality.BAD_SENSOR_FAILURE]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2.55)
            body = field.supervisor.status()
            assert body["totals"]["polls"] == 29
            assert body["totals"]["good"] == 58
            assert body["totals"]["bad"] == 29
            assert body["links"]["l"]["far_end"] == "here"
            assert body["links"]["l"]["counters"] == {"frames": 7}
            assert body["links"]["l"]["devices"]["d"]["state"] == "normal"
            group = body["links"]["l"]["devices"]["d"]["groups"]["g0"]
            assert group["interval_ms"] == 100
            assert group["tags"] == 3
            assert group["bad_tags"] == {"g0/t2": "BadSensorFailure"}
            assert group["read_ms"]["p50"] == pytest.approx(10, rel=0.2)
            assert group["last_read_age_s"] == pytest.approx(0.04, abs=0.011)

    run(main)


def test_polls_missed_while_the_link_is_down_show_at_once() -> None:
    settings, wire = link("l", {"d": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            assert field.status("l", "d")["missed"] == 0
            wire.break_off()
            await asyncio.sleep(3)
            assert 25 <= field.status("l", "d")["missed"] <= 30

    run(main)


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_write_is_scaled_back_and_gives_what_was_read_back() -> None:
    settings, wire = link("l", {"d": [0.1]}, writes=True, rules=TENTHS)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            assert await field.supervisor.write("d", "g0/t0", 71.3) == 71.3
            assert wire.units["d"].writes == [("g0/t0", 713)]

    run(main)


def test_writes_never_overlap_reads_and_dont_starve_them() -> None:
    settings, wire = link("l", {"d": [0.05, 0.0], "e": [0.0]}, writes=True)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            reads = len(wire.units["e"].reads)
            await asyncio.gather(*(field.supervisor.write("d", "g0/t0", value) for value in range(60)))
            assert [value for _, value in wire.units["d"].writes] == list(range(60))
            assert len(wire.units["e"].reads) - reads >= 20

    run(main)
    assert wire.overlaps == 0


@pytest.mark.parametrize(
    ("path", "value", "sentence"),
    [
        ("g0/t1", 1.0, "d/g0/t1 isn't declared writable; nothing was sent"),
        ("g0/t0", 71.34, "d/g0/t0: 71.34 is between two steps of the device (scale 0.1); nothing was sent"),
        ("g0/t0", 1000.1, "d/g0/t0: 1000.1 is over the greatest value that may be written, 1000; nothing was sent"),
        ("g0/t0", "on", "d/g0/t0: 'on' isn't a number; nothing was sent"),
    ],
)
def test_a_write_that_may_not_be_is_refused_before_the_wire(path: str, value: float | str, sentence: str) -> None:
    settings, wire = link("l", {"d": [0.1]}, writes=True, rules=TENTHS)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            with pytest.raises(WriteFailed) as caught:
                await field.supervisor.write("d", path, value)
            assert str(caught.value) == sentence
            assert wire.units["d"].writes == []
            with pytest.raises(KeyError):
                await field.supervisor.write("d", "nowhere", 1)
            with pytest.raises(KeyError):
                await field.supervisor.write("nobody", "g0/t0", 1)

    run(main)


@pytest.mark.parametrize("fault", [SILENT, WriteFailed("it reads 4"), LinkDown("gone"), RuntimeError("flaw")])
def test_a_failed_write_is_never_repeated(fault: Exception) -> None:
    settings, wire = link("l", {"d": [0.1]}, writes=True)
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            unit.write_fault = fault
            with pytest.raises(WriteFailed if isinstance(fault, RuntimeError) else type(fault)):
                await field.supervisor.write("d", "g0/t0", 5)
            unit.write_fault = None
            await asyncio.sleep(5)
            assert unit.writes == [("g0/t0", 5)]
            assert field.codes("d")[-1] == 0

    run(main)


def test_a_write_nobody_waits_for_any_more_is_not_sent() -> None:
    settings, wire = link("l", {"d": [0.1], "slow": [0.1]}, writes=True)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            wire.units["slow"].read_s = 2.0
            await asyncio.sleep(0.2)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.5):
                    await field.supervisor.write("d", "g0/t0", 5)
            wire.units["slow"].read_s = 0.01
            await asyncio.sleep(5)
            assert wire.units["d"].writes == []

    run(main)


def test_writes_to_what_cant_be_reached_fail_at_once() -> None:
    settings, wire = link("l", {"d": [0.1], "dead": [0.1]}, writes=True)
    wire.units["dead"].fault = SILENT
    reader, _ = link("r", {"readonly": [0.1]})

    async def main() -> None:
        async with Field([settings, reader]) as field:
            await asyncio.sleep(2)
            with pytest.raises(DeviceSilent, match="nothing was sent"):
                await field.supervisor.write("dead", "g0/t0", 5)
            with pytest.raises(WriteFailed, match="can't write"):
                await field.supervisor.write("readonly", "g0/t0", 5)
            waiting = [asyncio.create_task(field.supervisor.write("d", "g0/t0", value)) for value in range(65)]
            await asyncio.sleep(0)
            wire.break_off()
            results = await asyncio.gather(*waiting, return_exceptions=True)
            assert isinstance(results[64], WriteFailed)
            assert any(isinstance(result, LinkDown) for result in results)
            with pytest.raises(LinkDown, match="nothing was sent"):
                await field.supervisor.write("d", "g0/t0", 5)

    run(main)


def test_a_write_whose_time_runs_out_is_not_sent_and_says_so_at_once() -> None:
    settings, wire = link("l", {"d": [0.1], "slow": [0.1]}, writes=True)
    sent: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            wire.units["slow"].read_s = 2.0
            await asyncio.sleep(0.2)
            begun = loop.time()
            with pytest.raises(NotWritten, match="its time ran out while it waited; nothing was sent"):
                await field.supervisor.write("d", "g0/t0", 5, expires=loop.time() + 0.5, sending=lambda: sent.append(5))
            assert loop.time() - begun == pytest.approx(0.5)
            wire.units["slow"].read_s = 0.01
            await asyncio.sleep(5)
            assert (
                await field.supervisor.write("d", "g0/t0", 6, expires=loop.time() + 0.5, sending=lambda: sent.append(6))
                == 6
            )
            await asyncio.sleep(5)
            assert wire.units["d"].writes == [("g0/t0", 6)]
            assert sent == [6]

    run(main)


def test_a_write_that_is_under_way_does_not_expire() -> None:
    settings, wire = link("l", {"d": [0.1]}, writes=True)

    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            wire.units["d"].read_s = 2.0
            assert await field.supervisor.write("d", "g0/t0", 5, expires=loop.time() + 0.5) == 5

    run(main)


def test_a_write_with_an_expectation_is_sent_only_if_the_device_reads_that() -> None:
    settings, wire = link("l", {"d": [0.1]}, writes=True, rules=TENTHS)
    unit = wire.units["d"]
    sent: list[int] = []

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)

            async def write(expected: float) -> Value:
                return await field.supervisor.write(
                    "d", "g0/t0", 71.3, expected=expected, sending=lambda: sent.append(1)
                )

            with pytest.raises(NotAsExpected, match=r"d/g0/t0 reads 0\.1 now, not 0\.2; nothing was sent"):
                await write(0.2)
            unit.values = lambda group: [None if group.name == "write" else 1] * len(group.points)
            with pytest.raises(NotWritten, match="can't be compared, it is BadInternalError now; nothing was sent"):
                await write(0.1)
            unit.values = lambda group: [1] * len(group.points)
            unit.fault = SILENT
            with pytest.raises(DeviceSilent, match="; nothing was sent"):
                await write(0.1)
            assert (unit.writes, sent) == ([], [])
            unit.fault = None
            await asyncio.sleep(10)
            assert await write(0.1) == 71.3
            assert (unit.writes, sent) == ([("g0/t0", 713)], [1])

    run(main)


# -- probing -----------------------------------------------------------------------------------------------------------


def test_probe_reads_every_group_once_and_closes() -> None:
    settings, wire = link("l", {"d": [1.0, 0.0]}, rules=TENTHS)

    async def main() -> None:
        result = await probe(settings, "d")
        assert (result.link, result.device, result.far_end) == ("l", "d", "here")
        assert [group.layout.group for group in result.groups] == ["g0", "g1"]
        assert result.groups[0].requests == ["read 3 tags"]
        assert result.groups[0].wire.values == [1, 1, 1]
        assert result.groups[0].published.values == [0.1, 0.1, 0.1]
        assert wire.closes == 1
        with pytest.raises(KeyError):
            await probe(settings, "nobody")

    run(main)


@pytest.mark.parametrize("fault", [LinkDown("refused"), SILENT])
def test_probe_says_what_the_driver_says(fault: Exception) -> None:
    settings, wire = link("l", {"d": [1.0]})
    if isinstance(fault, LinkDown):
        wire.fault = fault
    else:
        wire.units["d"].fault = fault

    async def main() -> None:
        with pytest.raises(type(fault)):
            await probe(settings, "d")
        assert wire.closes == 1

    run(main)


def test_probe_is_bounded() -> None:
    settings, wire = link("l", {"d": [1.0]})

    async def main() -> None:
        wire.units["d"].read_s = 1e9
        with pytest.raises(DeviceSilent, match="longer than 60 s"):
            await probe(settings, "d")
        wire.connect_s = 1e9
        with pytest.raises(LinkDown, match="longer than 60 s"):
            await probe(settings, "d")
        assert wire.closes == 2

    run(main)


def test_a_refresh_repeats_made_up_qualities_and_reads_slow_groups_out_of_turn() -> None:
    alive, _ = link("alive", {"a": [1.0, 3600.0]})
    dead, wire = link("dead", {"d": [1.0]})
    wire.break_off()

    async def main() -> None:
        async with Field([alive, dead]) as field:
            await asyncio.sleep(100.5)
            reads = Counter(batch.layout.group for _, batch in field.batches if batch.layout.source == "a")
            marks = len(field.codes("d"))
            field.supervisor.refresh()
            assert field.codes("d")[marks:] == [Quality.BAD_NO_COMMUNICATION]
            field.supervisor.refresh()
            await asyncio.sleep(0.1)
            again = Counter(batch.layout.group for _, batch in field.batches if batch.layout.source == "a")
            assert again["g1"] == reads["g1"] + 1
            field.supervisor.refresh()
            await asyncio.sleep(5)
            assert field.status("alive", "a", "g1")["polls"] == 2, "read out of turn again too soon"
            await asyncio.sleep(3600)
            assert field.status("alive", "a", "g1")["missed"] == 0
            assert field.status("alive", "a", "g0")["missed"] == 0

    run(main)
