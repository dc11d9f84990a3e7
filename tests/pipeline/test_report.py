"""Report by exception: examples, and the laws that hold for every sequence of polls."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.model import Batch, DataType, Quality, Value, is_bad
from gateway.pipeline import Stage
from gateway.settings import GroupSettings, TagRules
from tests.pipeline.build import U16, batch, group, policy, rows

D = DataType
TIMEOUT = Quality.BAD_TIMEOUT
NO_COMMUNICATION = Quality.BAD_NO_COMMUNICATION
HELD = Quality.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE


class Reporter:
    """A stage whose every result the journal takes."""

    def __init__(self, *rules: TagRules, interval_s: float = 0.0) -> None:
        self.settings = group(*rules, interval_s=interval_s)
        self.stage = Stage(self.settings)

    def __call__(self, at_s: float, *values: Value, q: list[int] | None = None) -> dict[int, Value]:
        result = self.stage.process(batch(self.settings, values, q, at_s=at_s))
        if result is not None:
            self.stage.accept()
        return {column: value for column, (value, _) in rows(result).items()}


def test_a_deadband_compares_with_what_was_reported_last() -> None:
    report = Reporter(policy(deadband=5))
    assert report(0, 100) == {0: 100}
    for at_s, drift in enumerate((102, 104, 104, 103), start=1):
        assert report(at_s, drift) == {}
    assert report(5, 105) == {0: 105}
    assert report(6, 101) == {}
    assert report(7, 100) == {0: 100}


def test_percent_is_of_the_engineering_range() -> None:
    report = Reporter(policy(percent=2, low=-100, high=100))
    assert [bool(report(at, value)) for at, value in enumerate((0, 3, 4, 7, 8))] == [True, False, True, False, True]


def test_of_two_deadbands_the_finer_counts() -> None:
    report = Reporter(policy(deadband=10, percent=2, low=0, high=100), policy(deadband=1, percent=50, low=0, high=100))
    report(0, 0, 0)
    assert report(1, 2, 1) == {0: 2, 1: 1}


def test_deadband_zero_strings_and_bools_report_any_change() -> None:
    report = Reporter(policy(deadband=0), policy(D.STRING, deadband=5), policy(D.BOOL, deadband=1))
    assert report(0, 5, "a", False) == {0: 5, 1: "a", 2: False}
    assert report(1, 5, "a", False) == {}
    assert report(2, 6, "a", False) == {0: 6}
    assert report(3, 6, "b", True) == {1: "b", 2: True}


def test_int64_differences_are_exact() -> None:
    report = Reporter(policy(deadband=0), policy(deadband=1))
    report(0, 2**62, 2**62)
    assert report(1, 2**62 + 1, 2**62 + 1) == {0: 2**62 + 1, 1: 2**62 + 1}


def test_min_interval_holds_back_and_then_reports_what_still_differs() -> None:
    report = Reporter(policy(deadband=1, least_s=10))
    assert report(0, 0) == {0: 0}
    assert report(5, 50) == {}
    assert report(10, 50) == {0: 50}
    assert report(15, 60) == {}
    assert report(20, 50) == {}


def test_min_interval_alone_thins_out() -> None:
    report = Reporter(policy(least_s=10))
    assert [at for at in range(31) if report(at, 1)] == [0, 10, 20, 30]


def test_a_jittering_poll_doesnt_double_the_min_interval() -> None:
    report = Reporter(policy(least_s=1), interval_s=1.0)
    assert [at for at in (0, 0.999, 2.001, 2.998, 4.0) if report(at, 1)] == [0, 0.999, 2.001, 2.998, 4.0]


def test_max_interval_sends_again_what_hasnt_changed_good_or_bad() -> None:
    report = Reporter(policy(deadband=5, most_s=60), policy(deadband=5), interval_s=1.0)
    assert report(0, 1, 1) == {0: 1, 1: 1}
    assert report(59, 1, 1) == {}
    assert report(60, 1, 1) == {0: 1}
    assert report(61, 9, 1) == {0: 9}
    assert report(119, 9, 1) == {}
    assert report(121, 9, 1) == {0: 9}
    assert report(122, None, None, q=[TIMEOUT, TIMEOUT]) == {0: None, 1: None}
    assert report(123, None, None, q=[TIMEOUT, TIMEOUT]) == {}
    assert report(182, None, None, q=[TIMEOUT, TIMEOUT]) == {0: None}


def test_without_a_policy_good_values_pass_and_a_bad_one_passes_once() -> None:
    report = Reporter(U16, U16)
    assert report(0, 1, 1) == {0: 1, 1: 1}
    assert report(1, 1, 1) == {0: 1, 1: 1}
    assert report(2, None, 1, q=[TIMEOUT, 0]) == {0: None, 1: 1}
    assert report(3, None, 1, q=[TIMEOUT, 0]) == {1: 1}
    assert report(4, None, None, q=[TIMEOUT, TIMEOUT]) == {1: None}
    assert report(5, None, None, q=[TIMEOUT, TIMEOUT]) == {}
    assert report(6, None, None, q=[NO_COMMUNICATION, TIMEOUT]) == {0: None}
    assert report(7, 1, 1) == {0: 1, 1: 1}
    assert report(8, 1, 1) == {0: 1, 1: 1}
    assert report(9, 1, 1, q=[HELD, 0]) == {0: 1, 1: 1}
    assert report(10, 1, 1, q=[HELD, 0]) == {0: 1, 1: 1}


def test_a_change_of_quality_passes_whatever_the_policy() -> None:
    report = Reporter(policy(deadband=50, least_s=3600))
    assert report(0, 1) == {0: 1}
    assert report(1, 1, q=[HELD]) == {0: 1}
    assert report(2, None, q=[TIMEOUT]) == {0: None}
    assert report(3, 1) == {0: 1}
    assert report(4, 1) == {}


def test_after_a_bad_spell_the_deadband_starts_from_the_first_good_value() -> None:
    report = Reporter(policy(deadband=5), policy(deadband=5))
    report(0, 10, 10)
    report(1, None, 11, q=[TIMEOUT, 0])
    assert report(2, 12, 12) == {0: 12}
    assert report(3, 16, 14) == {}
    assert report(4, 17, 15) == {0: 17, 1: 15}


def test_a_late_batch_is_reported_whole_and_moves_nothing() -> None:
    report = Reporter(policy(deadband=5), U16)
    report(10, 100, 1)
    assert report(5, 101, 1) == {0: 101, 1: 1}
    assert report(6, None, None, q=[TIMEOUT, TIMEOUT]) == {0: None, 1: None}
    assert report(11, 104, 1) == {1: 1}


@pytest.mark.parametrize("meaning", ["history", "event"])
@pytest.mark.parametrize("rules", [U16, policy(DataType.UINT16, deadband=5)], ids=["free", "with a deadband"])
def test_what_is_not_current_is_reported_whole_and_moves_nothing(rules: TagRules, meaning: str) -> None:
    settings = group(rules, replace(rules, scale=0.5, type=DataType.FLOAT64))
    stage = Stage(settings)
    stage.process(batch(settings, [10, 10]))
    stage.accept()
    apart = replace(batch(settings, [90, 90], at_s=1, source_ns=[5, 6]), **{meaning: True})  # type: ignore[arg-type]
    for _ in range(2):
        report = stage.process(apart)
        stage.accept()
        assert report is not None
        assert report == replace(apart, values=[90, 45.0])
    now = stage.process(batch(settings, [10, 10], at_s=2))
    assert (now is None) == (rules.report is not None)


def test_where_nothing_is_polled_intervals_are_met_exactly() -> None:
    settings = group(policy(DataType.UINT16, deadband=0, least_s=1), interval_s=1.0)
    settings = replace(settings, poll=replace(settings.poll, subscribed=True))
    stage = Stage(settings)
    results = []
    for at_s, value in ((0, 1), (0.95, 2), (0.999, 3), (1.0, 4)):
        results.append(stage.process(batch(settings, [value], at_s=at_s)))
        stage.accept()
    assert [result and list(result.values) for result in results] == [[1], None, None, [4]]


def test_wall_time_means_nothing() -> None:
    settings = group(policy(deadband=5))
    stage = Stage(settings)
    for read_ns in (10**18, 0, 2 * 10**18):
        one = batch(settings, [1], at_s=1)
        one.read_ns = read_ns
        result = stage.process(one)
        assert (result is not None) == (read_ns == 10**18)
        stage.accept()


# -- laws --------------------------------------------------------------------------------------------------------------

BAND = 5
RULES = (
    policy(deadband=BAND),
    policy(deadband=0),
    policy(deadband=BAND, least_s=3),
    policy(deadband=BAND, most_s=7),
    policy(least_s=2, most_s=4),
    U16,
    policy(D.FLOAT64, deadband=0.5, least_s=1, most_s=9),
    TagRules(D.INT16, D.FLOAT64, scale=0.1, report=policy(percent=2, low=0, high=100).report, low=0, high=100),
)


@dataclass
class Toy:
    """The report rules of one tag as one would say them, without a thought for speed."""

    rules: TagRules
    value: Value = None
    quality: int | None = None
    at_ns: int = 0
    band: float | None = field(init=False)

    def __post_init__(self) -> None:
        report = self.rules.report
        self.band = None
        if report is not None:
            self.band = report.deadband
            if report.deadband_percent is not None:
                assert self.rules.low is not None
                assert self.rules.high is not None
                self.band = (self.rules.high - self.rules.low) * report.deadband_percent / 100

    def worth(self, value: Value, quality: int, at_ns: int) -> bool:
        report = self.rules.report
        age_s = (at_ns - self.at_ns) / 1e9
        if quality != self.quality:
            return True
        if report is None:
            return not is_bad(quality)
        if report.max_interval_s is not None and age_s >= report.max_interval_s * 0.9:
            return True
        if is_bad(quality) or age_s < report.min_interval_s * 0.9:
            return False
        if self.band is None:
            return True
        assert isinstance(value, int | float)
        assert isinstance(self.value, int | float)
        return abs(value - self.value) >= self.band if self.band else value != self.value

    def take(self, value: Value, quality: int, at_ns: int) -> None:
        self.value, self.quality, self.at_ns = value, quality, at_ns


@st.composite
def polls(draw: st.DrawFn) -> tuple[list[int], list[int] | None, int, bool]:
    """Values, qualities, seconds since the last poll, and whether the journal takes the result."""
    values = [draw(st.integers(0, 12)) for _ in RULES]
    qualities = [draw(st.sampled_from([0, 0, 0, 0, 0, HELD, TIMEOUT])) for _ in RULES] if draw(st.booleans()) else None
    return values, qualities, draw(st.integers(0, 3)), draw(st.sampled_from([True, True, True, False]))


def wire_of(settings: GroupSettings, values: list[int], qualities: list[int] | None, at_s: float) -> Batch:
    wire: list[Value] = [float(v) if r.wire_type is D.FLOAT64 else v for v, r in zip(values, RULES, strict=True)]
    if qualities is not None:
        wire = [None if is_bad(code) else value for value, code in zip(wire, qualities, strict=True)]
    return batch(settings, wire, qualities, at_s=at_s)


@given(st.lists(polls(), max_size=30))
def test_the_stage_does_what_a_toy_does(sequence: list[tuple[list[int], list[int] | None, int, bool]]) -> None:
    # interval 60 s: the tolerance of the intervals is then a tenth of them
    settings = group(*RULES, interval_s=60.0)
    stage = Stage(settings)
    plain = Stage(group(*[TagRules(r.wire_type, r.type, r.scale, r.offset, r.low, r.high) for r in RULES]))
    toys = [Toy(rule) for rule in RULES]
    at_s = 0.0
    for values, qualities, pause_s, taken in sequence:
        at_s += pause_s
        one = wire_of(settings, values, qualities, at_s)
        converted = rows(plain.process(one))
        expected = {column: row for column, row in converted.items() if toys[column].worth(row[0], row[1], one.mono_ns)}
        result = stage.process(one)
        assert rows(result) == expected
        assert result is None or len(result.values) > 0
        if taken and result is not None:
            stage.accept()
            for column, (value, code) in expected.items():
                toys[column].take(value, code, one.mono_ns)


@given(st.lists(polls(), max_size=20), polls())
def test_what_isnt_accepted_leaves_no_trace(
    sequence: list[tuple[list[int], list[int] | None, int, bool]],
    last: tuple[list[int], list[int] | None, int, bool],
) -> None:
    settings = group(*RULES)
    bold, shy = Stage(settings), Stage(settings)
    at_s = 0.0
    for values, qualities, pause_s, taken in sequence:
        at_s += pause_s
        one = wire_of(settings, values, qualities, at_s)
        if bold.process(one) is not None and taken:
            bold.accept()
        if taken and shy.process(one) is not None:
            shy.accept()
    final = wire_of(settings, last[0], last[1], at_s + last[2])
    assert rows(bold.process(final)) == rows(shy.process(final))


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.sampled_from([0, 0, 0, TIMEOUT])), min_size=1))
def test_a_subscriber_is_never_off_by_the_deadband_or_more(sequence: list[tuple[float, int]]) -> None:
    """Also: every change of quality arrives. `seen` is all that an outsider knows."""
    settings = group(policy(D.FLOAT64, deadband=0.5), U16)
    stage = Stage(settings)
    seen: tuple[Value, int] | None = None
    for at_s, (value, code) in enumerate(sequence):
        wire = None if code else value
        one = batch(settings, [wire, 1], [code, 0] if code else None, at_s=at_s)
        result = stage.process(one)
        if result is not None:
            stage.accept()
            seen = rows(result).get(0, seen)
        assert seen is not None
        assert seen[1] == code
        if not code:
            assert abs(value - seen[0]) < 0.5


def test_what_was_forgotten_is_reported_anew_though_nothing_changed() -> None:
    report = Reporter(policy(deadband=5), U16, policy(deadband=5, least_s=60))
    values, codes = (1, None, 2), [0, TIMEOUT, 0]
    report(0, *values, q=codes)
    assert report(1, *values, q=codes) == {}
    report.stage.forget()
    assert report(2, *values, q=codes) == {0: 1, 1: None, 2: 2}
    assert report(3, *values, q=codes) == {}
