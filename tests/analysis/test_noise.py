"""Verdicts: apart, together, or not known."""

import pytest

from quantbench.analysis.noise import (
    Call,
    chance_of_separation,
    compare_memory,
    compare_scores,
    compare_sizes,
    compare_speeds,
    difference_interval,
)
from quantbench.analysis.rows import Row, read_row
from quantbench.records import Memory, TaskResult
from tests.report_records import full_record, record, speed_point, task_result


def row(label: str, **sections: object) -> Row:
    return read_row(record(label, **sections), is_baseline=label == "fp16")


def speeds(one: float, other: float, spread: tuple[float, ...]) -> Call:
    rows = [row(str(rate), speed=(speed_point(rate, spread=spread),)) for rate in (one, other)]
    return compare_speeds(*rows).call


WIDE = (0.9, 0.95, 0.98, 1.0, 1.0, 1.02, 1.05, 1.1)
TIGHT = (0.999, 0.999, 1.0, 1.0, 1.0, 1.0, 1.001, 1.001)


def test_speeds_are_together_when_their_intervals_overlap() -> None:
    assert speeds(100.0, 104.0, WIDE) is Call.TOGETHER


def test_speeds_are_apart_when_their_intervals_do_not_overlap() -> None:
    assert speeds(100.0, 104.0, TIGHT) is Call.APART


@pytest.mark.parametrize(
    ("repetitions", "call"), [(2, Call.UNKNOWN), (3, Call.UNKNOWN), (4, Call.APART), (5, Call.APART)]
)
def test_ranges_that_are_apart_prove_something_from_four_repetitions_on(repetitions: int, call: Call) -> None:
    spread = (0.99, 1.01, 1.0, 0.995, 1.005)[:repetitions]
    assert speeds(100.0, 105.0, spread) is call


def test_two_repetitions_prove_a_difference_of_many_times_their_range() -> None:
    assert speeds(100.0, 200.0, (0.99, 1.01)) is Call.APART


def test_the_chance_that_two_ranges_of_three_are_apart_is_one_in_ten() -> None:
    assert chance_of_separation(3, 3) == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("device", "other", "call"),
    [
        ("cuda:0", 101.0, Call.TOGETHER),
        ("cuda:0", 104.0, Call.APART),
        ("cpu", 104.0, Call.TOGETHER),
        ("cpu", 108.0, Call.APART),
    ],
)
def test_one_process_each_proves_no_small_difference(device: str, other: float, call: Call) -> None:
    rows = [
        row(str(rate), device=device, speed=(speed_point(rate, spread=TIGHT),)) for rate in (100.0, other)
    ]
    assert compare_speeds(*rows).call is call


def test_several_rounds_prove_a_small_difference() -> None:
    spread = (1.0, 1.0001, 0.9999, 1.0002, 0.9998, 1.0001, 1.0, 0.9999)
    rounds = {"round_of": tuple(range(8))}
    points = [speed_point(rate, spread=spread).model_copy(update=rounds) for rate in (100.0, 101.0)]
    assert compare_speeds(*(row(str(n), speed=(p,)) for n, p in enumerate(points))).call is Call.APART


def test_speeds_measured_once_are_not_known_to_differ() -> None:
    assert speeds(100.0, 200.0, (1.0,)) is Call.UNKNOWN


def test_a_missing_speed_is_not_known_to_differ() -> None:
    assert compare_speeds(row("a"), row("b", speed=(speed_point(1.0),))).call is Call.UNKNOWN


def resident(count: int, kind: str) -> Row:
    if kind == "cuda":
        return row(str(count), memory=Memory(kind=kind, peak_allocated_bytes=count))
    return row(str(count), memory=Memory(kind=kind, process_bytes=count))


@pytest.mark.parametrize(
    ("kind", "one", "other", "call"),
    [
        ("cuda", 1_000_000_000, 990_000_000, Call.APART),
        ("cuda", 1_000_000_000, 999_500_000, Call.TOGETHER),
        ("cpu", 1_000_000_000, 980_000_000, Call.TOGETHER),
        ("cpu", 1_000_000_000, 900_000_000, Call.APART),
        ("cpu", 100_000_000, 90_000_000, Call.TOGETHER),
    ],
)
def test_a_resident_set_must_differ_by_more_than_an_allocators_peak(
    kind: str, one: int, other: int, call: Call
) -> None:
    assert compare_memory(resident(one, kind), resident(other, kind)).call is call


def sized(gigabytes: float) -> Row:
    return read_row(full_record("int8", gigabytes, 1.0, 1.0, ()), is_baseline=False)


def test_any_difference_in_size_is_real() -> None:
    assert compare_sizes(sized(0.500), sized(0.501)).call is Call.APART


def scored(label: str, result: TaskResult) -> Row:
    return row(label, tasks=(result,))


def test_six_problems_lost_and_none_won_are_a_real_difference() -> None:
    verdict = compare_scores(
        "humaneval", scored("fp16", task_result(range(57))), scored("int4", task_result(range(51)))
    )
    assert verdict.call is Call.APART
    assert "fp16 alone solves 6 and int4 alone 0, exact McNemar p = 0.031" in verdict.why


def test_five_problems_lost_and_none_won_cannot_be_told_apart() -> None:
    verdict = compare_scores(
        "humaneval", scored("fp16", task_result(range(57))), scored("int4", task_result(range(52)))
    )
    assert verdict.call is Call.TOGETHER


def test_other_problems_are_compared_unpaired_and_it_is_said() -> None:
    one = scored("fp16", task_result(range(57)))
    other = scored("int4", task_result(range(40), 100))
    assert "unpaired" in compare_scores("humaneval", one, other).why


def test_totals_alone_are_compared_unpaired() -> None:
    one = scored("fp16", task_result((), passed=57, completions=()))
    other = scored("int4", task_result((), passed=46, completions=()))
    verdict = compare_scores("humaneval", one, other)
    assert verdict.call is Call.TOGETHER
    assert "unpaired" in verdict.why
    assert "n = 164" in verdict.why


def test_a_large_unpaired_difference_is_real() -> None:
    one = scored("fp16", task_result((), passed=57, completions=()))
    other = scored("int4", task_result((), passed=10, completions=()))
    assert compare_scores("humaneval", one, other).call is Call.APART


def test_a_missing_score_is_not_known_to_differ() -> None:
    verdict = compare_scores("humaneval", row("fp16"), scored("int4", task_result(range(3))))
    assert verdict.call is Call.UNKNOWN


def test_the_unpaired_interval_is_newcombes() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873, table II, method 10: 56/70 against 48/80.
    one = scored("a", task_result((), passed=56, problems=70, completions=())).scores[0]
    other = scored("b", task_result((), passed=48, problems=80, completions=())).scores[0]
    gap = difference_interval(one, other)
    assert (gap.low, gap.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
