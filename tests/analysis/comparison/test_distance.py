from math import e

import pytest

from quantbench.analysis.comparison.distance import AgainstFloor, MethodDistance, distances
from quantbench.analysis.comparison.rows import read_results
from quantbench.records import Distance, Record
from tests.analysis.distances import baseline_distance, floor_record, make_distance
from tests.report_records import record

SPREAD = [0.01 * (1 + number / 20) for number in range(20)]  # mean 0.01475


def measured(method: Distance, *floors: Record) -> dict[str, MethodDistance]:
    records = [record("fp16", distance=baseline_distance()), record("int4", distance=method), *floors]
    return {entry.label: entry for entry in distances(read_results(records, "fp16"))}


def test_mean_divergence_has_an_interval_around_it() -> None:
    mean = measured(make_distance(SPREAD))["int4"].mean_kl
    assert mean is not None and mean.interval is not None
    assert mean.value == pytest.approx(0.01475)
    assert mean.interval.low < mean.value < mean.interval.high


def test_percentiles_are_those_of_the_tokens() -> None:
    entry = measured(make_distance(SPREAD))["int4"]
    assert entry.median_kl is not None and entry.p90_kl is not None
    assert entry.median_kl.value == pytest.approx(0.0145)
    assert entry.p90_kl.value == pytest.approx(SPREAD[17])


def test_perplexity_is_the_exponential_of_the_mean_loss() -> None:
    assert measured(make_distance(SPREAD))["fp16"].perplexity.value == pytest.approx(e)


def test_perplexity_ratio_is_that_to_the_baseline() -> None:
    ratio = measured(make_distance(SPREAD, loss=1.1))["int4"].perplexity_ratio
    assert ratio is not None
    assert ratio.value == pytest.approx(e**0.1)


def test_same_top_is_a_share_of_tokens() -> None:
    share = measured(make_distance(SPREAD))["int4"].same_top
    assert share is not None
    assert share.value == pytest.approx(0.98)


def test_baseline_has_no_divergence_from_itself() -> None:
    assert not measured(make_distance(SPREAD))["fp16"].compared


def test_method_far_above_the_floor_is_outside_it() -> None:
    floor = floor_record(kl=[value / 100 for value in SPREAD])
    assert measured(make_distance(SPREAD), floor)["int4"].against_floor is AgainstFloor.BEYOND


def test_method_at_the_floor_is_within_it() -> None:
    floor = floor_record(kl=SPREAD)
    assert measured(make_distance(SPREAD), floor)["int4"].against_floor is AgainstFloor.WITHIN


def test_without_a_floor_nothing_is_said_about_it() -> None:
    assert measured(make_distance(SPREAD))["int4"].against_floor is None


def test_floor_stands_last_under_its_own_name() -> None:
    assert list(measured(make_distance(SPREAD), floor_record(kl=SPREAD)))[-1] == "fp16 again, batch 31"


def test_larger_distance_whose_interval_meets_the_reruns_is_not_called_noise() -> None:
    floor = floor_record(kl=[value / 1.2 for value in SPREAD])
    assert measured(make_distance(SPREAD), floor)["int4"].against_floor is AgainstFloor.UNDECIDED


def test_another_number_format_is_no_floor() -> None:
    bf16 = floor_record(kl=[10 * value for value in SPREAD], method="bf16")
    rows = measured(make_distance(SPREAD), floor_record(kl=[value / 100 for value in SPREAD]), bf16)
    assert rows["int4"].against_floor is AgainstFloor.BEYOND
    assert rows["bf16 (for scale)"].against_floor is AgainstFloor.BEYOND


@pytest.mark.parametrize(("problems", "known"), [(99, False), (100, True)])
def test_tail_is_given_from_100_problems_on(problems: int, known: bool) -> None:
    tail = measured(make_distance([0.01] * problems))["int4"].p99_kl
    assert (tail is not None) is known


def with_confidence(baseline: Distance, tokens: tuple[float, ...]) -> Distance:
    problems = tuple(p.model_copy(update={"confidence": tokens}) for p in baseline.problems)
    return baseline.model_copy(update={"problems": problems})


def split_distance() -> MethodDistance:
    """Half of each problem's 50 tokens sure and twice as far away as the unsure ones."""
    method = make_distance(SPREAD)
    problems = tuple(
        p.model_copy(update={"kl": tuple(2 * kl for kl in p.kl[:25]) + p.kl[25:]}) for p in method.problems
    )
    confident = with_confidence(baseline_distance(), (0.99,) * 25 + (0.5,) * 25)
    method = method.model_copy(update={"problems": problems})
    records = [record("fp16", distance=confident), record("int4", distance=method)]
    return distances(read_results(records, "fp16"))[1]


def test_divergence_is_split_by_how_sure_the_baseline_is() -> None:
    entry = split_distance()
    assert entry.sure_kl is not None and entry.unsure_kl is not None
    assert entry.sure_kl.value == pytest.approx(2 * 0.01475)
    assert entry.unsure_kl.value == pytest.approx(0.01475)
    assert entry.sure_share == 0.5


def test_records_without_confidence_are_not_split() -> None:
    assert measured(make_distance(SPREAD))["int4"].sure_share is None
