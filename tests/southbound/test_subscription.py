"""Groups whose device speaks by itself: what is handed on, what is overdue, what ends, what is left behind."""

import asyncio
import gc
import itertools
import logging
import tracemalloc
import weakref

import pytest

from gateway.driver import LinkDown
from gateway.model import Batch, DataType, Quality, Value
from gateway.pipeline import Stage
from gateway.settings import BreakerSettings, LinkSettings, ReportPolicy, TagRules
from gateway.southbound.probe import probe
from tests.southbound.harness import SILENT, Field, Pushed, Subscribed, link, now, run

TIMEOUT = Quality.BAD_TIMEOUT
NO_COMMUNICATION = Quality.BAD_NO_COMMUNICATION
INTERNAL = Quality.BAD_INTERNAL_ERROR
WAITING = Quality.BAD_WAITING_FOR_INITIAL_DATA
CONFIGURATION = Quality.BAD_CONFIGURATION_ERROR
SENSOR = Quality.BAD_SENSOR_FAILURE


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.INFO]


def nothing(subscribed: Subscribed) -> None:
    """On subscribing: the device has nothing to say yet."""


# -- what is heard -----------------------------------------------------------------------------------------------------


def test_what_is_pushed_is_handed_on_at_once() -> None:
    settings, wire = link("l", {"d": [Pushed()]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(10)
            assert unit.subscribes == [("g0", pytest.approx(1000.001))]
            assert len(field.batches) == 1
            unit.subscribed["g0"].say(7, columns=[1])
            assert (field.batches[-1][0], field.batches[-1][1].values) == (now(), (7,))
            assert field.states("d") == ["connecting", "normal"]
            assert field.status("l")["state"] == "up"
            await asyncio.sleep(3600)
            assert len(unit.subscribes) == 1
            assert unit.reads == []

    run(main)


def test_polls_writes_and_pushes_go_on_together() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=5), 0.1], "e": [0.05]}, writes=True)
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            for value in range(100):
                await asyncio.sleep(0.033)
                unit.subscribed["g0"].say(value, columns=[0])
                if value % 10 == 0:
                    await field.supervisor.write("d", "g1/t0", value)
            assert field.count("d") == 101
            for device, name in (("d", "g1"), ("e", "g0")):
                assert field.transitions(device, name) == [0]
                assert field.status("l", device, name)["missed"] == 0
            assert field.status("l", "e")["polls"] == pytest.approx(68, abs=3)
            assert [value for _, value in unit.writes] == list(range(0, 100, 10))

    run(main)
    assert wire.overlaps == 0


def test_a_driver_may_speak_before_subscribe_returns() -> None:
    settings, wire = link("l", {"d": [Pushed(), Pushed()]})
    unit = wire.units["d"]

    async def early(duration_s: float) -> None:
        for subscribed in unit.subscribed.values():
            subscribed.say(5, 5, 5)
        await asyncio.sleep(duration_s)

    unit.pause, unit.on_subscribe = early, nothing

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5)
            assert field.tags("d") == field.tags("d", "g1") == {0: (5, 0), 1: (5, 0), 2: (5, 0)}
            assert len(unit.subscribes) == 2

    run(main)


def test_values_of_the_past_are_passed_on_and_are_no_news_of_now() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]})
    unit = wire.units["d"]
    unit.on_subscribe = nothing

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            unit.subscribed["g0"].say(3, 2, 1, source_ns=[5, 6, 7], history=True)
            assert [batch.history for _, batch in field.batches] == [True]
            assert field.states("d") == ["connecting"]
            await asyncio.sleep(1)
            assert field.tags("d") == dict.fromkeys(range(3), (None, WAITING))
            unit.subscribed["g0"].say()
            await asyncio.sleep(9)
            unit.subscribed["g0"].say(3, 2, 1, source_ns=[5, 6, 7], history=True)
            await asyncio.sleep(2)
            assert field.tags("d") == dict.fromkeys(range(3), (None, TIMEOUT))
            status = field.status("l", "d")
            assert (status["good"], status["subscription"]["history"]) == (3, 6)

    run(main)


def test_an_event_is_passed_on_once_and_is_a_sign_of_life() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]})
    unit = wire.units["d"]
    unit.on_subscribe = nothing

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            unit.subscribed["g0"].say(1, 2, None, qualities=[0, 0, WAITING])
            await asyncio.sleep(9)
            unit.subscribed["g0"].say(7, columns=[2], event=True)
            await asyncio.sleep(2)
            assert [batch.event for _, batch in field.batches] == [False, True, False]
            assert field.states("d")[-1] == "normal"
            field.supervisor.refresh()
            repeated = field.batches[-1][1]
            assert (list(repeated.values), list(repeated.qualities or ())) == ([None] * 3, [TIMEOUT, TIMEOUT, WAITING])
            assert not repeated.event
            assert field.status("l", "d")["subscription"]["events"] == 1

    run(main)


def test_a_flood_is_taken_whole_and_starves_nobody() -> None:
    flooding, wire = link("l", {"d": [Pushed(stale_s=60), 0.1]})
    other, _ = link("other", {"e": [0.1]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([flooding, other]) as field:
            await asyncio.sleep(1)
            for _ in range(3):
                for value in range(10_000):
                    unit.subscribed["g0"].say(value, columns=[0])
                await asyncio.sleep(1)
            assert field.count("d") == 30_001
            assert field.status("other", "e")["missed"] == field.status("l", "d", "g1")["missed"] == 0
            assert field.status("other", "e")["polls"] == pytest.approx(41, abs=1)
            assert len(asyncio.all_tasks()) == 5  # this one, and a task and a watchdog for each link

    run(main)


@pytest.mark.parametrize(
    "flaw",
    [
        lambda subscribed: subscribed.say(1, 2),
        lambda subscribed: subscribed.say(1, 2, columns=[0, 0]),
        lambda subscribed: subscribed.say(1, columns=[3]),
        lambda subscribed: subscribed.say(1, columns=[-1]),
        lambda subscribed: subscribed.say(1, columns=[0], qualities=[0, 0]),
        lambda subscribed: subscribed.say(1, columns=[0], source_ns=[]),
        lambda subscribed: subscribed.say(1, columns=[0], history=True),
        lambda subscribed: subscribed.receiver.confirm([3]),
    ],
    ids=["few", "twice", "beyond", "before", "qualities", "times", "timeless history", "confirmed beyond"],
)
def test_what_breaks_the_contract_is_a_flaw_of_its_driver_alone(flaw, caplog: pytest.LogCaptureFixture) -> None:
    settings, wire = link("l", {"flawed": [Pushed(), 0.1], "sound": [0.1]})
    unit = wire.units["flawed"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.05)
            flaw(unit.subscribed["g0"])
            await asyncio.sleep(0.5)
            assert field.transitions("flawed") == [0, INTERNAL]
            assert field.transitions("flawed", "g1") == [0, INTERNAL]
            assert field.transitions("sound") == [0]
            assert field.status("l")["devices"]["flawed"]["breaker"] == "crashed"
            await asyncio.sleep(5)
            assert unit.opened == 2
            assert field.transitions("flawed") == [0, INTERNAL, 0]
            assert field.transitions("flawed", "g1") == [0, INTERNAL, 0]
            assert field.status("l", "sound")["missed"] == 0

    run(main)
    assert sum("the driver failed: TypeError" in sentence for sentence in said(caplog)) == 1


def test_a_crash_out_of_subscribe_is_isolated_and_retried_ever_more_slowly() -> None:
    settings, wire = link("l", {"flawed": [Pushed(), 0.1], "sound": [0.1]})
    unit = wire.units["flawed"]
    unit.subscribe_fault = ZeroDivisionError()

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(100)
            begins = [begin for _, begin in unit.subscribes]
            assert [b - a for a, b in itertools.pairwise(begins)] == pytest.approx([1, 2, 4, 8, 16, 32], abs=0.03)
            assert field.transitions("flawed") == field.transitions("flawed", "g1") == [INTERNAL]
            assert field.transitions("sound") == [0]
            unit.subscribe_fault = None
            await asyncio.sleep(60)
            assert field.codes("flawed")[-1] == field.codes("flawed", "g1")[-1] == 0

    run(main)


def test_a_subscribe_that_never_returns_is_ended() -> None:
    settings, wire = link("l", {"stuck": [Pushed()], "sound": [0.1]})
    wire.units["stuck"].read_s = 1e9

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(90)
            assert field.transitions("stuck") == [WAITING, INTERNAL]
            wire.units["stuck"].read_s = 0.01
            await asyncio.sleep(100)
            assert field.transitions("stuck") == [WAITING, INTERNAL, 0]
            assert field.codes("sound")[-1] == 0

    run(main)


def test_lost_values_are_counted_and_said_once_an_episode(caplog: pytest.LogCaptureFixture) -> None:
    settings, wire = link("l", {"d": [Pushed()]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            for _ in range(100):
                unit.subscribed["g0"].receiver.lost(3, "the server's queue overflowed")
                unit.subscribed["g0"].say()
                await asyncio.sleep(1)
            status = field.status("l", "d")["subscription"]
            assert (status["lost"], status["lost_reason"]) == (300, "the server's queue overflowed")
            assert field.supervisor.status()["totals"]["lost"] == 300
            await asyncio.sleep(100)
            unit.subscribed["g0"].receiver.lost(1, "the server's queue overflowed")
            assert field.status("l", "d")["subscription"]["lost"] == 301
            assert field.states("d") == ["connecting", "normal"]

    run(main)
    news = [sentence for sentence in said(caplog) if "lost" in sentence]
    assert news == ["device d, group g0: values were lost: the server's queue overflowed"] * 2


def test_nothing_known_after_a_second_is_said_of_each_tag() -> None:
    settings, wire = link("l", {"d": [Pushed()]})
    wire.units["d"].on_subscribe = lambda subscribed: subscribed.say(4, columns=[1])

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5)
            assert field.tags("d") == {0: (None, WAITING), 1: (4, 0), 2: (None, WAITING)}
            assert len(field.batches) == 2

    run(main)


# -- staleness ---------------------------------------------------------------------------------------------------------


def test_a_tag_of_which_nothing_comes_turns_bad_once_and_good_when_heard_again() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            for _ in range(40):
                unit.subscribed["g0"].say(1, 1, columns=[0, 2])
                await asyncio.sleep(1)
            ((at, batch),) = [each for each in field.batches if each[1].qualities is not None]
            assert (batch.columns, batch.values, batch.qualities) == ([1], [None], [TIMEOUT])
            assert 10 <= at - 1000 <= 10.6
            assert field.states("d") == ["connecting", "normal"]
            assert field.status("l", "d")["subscription"]["stale"] == 1
            assert field.status("l", "d")["bad_tags"] == {"g0/t1": "BadTimeout"}
            unit.subscribed["g0"].say(9, columns=[1])
            assert field.tags("d") == {0: (1, 0), 1: (9, 0), 2: (1, 0)}
            assert field.status("l", "d")["subscription"]["stale"] == 0
            assert len(unit.subscribes) == 1

    run(main)


def test_confirming_keeps_fresh_and_publishes_nothing() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            for turn in range(60):
                await asyncio.sleep(1)
                unit.subscribed["g0"].receiver.confirm(None if turn % 2 else [0, 1, 2])
            assert len(field.batches) == 1
            for _ in range(15):
                await asyncio.sleep(1)
                unit.subscribed["g0"].receiver.confirm([0, 2])
            assert field.tags("d")[1] == (None, TIMEOUT)
            assert len(field.batches) == 2

    run(main)


def test_a_stale_tag_that_is_confirmed_holds_what_it_held() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10), 0.5]})
    unit = wire.units["d"]
    unit.on_subscribe = nothing

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            unit.subscribed["g0"].say(5, None, columns=[0, 1], qualities=[0, SENSOR], source_ns=[77, None])
            await asyncio.sleep(9)
            unit.subscribed["g0"].receiver.confirm([1])
            await asyncio.sleep(2)
            assert field.tags("d") == {0: (None, TIMEOUT), 1: (None, SENSOR), 2: (None, TIMEOUT)}
            unit.subscribed["g0"].receiver.confirm()
            # The third was never told, so there is nothing that could hold.
            assert field.tags("d") == {0: (5, 0), 1: (None, SENSOR), 2: (None, TIMEOUT)}
            last = [batch for _, batch in field.batches if batch.layout.group == "g0"][-1]
            assert (last.columns, last.values, last.qualities, last.source_ns) == ([0], [5], None, [77])

    run(main)


def test_what_cant_be_read_or_was_called_bad_keeps_its_reason() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]})
    unit = wire.units["d"]
    unit.bad_points = ("g0/t1",)
    unit.on_subscribe = lambda subscribed: subscribed.say(1, None, columns=[0, 2], qualities=[0, SENSOR])

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5)
            unit.on_subscribe = nothing
            await asyncio.sleep(6)
            assert field.tags("d") == {0: (None, TIMEOUT), 1: (None, CONFIGURATION), 2: (None, SENSOR)}
            assert field.status("l", "d")["subscription"]["stale"] == 2
            assert field.states("d")[-1] == "failure"

    run(main)


def test_columns_in_error_are_no_sign_of_life() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=60)]})
    unit = wire.units["d"]
    unit.bad_points, unit.on_subscribe = ("g0/t1",), nothing

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5)
            assert field.tags("d")[1] == (None, CONFIGURATION)
            assert field.states("d") == ["connecting"]
            assert field.status("l")["state"] == "connecting"

    run(main)


def test_a_subscription_that_dies_unnoticed_is_noticed_and_made_anew(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]}, breaker=BreakerSettings(retry_s=5.0))
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5)
            unit.on_subscribe = nothing
            await asyncio.sleep(27)
            assert field.tags("d") == dict.fromkeys(range(3), (None, TIMEOUT))
            assert field.count("d") == 2
            assert [begin for _, begin in unit.subscribes] == pytest.approx(
                [1000, 1010, 1015, 1020, 1025, 1030], abs=0.3
            )
            assert field.states("d") == ["connecting", "normal", "failure"]
            assert field.healths[-1].detail == "nothing was heard of it for 10 s"
            unit.on_subscribe = lambda subscribed: subscribed.say(2, 2, 2)
            await asyncio.sleep(6)
            assert field.tags("d") == dict.fromkeys(range(3), (2, 0))
            assert field.states("d")[-1] == "normal"
            assert len(unit.subscribes) == 7

    run(main)
    assert said(caplog)[-2:] == ["device d: nothing was heard of it for 10 s", "device d is heard of again"]


def test_it_is_made_anew_at_the_pace_of_the_breaker_however_short_the_staleness() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=1)]}, breaker=BreakerSettings(retry_s=10.0))
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(0.5)
            unit.on_subscribe = nothing
            await asyncio.sleep(60)
            assert len(unit.subscribes) == 7
            # Confirming what was never told since brings nothing back.
            unit.subscribed["g0"].receiver.confirm()
            assert field.status("l", "d")["subscription"]["stale"] == 3
            unit.subscribed["g0"].say(columns=[0])
            await asyncio.sleep(1.2)
            assert field.tags("d")[0] == (None, TIMEOUT), "noticed no later than it may"

    run(main)


def test_what_was_never_heard_of_is_stale_too_however_soon() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=0.3)]}, breaker=BreakerSettings(retry_s=0.1))
    wire.units["d"].on_subscribe = nothing

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(30)
            assert field.codes("d") == [TIMEOUT]

    run(main)


def test_after_a_reconnect_a_device_may_be_found_quiet_once_more() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]})
    unit = wire.units["d"]
    unit.on_subscribe = nothing

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(15)
            assert field.healths[-1].detail == "nothing was heard of it for 10 s"
            unit.subscribed["g0"].receiver.down("lost")
            await asyncio.sleep(1)
            assert field.healths[-1].detail == "connected, but nothing was heard yet"
            await asyncio.sleep(15)
            assert field.healths[-1].detail == "nothing was heard of it for 10 s"

    run(main)


def test_a_quiet_device_that_answers_polls_is_in_failure_until_it_speaks() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10), 1.0]})
    unit = wire.units["d"]
    unit.on_subscribe = nothing

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(30)
            assert field.states("d") == ["connecting", "normal", "failure"]
            assert field.transitions("d", "g1") == [0]
            assert field.status("l", "d", "g1")["missed"] == 0
            unit.subscribed["g0"].say(1, columns=[0])
            assert field.states("d")[-1] == "normal"

    run(main)


def test_one_of_two_groups_that_speaks_keeps_the_device_normal() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10), Pushed(stale_s=10)]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            unit.on_subscribe = lambda subscribed: subscribed.say() if subscribed.group.name == "g1" else None
            for _ in range(30):
                await asyncio.sleep(1)
                unit.subscribed["g1"].say()
            assert field.states("d") == ["connecting", "normal"]
            assert field.codes("d")[-1] == TIMEOUT
            assert field.codes("d", "g1")[-1] == 0

    run(main)


def test_where_nothing_need_ever_come_being_set_up_is_enough() -> None:
    """A barcode reader: silence is nothing unusual."""
    settings, wire = link("l", {"d": [Pushed(stale_s=None), 3600.0]})
    unit = wire.units["d"]
    unit.on_subscribe = nothing

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(3600)
            assert field.states("d") == ["connecting", "normal"]
            assert field.status("l")["state"] == "up"
            assert len(unit.subscribes) == 1
            assert field.codes("d") == [WAITING]

    run(main)


# -- a destination that missed something -------------------------------------------------------------------------------


def test_a_refresh_repeats_what_holds_without_asking_the_device() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=100)]})
    unit = wire.units["d"]
    unit.on_subscribe = nothing

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2)
            unit.subscribed["g0"].say(5, columns=[0], source_ns=[77])
            unit.subscribed["g0"].say(6, columns=[0], source_ns=[78])
            unit.subscribed["g0"].say(None, columns=[1], qualities=[SENSOR])
            heard_ns = round(now() * 1e9)
            count = len(field.batches)
            field.supervisor.refresh()
            ((_, batch),) = field.batches[count:]
            assert (batch.columns, batch.values) == (None, [6, None, None])
            assert batch.qualities == [0, SENSOR, WAITING]
            assert batch.source_ns == [78, heard_ns, None]  # since when it holds
            await asyncio.sleep(1)
            assert len(field.batches) == count + 1
            assert len(unit.subscribes) == 1

    run(main)


def test_what_couldnt_be_handed_on_is_offered_again() -> None:
    settings, wire = link("l", {"d": [Pushed()]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2)
            field.refuse = OSError("disk full")
            unit.subscribed["g0"].say(5, columns=[0])
            unit.subscribed["g0"].say(6, columns=[0])
            await asyncio.sleep(5)
            field.refuse = None
            await asyncio.sleep(2)
            assert field.tags("d")[0] == (6, 0)
            assert field.supervisor.status()["totals"]["refused_values"] >= 2
            count = len(field.batches)
            await asyncio.sleep(100)
            assert len(field.batches) == count
            field.refuse = OSError("disk full")
            field.supervisor.refresh()
            field.refuse = None
            await asyncio.sleep(2)
            assert len(field.batches) == count + 1

    run(main)


def reported(field: Field, settings: LinkSettings) -> list[tuple[float, Value]]:
    """What the report filter lets pass of the first tag: (when, value)."""
    stage = Stage(settings.devices[0].groups[0])
    passed: list[tuple[float, Value]] = []
    for at, batch in field.batches:
        report = stage.process(batch)
        stage.accept()
        if report is not None and (report.columns is None or 0 in report.columns):
            passed.append((round(at - 1000, 1), report.values[0]))
    return passed


def test_a_change_that_came_too_soon_is_reported_in_time_though_the_device_says_no_more() -> None:
    rules = TagRules(DataType.UINT16, DataType.UINT16, report=ReportPolicy(deadband=0, min_interval_s=10))
    settings, wire = link("l", {"d": [Pushed()]}, rules=rules)
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5)
            unit.subscribed["g0"].say(2, columns=[0])
            await asyncio.sleep(0.1)
            unit.subscribed["g0"].say(3, columns=[0])
            await asyncio.sleep(100)
            ((_, first), (at, last)) = reported(field, settings)
            assert (first, last) == (1, 3)
            assert 10 <= at <= 11.1

    run(main)


def test_a_value_that_stays_is_sent_again_after_the_longest_interval() -> None:
    rules = TagRules(DataType.UINT16, DataType.UINT16, report=ReportPolicy(deadband=5, max_interval_s=60))
    settings, wire = link("l", {"d": [Pushed(stale_s=3600)]}, rules=rules)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(300)
            passed = reported(field, settings)
            assert [value for _, value in passed] == [1] * 5
            assert all(60 <= b - a <= 66 for (a, _), (b, _) in itertools.pairwise(passed))
            assert len(wire.units["d"].subscribes) == 1

    run(main)


def test_what_is_stale_or_was_never_told_is_not_sent_again() -> None:
    rules = TagRules(DataType.UINT16, DataType.UINT16, report=ReportPolicy(deadband=0, max_interval_s=1))
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]}, rules=rules)
    unit = wire.units["d"]
    unit.on_subscribe = lambda subscribed: subscribed.say(1, columns=[0])

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5)
            assert {tuple(batch.columns or ()) for _, batch in field.batches} == {(0,), (1, 2)}
            unit.on_subscribe = nothing
            await asyncio.sleep(10)
            count = len(field.batches)
            await asyncio.sleep(100)
            assert len(field.batches) == count

    run(main)


def test_order_is_that_of_the_calls_whatever_a_driver_stamps() -> None:
    """Otherwise the report filter took the later one for a latecomer, and hid a return to the value before."""
    rules = TagRules(DataType.UINT16, DataType.UINT16, report=ReportPolicy(deadband=0))
    settings, wire = link("l", {"d": [Pushed()]}, rules=rules)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            subscribed = wire.units["d"].subscribed["g0"]
            for value, late_ns in ((5, 0), (6, 10**9), (5, 0)):
                mono_ns = round(now() * 1e9) - late_ns
                subscribed.receiver.take(Batch(subscribed.group.layout, mono_ns, mono_ns, [value], None, [0]))
            assert [value for _, value in reported(field, settings)] == [1, 5, 6, 5]

    run(main)


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_a_lost_connection_makes_all_bad_and_what_isnt_reported_again_stays_so() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=100)], "e": [0.5]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2.2)
            unit.on_subscribe = lambda subscribed: subscribed.say(8, columns=[2])
            unit.subscribed["g0"].receiver.down("the server closed the connection")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            assert field.tags("d") == dict.fromkeys(range(3), (None, NO_COMMUNICATION))
            assert field.codes("e")[-1] == NO_COMMUNICATION
            assert field.healths[-1].detail == "the server closed the connection"
            await asyncio.sleep(1)
            unit.subscribed["g0"].receiver.confirm()
            assert field.tags("d") == {0: (None, NO_COMMUNICATION), 1: (None, NO_COMMUNICATION), 2: (8, 0)}
            assert field.codes("e")[-1] == 0
            assert len(wire.connects) == wire.closes + 1 == 2
            assert field.status("l")["losses"] == 1

    run(main)


def test_reconnected_but_not_heard_of_is_no_longer_called_disconnected() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=100)]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2)
            unit.on_subscribe = nothing
            unit.subscribed["g0"].receiver.down("the server closed the connection")
            await asyncio.sleep(1)
            body = field.status("l")
            assert (body["state"], body["detail"]) == ("connecting", "connected, but nothing was heard yet")
            assert (body["devices"]["d"]["state"], body["devices"]["d"]["detail"]) == ("failure", body["detail"])
            unit.subscribed["g0"].say()
            assert (field.status("l")["state"], field.states("d")[-1]) == ("up", "normal")
            assert field.healths[-1].detail == ""

    run(main)


def test_silence_ends_it_and_opens_the_breaker_like_unanswered_reads(caplog: pytest.LogCaptureFixture) -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=100)]}, breaker=BreakerSettings(failures=3, retry_s=5.0))
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2)
            unit.subscribe_fault = SILENT
            unit.subscribed["g0"].receiver.silent("no keepalive for 5 s")
            await asyncio.sleep(1)
            assert field.transitions("d") == [0, TIMEOUT]
            assert field.states("d") == ["connecting", "normal"]
            await asyncio.sleep(20)
            begins = [begin for _, begin in unit.subscribes]
            assert begins[:3] == pytest.approx([1000.001, 1003, 1004.01], abs=0.01)
            assert [b - a for a, b in itertools.pairwise(begins[2:])] == pytest.approx([5.01] * (len(begins) - 3))
            assert field.transitions("d") == [0, TIMEOUT]
            assert field.codes("d").count(TIMEOUT) == 1
            assert field.states("d") == ["connecting", "normal", "failure"]
            assert field.status("l")["devices"]["d"]["breaker"] == "open"
            unit.subscribe_fault, unit.on_subscribe = None, nothing
            await asyncio.sleep(4)
            assert field.status("l")["devices"]["d"]["breaker"] == "open", "nothing was heard yet"
            unit.subscribed["g0"].say()
            assert field.status("l")["devices"]["d"]["breaker"] == "closed"
            count = len(unit.subscribes)
            await asyncio.sleep(50)
            assert len(unit.subscribes) == count
            assert field.states("d") == ["connecting", "normal", "failure", "normal"]
            assert field.status("l", "d")["failed"] == len(begins)

    run(main)
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == [
        "device d: unit 1: no reply within 100 ms; asking again every 5 s"
    ]


def test_a_silent_device_is_probed_by_a_read_where_it_has_one() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=100), 1.0]}, breaker=BreakerSettings(failures=1, retry_s=5.0))
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2.1)
            reads = len(unit.reads)
            unit.on_subscribe = nothing
            unit.subscribed["g0"].receiver.silent("no keepalive for 5 s")
            await asyncio.sleep(4)
            assert (len(unit.subscribes), len(unit.reads)) == (1, reads)
            await asyncio.sleep(2)
            assert len(unit.subscribes) == 2
            assert field.status("l")["devices"]["d"]["breaker"] == "closed"
            assert field.codes("d", "g1")[-1] == 0

    run(main)


def test_the_polls_of_a_device_go_on_when_another_on_the_wire_ends_its_subscription() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=100)], "e": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.05)
            wire.units["d"].subscribed["g0"].receiver.silent("gone")
            await asyncio.sleep(3)
            assert field.transitions("e") == [0]
            assert field.status("l", "e")["missed"] == 0
            assert field.transitions("d") == [0, TIMEOUT, 0]

    run(main)


def test_silence_and_staleness_are_one_and_the_same_bad_news() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            unit.on_subscribe = nothing
            unit.subscribed["g0"].receiver.silent("gone")
            await asyncio.sleep(60)
            assert field.codes("d") == [0, TIMEOUT]

    run(main)


def test_while_a_device_rests_all_its_receivers_are_deaf() -> None:
    settings, wire = link("l", {"d": [Pushed(), Pushed()]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            other = unit.subscribed["g1"]
            unit.subscribed["g0"].say(1)
            await asyncio.sleep(0.5)
            other.say(7, 7, 7)
            assert field.transitions("d", "g1") == [0, INTERNAL]
            await asyncio.sleep(5)
            assert field.transitions("d", "g1") == [0, INTERNAL, 0]

    run(main)


@pytest.mark.parametrize("stale_s", [100, None])
@pytest.mark.parametrize("end", ["silent", "down"])
def test_an_end_within_subscribe_counts_whatever_subscribe_then_does(end: str, stale_s: float | None) -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=stale_s)]})
    unit = wire.units["d"]
    turn = itertools.count()

    def fail_first(subscribed: Subscribed) -> None:
        if next(turn) < 2:
            getattr(subscribed.receiver, end)("not now")
            subscribed.say()
            if next(turn) > 2:
                raise SILENT
        else:
            subscribed.say()

    unit.on_subscribe = fail_first

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(30)
            assert field.transitions("d") == [TIMEOUT if end == "silent" else NO_COMMUNICATION, 0]
            assert field.status("l", "d")["failed"] == len(unit.subscribes) - 1
            assert field.states("d").count("normal") == 1

    run(main)


def test_an_end_in_the_same_breath_as_values_comes_after_them() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=100)]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            subscribed = unit.subscribed["g0"]
            subscribed.say(5, 5, 5)
            subscribed.receiver.silent("it said so itself")
            subscribed.say(6, 6, 6)
            subscribed.receiver.down("too late to matter")
            await asyncio.sleep(0.5)
            assert [batch.values[0] for _, batch in field.batches] == [1, 5, None]
            assert len(wire.connects) == 1
            await asyncio.sleep(5)
            assert field.codes("d")[-1] == 0

    run(main)


def test_an_end_during_a_write_waits_for_it() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=100), 3600.0]}, writes=True)
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            unit.read_s = 0.5
            writes = [asyncio.create_task(field.supervisor.write("d", "g1/t0", value)) for value in (5, 6)]
            await asyncio.sleep(0.1)
            unit.subscribed["g0"].receiver.down("the connection is lost")
            results = await asyncio.gather(*writes, return_exceptions=True)
            assert results[0] == 5
            assert isinstance(results[1], LinkDown)
            assert "nothing was sent" in str(results[1])
            assert unit.writes == [("g1/t0", 5)]
            await asyncio.sleep(2)
            assert field.transitions("d") == [0, NO_COMMUNICATION, 0]
            assert len(wire.connects) == 2

    run(main)
    assert wire.overlaps == 0


@pytest.mark.parametrize("ending", ["reconnected", "superseded", "crashed", "stopped"])
def test_a_receiver_whose_time_is_over_is_deaf(ending: str) -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]})
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            old = unit.subscribed["g0"]
            if ending == "reconnected":
                old.receiver.down("lost")
                await asyncio.sleep(2)
            elif ending == "superseded":
                await asyncio.sleep(12)
            elif ending == "crashed":
                old.say(1)
                await asyncio.sleep(5)
            else:
                await field.supervisor.stop()
            assert (unit.subscribed["g0"] is old) == (ending == "stopped")
            body = field.supervisor.status()
            count = len(field.batches)
            old.say(9, 9, 9)
            old.say(9)
            old.receiver.confirm()
            old.receiver.lost(5, "late")
            old.receiver.silent("late")
            old.receiver.down("late")
            assert len(field.batches) == count
            assert field.supervisor.status() == body
            await asyncio.sleep(1)
            assert field.tags("d")[0][0] != 9
            assert field.status("l")["connects"] == body["links"]["l"]["connects"]

    run(main)


def test_a_shared_bus_goes_down_for_all_when_one_subscribe_finds_it_lost() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=100)], "e": [Pushed(stale_s=100)], "f": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.05)
            for unit in wire.units.values():
                unit.subscribe_fault = LinkDown("the peer closed the connection")
            wire.units["d"].subscribed["g0"].receiver.silent("hm")
            await asyncio.sleep(1.5)
            for device in ("d", "e", "f"):
                assert NO_COMMUNICATION in field.codes(device)
            for unit in wire.units.values():
                unit.subscribe_fault = None
            await asyncio.sleep(10)
            for device in ("d", "e", "f"):
                assert field.codes(device)[-1] == 0

    run(main)


def test_two_hundred_reconnects_leave_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)  # what is captured would be taken for a leak
    settings, wire = link("l", {"d": [Pushed(stale_s=100), Pushed(), 0.5]})
    unit = wire.units["d"]
    receivers: list[weakref.ref[Subscribed]] = []
    unit.on_subscribe = lambda subscribed: (receivers.append(weakref.ref(subscribed)), subscribed.say())[1]

    async def main() -> None:
        async with Field([settings]) as field:

            async def cycles(count: int) -> None:
                for cycle in range(count):
                    receiver = unit.subscribed["g0"].receiver
                    (receiver.down, receiver.silent)[cycle % 2]("over")
                    await asyncio.sleep(6)
                    field.batches.clear()
                    field.healths.clear()
                    unit.reads.clear()
                    unit.subscribes.clear()
                    wire.connects.clear()

            await asyncio.sleep(1)
            await cycles(20)
            tasks = asyncio.all_tasks()
            gc.collect()
            tracemalloc.start()
            before, _ = tracemalloc.get_traced_memory()
            await cycles(200)
            gc.collect()
            grown = tracemalloc.get_traced_memory()[0] - before
            tracemalloc.stop()
            assert asyncio.all_tasks() == tasks
            assert len(receivers) > 300
            assert sum(receiver() is not None for receiver in receivers) == 2
            receivers.clear()
            assert grown < 100_000
            assert field.status("l", "d")["subscription"]["standing"]

    run(main)


# -- status and probing ------------------------------------------------------------------------------------------------


def test_tags_that_have_no_value_yet_dont_hide_a_fault() -> None:
    """Alarms that never were, and methods that nobody has called, are many and bad by nature."""
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(3)
            waiting = int(Quality.BAD_WAITING_FOR_INITIAL_DATA)
            wire.units["d"].subscribed["g0"].say(None, None, columns=[0, 1], qualities=[waiting, SENSOR])
            await asyncio.sleep(2)
            assert next(iter(field.status("l", "d")["bad_tags"])) == "g0/t1"

    run(main)


def test_status_tells_of_a_subscription_what_matters() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10), 1.0]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(3)
            wire.units["d"].subscribed["g0"].say(1, None, columns=[0, 1], qualities=[0, SENSOR])
            await asyncio.sleep(2)
            group = field.status("l", "d")
            assert (group["polls"], group["late"], group["missed"], group["failed"]) == (0, 0, 0, 0)
            assert (group["good"], group["bad"], group["bad_tags"]) == (4, 1, {"g0/t1": "BadSensorFailure"})
            assert group["subscription"] == {
                "setups": 1,
                "standing": True,
                "last_heard_age_s": pytest.approx(2.0),
                "stale_after_s": 10,
                "stale": 0,
                "lost": 0,
                "lost_reason": "",
                "history": 0,
                "events": 0,
            }
            assert field.status("l", "d", "g1")["subscription"] is None

    run(main)


def test_probe_reads_a_subscribed_group_once() -> None:
    settings, wire = link("l", {"d": [Pushed(stale_s=10)]})

    async def main() -> None:
        result = await probe(settings, "d")
        assert result.groups[0].wire.values == [1, 1, 1]
        assert wire.units["d"].subscribes == []

    run(main)
