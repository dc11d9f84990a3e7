"""What a failure costs, whom it costs it, and how it ends: silence, lost links, flawed drivers, flawed consumers."""

import asyncio
import itertools
import logging
from collections import Counter

import pytest

from gateway.driver import LinkDown
from gateway.model import Quality
from gateway.settings import BreakerSettings
from tests.southbound.harness import SILENT, Field, link, now, run

TIMEOUT = Quality.BAD_TIMEOUT
NO_COMMUNICATION = Quality.BAD_NO_COMMUNICATION
INTERNAL = Quality.BAD_INTERNAL_ERROR
WAITING = Quality.BAD_WAITING_FOR_INITIAL_DATA


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


# -- the breaker -------------------------------------------------------------------------------------------------------


def test_one_unanswered_read_is_a_timeout_of_its_group_alone() -> None:
    settings, wire = link("l", {"d": [0.1, 0.1]})
    unit = wire.units["d"]
    answers = itertools.count()
    unit.fault = lambda: SILENT if next(answers) == 20 else None

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(3)
            codes = Counter(code for name in ("g0", "g1") for code in field.codes("d", name))
            assert codes[TIMEOUT] == 1
            assert set(codes) == {0, TIMEOUT}
            assert field.states("d") == ["connecting", "normal"]

    run(main)


def test_the_breaker_opens_after_three_silences_and_asks_once_per_retry(caplog: pytest.LogCaptureFixture) -> None:
    settings, wire = link("l", {"d": [0.1, 0.1, 2.0]}, breaker=BreakerSettings(failures=3, retry_s=5.0))
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(3.05)
            unit.fault, unit.read_s = SILENT, 0.1
            reads = len(unit.reads)
            await asyncio.sleep(0.6)
            assert len(unit.reads) == reads + 3
            await asyncio.sleep(21)
            assert len(unit.reads) == reads + 3 + 4
            begins = [begin for _, begin, _ in unit.reads[reads + 2 :]]
            assert [b - a for a, b in itertools.pairwise(begins)] == pytest.approx([5.1] * 4)
            for name in ("g0", "g1", "g2"):
                assert field.transitions("d", name) == [0, TIMEOUT]
                assert field.codes("d", name).count(TIMEOUT) == 1
            assert field.states("d") == ["connecting", "normal", "failure"]
            assert field.healths[-1].detail == "unit 1: no reply within 100 ms"
            body = field.status("l")["devices"]["d"]
            assert (body["breaker"], body["breaker_opened"]) == ("open", 1)

            unit.fault, unit.read_s = None, 0.01
            await asyncio.sleep(5)
            for name in ("g0", "g1", "g2"):
                assert field.transitions("d", name) == [0, TIMEOUT, 0]
            assert field.states("d") == ["connecting", "normal", "failure", "normal"]
            assert field.status("l")["devices"]["d"]["breaker"] == "closed"

    run(main)
    assert warnings(caplog) == ["device d: unit 1: no reply within 100 ms; asking again every 5 s"]


def test_a_group_the_device_refused_as_a_whole_keeps_no_breaker_closed() -> None:
    settings, wire = link("l", {"d": [0.1, 0.1]}, breaker=BreakerSettings(failures=3, retry_s=5.0))
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            unit.refused_groups = ("g0",)
            unit.fault, unit.read_s = SILENT, 0.1
            reads = len(unit.reads)
            await asyncio.sleep(4)
            assert len(unit.reads) == reads + 3, "a read that asked nothing passed for an answer"
            assert field.states("d") == ["connecting", "normal", "failure"]
            assert field.status("l")["devices"]["d"]["breaker"] == "open"
            unit.fault = None
            await asyncio.sleep(5)
            assert field.states("d") == ["connecting", "normal", "failure", "normal"]

    run(main)


def test_a_breaker_opened_by_a_group_that_has_nothing_left_to_ask_tries_another() -> None:
    settings, wire = link("l", {"d": [0.1, 3600.0]}, breaker=BreakerSettings(failures=1, retry_s=5.0))
    unit = wire.units["d"]

    def refused_from_now_on() -> Exception:
        unit.refused_groups = ("g0",)
        return SILENT

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            unit.fault = refused_from_now_on
            await asyncio.sleep(1)
            assert field.states("d")[-1] == "failure"
            unit.fault = None
            await asyncio.sleep(6)
            assert field.states("d")[-1] == "normal"
            assert field.codes("d", "g1")[-1] == 0

    run(main)


def test_after_the_breaker_closes_every_group_is_read_at_once_then_on_the_grid() -> None:
    settings, wire = link("l", {"d": [1.0, 3600.0]}, breaker=BreakerSettings(failures=1, retry_s=5.0))
    unit = wire.units["d"]

    async def main() -> None:
        async with Field([settings]):
            await asyncio.sleep(1.9)
            unit.fault = SILENT
            await asyncio.sleep(1)
            unit.fault = None
            await asyncio.sleep(20)
            begins = unit.begins("g0")
            answered = next(i for i, begin in enumerate(begins) if begin > 1004)
            assert unit.begins("g1")[1] == pytest.approx(begins[answered] + 0.01)
            assert all(begin % 1 == pytest.approx(0, abs=1e-6) for begin in begins[answered + 1 :])

    run(main)


def test_an_answer_in_between_starts_the_count_again() -> None:
    settings, wire = link("l", {"d": [0.1]})
    unit = wire.units["d"]
    turn = itertools.count()
    unit.fault = lambda: None if next(turn) % 3 == 0 else SILENT

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(10)
            assert field.status("l")["devices"]["d"]["breaker_opened"] == 0

    run(main)


def test_a_silent_device_delays_its_neighbours_by_one_timeout_per_retry() -> None:
    settings, wire = link("l", {"dead": [0.1], "alive": [0.1]}, breaker=BreakerSettings(failures=3, retry_s=5.0))
    dead = wire.units["dead"]
    dead.fault, dead.read_s = SILENT, 0.5

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5)
            before = field.status("l", "alive")["missed"]
            await asyncio.sleep(55)
            probes = sum(begin > 1005 for begin in dead.begins())
            assert probes == 10
            assert field.status("l", "alive")["missed"] - before <= probes * 5
            assert field.status("l", "alive")["lateness_ms"]["p50"] < 1
            assert field.transitions("alive") == [0]

    run(main)


def test_one_dead_unit_of_eight_costs_the_others_one_timeout_per_breaker_period() -> None:
    """As on an RS-485 line: every unit is read once a second in 20 ms, a timeout takes 300 ms."""
    timeout_s, read_s, retry_s = 0.3, 0.02, 5.0
    alive = [f"u{i}" for i in range(7)]
    breaker = BreakerSettings(failures=3, retry_s=retry_s)

    def lateness(dead: bool) -> dict[str, dict[str, float]]:
        settings, wire = link("bus", {name: [1.0] for name in ("dead", *alive)}, breaker=breaker)
        for name in alive:
            wire.units[name].read_s = read_s
        wire.units["dead"].read_s = timeout_s if dead else read_s
        wire.units["dead"].fault = SILENT if dead else None

        async def main() -> dict[str, dict[str, float]]:
            async with Field([settings]) as field:
                await asyncio.sleep(600)
                late = {}
                for name in alive:
                    status = field.status("bus", name)
                    assert status["missed"] == 0
                    assert field.transitions(name) == [0]
                    late[name] = {**status["lateness_ms"], "late": status["late"]}
                expected = 3 + 600 / (retry_s + timeout_s) if dead else 600
                assert len(wire.units["dead"].reads) == pytest.approx(expected, abs=3)
                return late

        return run(main)

    healthy, wounded = lateness(dead=False), lateness(dead=True)
    tries = 3 + 600 / (retry_s + timeout_s)
    assert all(late["late"] == 0 for late in healthy.values())
    # No unit ever waits for more than one timeout and the reads that queued up behind it, …
    assert max(late["max"] for late in wounded.values()) <= 1000 * (timeout_s + 7 * read_s)
    # … and none more than once a try. Of seven units read once a second, three or four are due within a timeout.
    waits = [late["late"] for late in wounded.values()]
    assert max(waits) <= tries
    assert tries <= sum(waits) <= 4 * tries


# -- the connection ----------------------------------------------------------------------------------------------------


def test_a_lost_link_is_bad_once_tried_at_once_and_then_ever_less_often(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings, wire = link("l", {"a": [0.5], "b": [0.5, 10.0]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(5.1)
            connects = len(wire.connects)
            assert connects == 1
            wire.break_off()
            await asyncio.sleep(60)
            delays = [b - a - 0.001 for a, b in itertools.pairwise(wire.connects[1:])]
            assert delays[:7] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0])
            assert max(delays) <= 5.0 + 1e-9
            lost = max(end for unit in wire.units.values() for _, _, end in unit.reads)
            assert wire.connects[1] == pytest.approx(lost)
            assert wire.closes == len(wire.connects)
            for device, name in (("a", "g0"), ("b", "g0"), ("b", "g1")):
                assert field.transitions(device, name) == [0, NO_COMMUNICATION]
                assert field.codes(device, name).count(NO_COMMUNICATION) == 1
            assert field.status("l")["state"] == "down"
            assert field.status("l")["detail"] == "the peer closed the connection"
            assert field.states("b") == ["connecting", "normal", "failure"]

            wire.mend()
            mended = now()
            await asyncio.sleep(6)
            assert field.transitions("b", "g1") == [0, NO_COMMUNICATION, 0]
            back = min(at for at, batch in field.batches if at > mended)
            assert back - mended <= 5.1
            assert field.status("l")["losses"] == 1
            assert field.states("a") == ["connecting", "normal", "failure", "normal"]

    run(main)
    assert [record.getMessage() for record in caplog.records if record.name.endswith("link")] == [
        "link l: connected to here",
        "link l: the peer closed the connection; trying again",
        "link l: connected again to here",
    ]


def test_a_link_that_stays_down_for_another_reason_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings, wire = link("l", {"a": [0.5]})

    async def main() -> None:
        async with Field([settings]):
            for _ in range(2):
                await asyncio.sleep(10)
                for reason in ("the peer closed the connection", "its certificate isn't trusted", "the peer refused"):
                    wire.break_off(reason)
                    await asyncio.sleep(20)
                for number in range(20):
                    wire.break_off(f"reason {number}")
                    await asyncio.sleep(10)
                wire.mend()
                await asyncio.sleep(10)

    run(main)
    outage = [
        *("the peer closed the connection", "its certificate isn't trusted", "the peer refused"),
        *("reason 0", "reason 1"),
    ]
    said = [f"link l: {reason}; trying again" for reason in outage]
    assert [record.getMessage() for record in caplog.records if record.name.endswith("link")] == [
        "link l: connected to here",
        *(*said, "link l: connected again to here") * 2,
    ]


def test_jitter_only_shortens() -> None:
    settings, wire = link("l", {"a": [0.5]})
    wire.break_off()

    async def main() -> None:
        async with Field([settings], jitter=lambda: 0.999):
            await asyncio.sleep(60)
            delays = [b - a - 0.001 for a, b in itertools.pairwise(wire.connects)]
            assert delays[:6] == pytest.approx([0.05, 0.1, 0.2, 0.4, 0.8, 1.6], rel=0.01)
            assert max(delays) == pytest.approx(2.5, rel=0.01)

    run(main)


def test_a_peer_that_accepts_and_hangs_up_is_not_stormed() -> None:
    settings, wire = link("l", {"a": [0.5]})
    wire.units["a"].fault = LinkDown("the peer closed the connection")

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(60)
            assert len(wire.connects) < 20
            assert field.codes("a") == [NO_COMMUNICATION]
            assert field.status("l")["state"] == "down"

    run(main)


def test_a_device_that_cant_be_reached_at_start_never_looks_good() -> None:
    settings, wire = link("l", {"a": [0.5]})
    wire.break_off("can't reach 192.0.2.1:502")
    wire.connect_s = 3.0

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2)
            assert field.codes("a") == [WAITING]
            assert field.batches[0][0] == pytest.approx(1001.0)
            await asyncio.sleep(20)
            assert field.codes("a") == [WAITING, NO_COMMUNICATION]
            assert field.states("a") == ["connecting", "failure"]
            assert field.healths[-1].detail == "can't reach 192.0.2.1:502"

    run(main)


def test_a_breaker_stays_open_over_a_lost_link_and_healthy_devices_are_read_first() -> None:
    settings, wire = link("l", {"dead": [0.5], "alive": [0.5]}, breaker=BreakerSettings(failures=1, retry_s=5.0))
    dead, alive = wire.units["dead"], wire.units["alive"]
    dead.fault = SILENT

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2.1)
            wire.break_off()
            await asyncio.sleep(1)
            wire.mend()
            dead.fault, dead.read_s = SILENT, 0.5
            await asyncio.sleep(4)
            assert dead.begins()[-1] > next(begin for begin in alive.begins() if begin > 1003)
            assert field.transitions("dead") == [TIMEOUT]  # it was bad before, and for the same reason
            assert field.transitions("alive") == [0, NO_COMMUNICATION, 0]

    run(main)


def test_a_connection_on_which_nobody_answers_is_no_news(caplog: pytest.LogCaptureFixture) -> None:
    """A driver gives up a connection after three silent reads; the far end accepts the next one and stays silent."""
    settings, wire = link("l", {"d": [0.5]})
    unit = wire.units["d"]
    turn = itertools.count(1)

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(2.1)
            unit.fault = lambda: LinkDown("3 requests in a row unanswered") if next(turn) % 3 == 0 else SILENT
            await asyncio.sleep(300)
            assert field.transitions("d") == [0, TIMEOUT, NO_COMMUNICATION, TIMEOUT]
            assert field.status("l")["state"] == "connecting"
            assert len(wire.connects) < 30
            assert field.states("d") == [
                "connecting",
                "normal",
                "failure",
                "failure",
            ]  # the link's reason, then its own
            unit.fault = None
            await asyncio.sleep(10)
            assert field.transitions("d")[-1] == 0
            assert field.status("l")["state"] == "up"

    run(main)
    assert warnings(caplog) == [
        "link l: 3 requests in a row unanswered; trying again",
        "device d: unit 1: no reply within 100 ms; asking again every 5 s",
    ]


def test_a_silent_device_may_cost_its_neighbours_a_reconnect_but_not_their_values() -> None:
    settings, wire = link("l", {"dead": [0.5], "alive": [0.5]}, breaker=BreakerSettings(failures=1, retry_s=5.0))
    turn = itertools.count(1)
    wire.units["dead"].fault = lambda: LinkDown("unanswered") if next(turn) % 3 == 0 else SILENT

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(60)
            assert len(wire.connects) > 3
            assert field.transitions("alive") == [0]
            assert field.transitions("dead") == [TIMEOUT]
            wire.fault = LinkDown("refused")  # but if it can't connect again, they have to know
            await asyncio.sleep(60)
            assert field.transitions("alive") == [0, NO_COMMUNICATION]

    run(main)


def test_a_crashed_driver_stays_the_reason_while_the_link_is_down() -> None:
    settings, wire = link("l", {"flawed": [0.5], "sound": [0.5]})

    async def main() -> None:
        async with Field([settings]) as field:
            wire.units["flawed"].fault = ZeroDivisionError()
            await asyncio.sleep(3)
            wire.break_off()
            await asyncio.sleep(10)
            assert field.transitions("flawed") == [INTERNAL]
            assert field.transitions("sound") == [0, NO_COMMUNICATION]
            wire.mend()
            await asyncio.sleep(70)
            assert field.transitions("flawed") == [INTERNAL, 0]

    run(main)


# -- flaws -------------------------------------------------------------------------------------------------------------


def test_a_crashing_driver_is_isolated_said_once_and_built_anew(caplog: pytest.LogCaptureFixture) -> None:
    settings, wire = link("l", {"flawed": [0.1, 0.1], "sound": [0.1]})
    flawed = wire.units["flawed"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.05)
            flawed.fault = ZeroDivisionError("division by zero")
            reads = len(flawed.reads)
            await asyncio.sleep(100)
            ends = [end for _, _, end in flawed.reads[reads:]]
            assert [round(b - a - 0.01, 3) for a, b in itertools.pairwise(ends)] == [1, 2, 4, 8, 16, 32]
            assert flawed.opened == len(ends)
            for name in ("g0", "g1"):
                assert field.transitions("flawed", name) == [0, INTERNAL]
                assert field.codes("flawed", name).count(INTERNAL) == 1
            assert field.status("l")["devices"]["flawed"]["crashes"] == 7
            assert field.status("l")["devices"]["flawed"]["breaker"] == "crashed"
            assert field.transitions("sound") == [0]
            assert field.status("l", "sound")["missed"] == 0
            assert len(wire.connects) == 1
            flawed.fault = None
            await asyncio.sleep(60)
            assert field.transitions("flawed", "g1") == [0, INTERNAL, 0]
            assert field.states("flawed") == ["connecting", "normal", "failure", "normal"]

    run(main)
    errors = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert len(errors) == 1
    assert "device flawed: the driver failed: ZeroDivisionError: division by zero" in errors[0].getMessage()
    assert errors[0].exc_info is not None


@pytest.mark.parametrize(
    "flaw",
    [
        lambda unit: setattr(unit, "values", lambda group: [1]),
        lambda unit: setattr(unit, "qualities", [0]),
        lambda unit: setattr(unit, "fault", asyncio.CancelledError()),
        lambda unit: setattr(unit, "fault", TimeoutError()),
    ],
    ids=["too few values", "too few qualities", "a cancellation of its own", "a bare timeout"],
)
def test_what_breaks_the_contract_is_a_flaw(flaw) -> None:
    settings, wire = link("l", {"flawed": [0.1], "sound": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            flaw(wire.units["flawed"])
            await asyncio.sleep(10)
            assert field.transitions("flawed") == [0, INTERNAL]
            assert field.transitions("sound") == [0]
            assert field.status("l", "sound")["missed"] == 0

    run(main)


def test_a_call_that_never_returns_is_ended_and_the_bus_reopened(caplog: pytest.LogCaptureFixture) -> None:
    settings, wire = link("l", {"stuck": [0.1], "sound": [0.1]})
    stuck = wire.units["stuck"]

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.05)
            stuck.read_s = 1e9
            await asyncio.sleep(100)
            assert field.transitions("stuck") == [0, INTERNAL]
            assert field.status("l")["devices"]["stuck"]["crashes"] >= 1
            assert len(wire.connects) >= 2
            stuck.read_s = 0.01
            await asyncio.sleep(200)
            assert field.transitions("stuck") == [0, INTERNAL, 0]
            assert field.transitions("sound") == [0]

    run(main)
    assert "didn't return within 60 s" in warnings(caplog)[0]


def test_a_call_that_cant_even_be_cancelled_makes_the_whole_link_bad() -> None:
    settings, wire = link("l", {"stuck": [0.1], "sound": [0.1]})
    stuck = wire.units["stuck"]
    released = False

    async def main() -> None:
        nonlocal released
        async with Field([settings]) as field:
            await asyncio.sleep(1.05)

            async def stubborn(duration_s: float) -> None:
                while not released:
                    try:
                        await asyncio.sleep(5)
                    except asyncio.CancelledError:
                        continue

            stuck.pause = stubborn
            await asyncio.sleep(100)
            assert field.transitions("stuck") == [0, INTERNAL]
            assert field.transitions("sound") == [0, INTERNAL]
            assert field.status("l")["state"] == "crashed"
            released, stuck.pause = True, asyncio.sleep
            await asyncio.sleep(30)
            assert field.transitions("stuck") == [0, INTERNAL, 0]
            assert field.transitions("sound") == [0, INTERNAL, 0]
            assert len(stuck.reads) > 20

    run(main)


def test_connecting_is_bounded_too() -> None:
    settings, wire = link("l", {"a": [0.5]})
    wire.connect_s = 1e9

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(90)
            assert field.codes("a") == [WAITING, NO_COMMUNICATION]
            assert field.status("l")["detail"] == "connecting took longer than 60 s"
            wire.connect_s = 0.001
            await asyncio.sleep(90)
            assert field.transitions("a") == [WAITING, NO_COMMUNICATION, 0]

    run(main)


@pytest.mark.parametrize("where", ["connect", "close"])
def test_a_flawed_bus_is_replaced(where: str, caplog: pytest.LogCaptureFixture) -> None:
    settings, wire = link("l", {"a": [0.5]})
    other, _ = link("other", {"b": [0.5]})

    async def main() -> None:
        async with Field([settings, other]) as field:
            await asyncio.sleep(2)
            wire.break_off()
            if where == "connect":
                wire.fault = ValueError("odd")
            else:
                wire.close_fault = ValueError("odd")
            await asyncio.sleep(30)
            assert wire.buses > 2
            wire.mend()
            wire.close_fault = None
            await asyncio.sleep(60)
            assert field.transitions("a")[0] == 0
            assert field.transitions("a")[-1] == 0
            assert field.transitions("b") == [0]
            assert field.status("l")["state"] == "up"

    run(main)
    errors = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "ValueError: odd" in errors[0].getMessage()


def test_a_consumer_that_fails_is_not_the_drivers_fault(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    settings, _ = link("l", {"a": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.05)
            field.refuse = OSError("disk full")
            await asyncio.sleep(1)
            field.refuse = None
            await asyncio.sleep(1)
            body = field.supervisor.status()
            assert body["totals"]["refused_batches"] == 10
            assert body["totals"]["refused_values"] == 30
            assert field.status("l")["devices"]["a"]["crashes"] == 0
            assert field.states("a") == ["connecting", "normal"]
            assert field.status("l", "a")["polls"] == pytest.approx(31, abs=1)

    run(main)
    said = [record.getMessage() for record in caplog.records if record.name.endswith("supervisor")]
    assert said == [
        "a batch of a was read but couldn't be handed on; it is lost",
        "batches are handed on again; 10 were lost so far",
    ]


def test_bad_news_that_couldnt_be_handed_on_is_handed_on_later() -> None:
    settings, wire = link("l", {"a": [0.1]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1.05)
            field.refuse = OSError("disk full")
            wire.break_off()
            await asyncio.sleep(5)
            assert field.transitions("a") == [0]
            field.refuse = None
            await asyncio.sleep(6)
            assert field.transitions("a") == [0, NO_COMMUNICATION]

    run(main)


# -- what only another process mends -----------------------------------------------------------------------------------


def test_a_call_that_takes_no_end_is_said_to_be_stuck_and_nothing_less_is() -> None:
    settings, wire = link("l", {"d": [1.0]})
    unit = wire.units["d"]
    released = asyncio.Event()

    async def endless(_: float) -> None:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue

    async def main() -> None:
        async with Field([settings], call_limit_s=10) as field:
            await asyncio.sleep(5)
            assert field.supervisor.stuck() is None
            unit.pause = endless
            await asyncio.sleep(25)
            assert field.supervisor.stuck() is None
            await asyncio.sleep(10)
            assert field.supervisor.stuck() == "a driver's call on link l can't be ended"
            unit.pause = asyncio.sleep
            released.set()
            await asyncio.sleep(5)
            assert field.supervisor.stuck() is None

    run(main)


def test_neither_a_link_that_is_down_nor_a_silent_device_is_stuck() -> None:
    down, wire = link("down", {"d": [1.0]})
    wire.break_off()
    silent, silent_wire = link("silent", {"e": [1.0]})
    silent_wire.units["e"].fault = SILENT

    async def main() -> None:
        async with Field([down, silent], call_limit_s=10) as field:
            for _ in range(20):
                await asyncio.sleep(20)
                assert field.supervisor.stuck() is None

    run(main)


def test_a_link_whose_task_has_ended_is_stuck() -> None:
    settings, _ = link("l", {"d": [1.0]})

    async def main() -> None:
        async with Field([settings]) as field:
            await asyncio.sleep(1)
            (task,) = (each for each in asyncio.all_tasks() if each.get_name() == "link l")
            task.cancel()
            await asyncio.sleep(1)
            assert field.supervisor.stuck() == "link l has ended"

    run(main)
