from math import e

import pytest

from quantbench.analysis.distance import MethodDistance, distances
from quantbench.analysis.rows import read_results
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
    assert entry.median_kl is not None and entry.tail_kl is not None
    assert entry.median_kl.value == pytest.approx(0.0145)
    assert entry.tail_kl.value == pytest.approx(max(SPREAD))


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
    assert measured(make_distance(SPREAD), floor)["int4"].within_floor is False


def test_method_at_the_floor_is_within_it() -> None:
    floor = floor_record(kl=SPREAD)
    assert measured(make_distance(SPREAD), floor)["int4"].within_floor is True


def test_without_a_floor_nothing_is_said_about_it() -> None:
    assert measured(make_distance(SPREAD))["int4"].within_floor is None


def test_floor_stands_last_under_its_own_name() -> None:
    assert list(measured(make_distance(SPREAD), floor_record(kl=SPREAD)))[-1] == "fp16 again, batch 31"
